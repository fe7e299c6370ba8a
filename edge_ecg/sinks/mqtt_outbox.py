"""What waits to be sent to a broker: a bounded history in order, and of each topic that is shown the newest value."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Loss", "Message", "Outbox"]

MOST_WAITING = 2000
"""Of messages in memory: twenty minutes of beats, 1 MB."""
DROPPED_AT_ONCE = 10
"""A tenth of them goes at once, so that a broker that is too slow gets a gap now and then, not one a message."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages that nobody will get.

    Attributes
    ----------
    n_messages, n_beats
        How many, and how many of them were beats.
    from_utc, to_utc
        Time of the first and the last, as text; None where the source does not know.
    """

    n_messages: int = 0
    n_beats: int = 0
    from_utc: str | None = None
    to_utc: str | None = None

    def __add__(self, more: Loss) -> Loss:
        # Times of one form, which as text are in order; those known of either loss.
        first = min(filter(None, (self.from_utc, more.from_utc)), default=None)
        last = max(filter(None, (self.to_utc, more.to_utc)), default=None)
        return Loss(self.n_messages + more.n_messages, self.n_beats + more.n_beats, first, last)


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes
    ----------
    utc
        Time of what it tells, as text.
    beat
        It is a beat.
    loss
        It tells of this loss.
    shown
        Only the newest of its topic matters.
    """

    topic: str
    payload: bytes
    retain: bool = False
    utc: str | None = None
    beat: bool = False
    loss: Loss | None = None
    shown: bool = False


class Outbox:
    """Keeps messages until they are sent. Safe to use from several threads; nothing waits.

    What is full drops the oldest: who comes back wants to know what happens now. The loss is told by one message at
    its place, in front of the oldest that is left.

    Parameters
    ----------
    tell_loss
        Makes the message that tells of a loss.
    most
        How many messages of the history may wait.
    """

    def __init__(self, tell_loss: Callable[[Loss], Message], most: int = MOST_WAITING) -> None:
        self._tell_loss = tell_loss
        self._most = most
        self._history: deque[Message] = deque()
        self._retained: dict[str, Message] = {}
        self._due: dict[str, Message] = {}
        self._untold = Loss()
        self._n_lost = 0
        self._lock = threading.Lock()

    @property
    def n_lost(self) -> int:
        """Messages of the history that were dropped."""
        return self._n_lost

    def put(self, message: Message) -> None:
        """Add a message to the history."""
        with self._lock:
            self._history.append(message)
            self._trim()

    def show(self, message: Message) -> None:
        """Give the newest value of a topic; one that waits is replaced. Retained ones go to each new connection."""
        with self._lock:
            if message.retain:
                self._retained[message.topic] = message
            self._due[message.topic] = message

    def begin(self) -> None:
        """A connection begins: the broker may remember nothing, and a value that is not retained is too old."""
        with self._lock:
            self._due = dict(self._retained)

    def take(self) -> Message | None:
        """The next message to send; None when there is none."""
        with self._lock:
            if self._due:
                return self._due.pop(next(iter(self._due)))
            if self._untold.n_messages:
                loss, self._untold = self._untold, Loss()
                return self._tell_loss(loss)
            return self._history.popleft() if self._history else None

    def give_back(self, messages: Iterable[Message]) -> None:
        """What was taken, in that order, and may not have arrived."""
        history, told = [], Loss()
        for message in messages:
            if message.loss is not None:
                told += message.loss
            elif not message.shown:
                history.append(message)
        with self._lock:
            self._untold = told + self._untold
            self._history.extendleft(reversed(history))
            self._trim()

    def _trim(self) -> None:
        if len(self._history) <= self._most:
            return
        for _ in range(len(self._history) - self._most + self._most // DROPPED_AT_ONCE):
            gone = self._history.popleft()
            self._untold += Loss(1, gone.beat, gone.utc, gone.utc)
            self._n_lost += 1
