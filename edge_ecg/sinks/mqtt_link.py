"""The connection to a broker: a thread that sends what an outbox has, and connects again when it breaks."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_ecg.sinks.mqtt_outbox import Message, Outbox

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["Broker", "BrokerLink", "Patience", "TlsContext"]

KEEPALIVE_S = 30
"""The broker tells our last will one and a half times this after the power went."""
MOST_IN_FLIGHT = 20
LOOK_S = 1.0
WILL_S = 0.3
"""Of the time to close, what is kept for the last message."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who we are to it.

    Attributes
    ----------
    client_id
        The same in each run: the broker then ends what it still has of an earlier one, whose last will would
        otherwise come minutes later.
    tls
        None: no TLS.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsContext | None = None

    @property
    def address(self) -> str:
        """As a person would write it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, s.

    Attributes
    ----------
    answer_s
        For each step of a connection: TCP, TLS, MQTT.
    first_s, most_s
        Before the first new attempt, which doubles with each, up to the last; and a random part more, up to a half.
    refused_s
        At least this much where the broker refused us, or we it: nothing changes soon.
    """

    answer_s: float = 5.0
    first_s: float = 1.0
    most_s: float = 60.0
    refused_s: float = 30.0


class TlsContext(ssl.SSLContext):
    """TLS with the broker's certificate and name checked; a handshake that fails leaves no socket open.

    Parameters
    ----------
    ca_file
        Certificates to trust; None: the system's.
    """

    _newest: ssl.SSLSocket | None = None

    def __new__(cls, ca_file: str | None = None) -> TlsContext:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        if ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(ca_file)
        return context

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """As of any context; the socket is remembered."""
        self._newest = super().wrap_socket(*args, **kwargs)
        return self._newest

    def close_newest(self) -> None:
        """Close the socket that was made last."""
        if self._newest is not None:
            self._newest.close()
            self._newest = None


class _RefusedError(ConnectionError):
    """The broker answered, and does not want us."""


class BrokerLink:
    """Sends the messages of an outbox with QoS 1, in order; at a lost connection those without an answer again.

    Nothing here blocks its callers: the network is the business of a thread of its own.

    Parameters
    ----------
    will
        What the broker tells for us when we go without a word, and what we tell when we close.

    Attributes
    ----------
    trouble
        Why nothing is sent; None while all is well, and while the first attempt is under way.
    """

    def __init__(self, broker: Broker, outbox: Outbox, will: Message, patience: Patience | None = None) -> None:
        self.trouble: str | None = None
        self._broker = broker
        self._outbox = outbox
        self._will = will
        self._patience = patience or Patience()
        self._closing = threading.Event()
        self._close_by_s = 0.0
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._work, name="edge-ecg mqtt link", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """The outbox has something new."""
        with contextlib.suppress(OSError):  # it is full of calls, or closed
            self._waker.send(b"\0")

    def close(self, timeout_s: float = 0.7) -> None:
        """Send what waits and the will, and end; what does not go in time is left. May be called twice.

        A thread that is in the middle of an attempt is left behind; it ends with it.
        """
        if not self._closing.is_set():
            self._close_by_s = time.monotonic() + timeout_s
            self._closing.set()
            self.wake()
        self._thread.join(max(0.0, self._close_by_s + 0.1 - time.monotonic()))

    def _work(self) -> None:
        patience = self._patience
        wait_s = patience.first_s
        while not self._closing.is_set():
            began_s, pause_s = time.monotonic(), 0.0
            try:
                _Session(self._broker, self._outbox, self._will, patience.answer_s).run(self._attend)
            except Exception as error:  # whatever it is, it is no end
                self.trouble = f"{self._broker.address}: {_reason(error)}"
                pause_s = patience.refused_s if isinstance(error, _RefusedError | ssl.SSLCertVerificationError) else 0.0
            if time.monotonic() - began_s > 2.0 * patience.most_s:
                wait_s = patience.first_s  # it held: what was before is forgotten
            self._closing.wait(max(wait_s, pause_s) * random.uniform(1.0, 1.5))
            wait_s = min(2.0 * wait_s, patience.most_s)
        self._woken.close()
        self._waker.close()

    def _attend(self, session: _Session) -> bool:
        """Wait for the network or for something to send; False when it is time to end."""
        if session.accepted:
            self.trouble = None
        if self._closing.is_set():
            session.farewell(self._close_by_s)
            return False
        session.wait(LOOK_S, self._woken)
        return True


