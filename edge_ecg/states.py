"""What the daemon as a whole does, derived from what it sees. Pure."""

from __future__ import annotations

from edge_ecg.types import Event, LeadOffEvent, LinkEvent, ModelEvent, QualityEvent

__all__ = ["StateOfDaemon"]

_HERE = ("connected", "back")
_AWAY = ("waiting", "stalled", "lost", "ended")


class StateOfDaemon:
    """``starting``, ``waiting`` (for a board), ``streaming``, ``lead_off``, ``noisy``, ``stopping``.

    An electrode that is off is told before noise: it is what makes it.

    Attributes
    ----------
    state, detail
        As of now.
    """

    def __init__(self) -> None:
        self.state, self.detail = "starting", ""
        self._here = self._off = self._noisy = self._stopping = False
        self._why = self._causes = ""

    def samples_came(self) -> bool:
        """A block came; whether that changed the state."""
        if self._here:
            return False
        self._here, self._why = True, ""
        return self._changed()

    def observe(self, event: Event) -> bool:
        """Take one event; whether that changed the state."""
        match event:
            case LinkEvent(state=state) if state in _HERE:
                self._here, self._why = True, event.detail
            case LinkEvent(state=state) if state in _AWAY:
                self._here, self._why = False, event.detail
            case ModelEvent():
                self._off = self._noisy = False
            case LeadOffEvent():
                self._off = event.off
            case QualityEvent():
                self._noisy, self._causes = event.noisy, ", ".join(event.causes)
            case _:
                return False
        return self._changed()

    def stop(self) -> bool:
        """The end has begun; whether that is new."""
        self._stopping = True
        return self._changed()

    def _changed(self) -> bool:
        now = ("streaming", self._why)
        if self._stopping:
            now = ("stopping", "")
        elif not self._here:
            now = ("waiting", self._why)
        elif self._off:
            now = ("lead_off", "")
        elif self._noisy:
            now = ("noisy", self._causes)
        # Why it waits may change: the port is there now, and another program holds it.
        if now[0] == self.state and (self.state != "waiting" or now[1] == self.detail):
            return False
        self.state, self.detail = now
        return True