class _Session:
    """One connection, from its begin to its end.

    Attributes
    ----------
    accepted
        The broker lets us send.
    """

    def __init__(self, broker: Broker, outbox: Outbox, will: Message, answer_s: float) -> None:
        self.accepted = False
        self._broker = broker
        self._outbox = outbox
        self._will = will
        self._answer_s = answer_s
        self._refusal = ""
        self._in_flight: dict[int, Message] = {}
        self._client = self._new_client()

    def run(self, attend: Callable[[_Session], bool]) -> None:
        """Connect, and send until ``attend`` says no; `OSError` when the connection does not come, or breaks."""
        try:
            self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
            link: Any = self._client.socket()
            if link is not None:
                # Else the kernel keeps small messages back, and all that waited goes slowly.
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            give_up_s = time.monotonic() + self._answer_s
            while attend(self):
                if self.accepted:
                    self._send()
                elif time.monotonic() > give_up_s:
                    raise TimeoutError(f"no answer within {self._answer_s:g} s")
        finally:
            self._outbox.give_back(self._in_flight.values())
            self._drop()

    def wait(self, timeout_s: float, also: socket.socket | None = None) -> None:
        """Exchange bytes, waiting for them at most so long; ``also`` ends the wait, and is emptied."""
        link: Any = self._client.socket()
        if link is None:
            raise self._broken()
        decrypted = getattr(link, "pending", int)() > 0  # by TLS: the socket itself has nothing more to tell
        if decrypted:
            timeout_s = 0.0
        elif not self.accepted:
            timeout_s = min(timeout_s, 0.1)
        heard, ready, _ = select.select(
            [link] if also is None else [link, also], [link] if self._client.want_write() else [], [], timeout_s
        )
        if also is not None and also in heard:
            _empty(also)
        if decrypted or link in heard:
            self._client.loop_read()
        if ready:
            self._client.loop_write()
        self._client.loop_misc()
        if self._client.socket() is None or self._refusal:
            raise self._broken()

    def farewell(self, until_s: float) -> None:
        """Send what waits, the will and the end. Without the broker's answer in time, it tells the will itself."""
        told: int | None = None
        with contextlib.suppress(OSError):
            while time.monotonic() < until_s:
                if told is not None and told not in self._in_flight:
                    self._client.disconnect()
                    return
                if told is None and self.accepted:
                    self._send()
                    if not self._in_flight or time.monotonic() > until_s - WILL_S:
                        told = self._publish(self._will)
                self.wait(0.05)

    def _send(self) -> None:
        while len(self._in_flight) < MOST_IN_FLIGHT:
            message = self._outbox.take()
            if message is None:
                break
            self._publish(message)

    def _publish(self, message: Message) -> int:
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        self._in_flight[info.mid] = message
        return info.mid

    def _broken(self) -> OSError:
        return _RefusedError(self._refusal) if self._refusal else ConnectionError("the connection was lost")

    def _drop(self) -> None:
        link = self._client.socket()
        if link is not None:
            link.close()
        if self._broker.tls is not None:
            self._broker.tls.close_newest()

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        broker = self._broker
        # Each connection has a client of its own: what is kept, and what is sent again, is for the outbox to say.
        client = Client(CallbackAPIVersion.VERSION2, broker.client_id, reconnect_on_failure=False)
        client.connect_timeout = self._answer_s
        client.max_inflight_messages_set(MOST_IN_FLIGHT + 1)  # the will, too
        client.will_set(self._will.topic, self._will.payload, qos=1, retain=self._will.retain)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)

        def on_connect(client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
            if reason.is_failure:
                self._refusal = f"the broker refuses us ({str(reason).lower()}); check mqtt.username and the password"
            else:
                self.accepted = True
                self._outbox.begin()

        def on_publish(client: Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
            self._in_flight.pop(mid, None)

        client.on_connect = on_connect
        client.on_publish = on_publish
        return client


def _empty(waker: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while waker.recv(4096):
            pass


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message}); check mqtt.host and mqtt.ca_file"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"
