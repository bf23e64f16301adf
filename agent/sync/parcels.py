"""Pictures and bundles by MQTT: handed over by other threads, published behind all messages.

Whoever delivers a parcel waits for what the broker says to it. The uplink's thread takes it when nothing else is to be
sent, so a parcel delays a message by no more than itself.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from agent.sync.delivery import Meaning, Outcome
from agent.sync.retry import Settlement, puback_text, settlement
from agent.sync.wire import Picture

_MEANINGS: Final = {
    Settlement.SETTLE: Meaning.STORED,
    Settlement.HOLD: Meaning.LATER,
    Settlement.BACK_OFF: Meaning.LATER,
    Settlement.FORBIDDEN: Meaning.FORBIDDEN,
    Settlement.REJECTED: Meaning.REFUSED,
}


@dataclass(slots=True, eq=False)
class _Parcel:
    picture: Picture
    outcome: Outcome | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def size(self) -> int:
        beside = sum(len(name.encode()) + len(value.encode()) for name, value in self.picture.user_properties)
        return len(self.picture.body) + beside

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.done.set()


class Parcels:
    """The uplink's ``Pictures``: what waits, and what is on the wire.

    Args:
        require_subscriber: Whether "no matching subscribers" means that nobody has it.
        timeout_s: Longest wait for the connection, and again for the broker's word.
        stop: Set: nobody waits any longer.
    """

    def __init__(self, *, require_subscriber: bool, timeout_s: float, stop: threading.Event) -> None:
        self._require_subscriber = require_subscriber
        self._timeout_s = timeout_s
        self._stop = stop
        self._wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._waiting: deque[_Parcel] = deque()
        self._given: _Parcel | None = None
        self._sent: dict[int, _Parcel] = {}

    def attach(self, wake: Callable[[], None]) -> None:
        """Say whom to wake when something waits."""
        self._wake = wake

    def deliver(self, picture: Picture) -> Outcome:
        """Publish and wait for the broker's word. Any thread but the uplink's."""
        parcel = _Parcel(picture)
        with self._lock:
            self._waiting.append(parcel)
        self._wake()
        waited_s = 0.0
        while not parcel.done.wait(_TURN_S):
            waited_s = waited_s + _TURN_S if parcel in self._waiting else 0.0
            if self._stop.is_set() or waited_s >= self._timeout_s:
                self._withdraw(parcel)
        return parcel.outcome or Outcome(Meaning.LATER, "stopped", "the agent stops")

    def _withdraw(self, parcel: _Parcel) -> None:
        with self._lock:
            waits = parcel in self._waiting
            if waits:
                self._waiting.remove(parcel)
        if self._stop.is_set():
            parcel.end(Outcome(Meaning.LATER, "stopped", "the agent stops"))
        elif waits:
            parcel.end(Outcome(Meaning.LATER, "offline", "the broker cannot be reached, or messages go first"))

    # On the uplink's thread.

    def next(self, room_bytes: int | None) -> Picture | None:
        """The parcel to send now; one that the broker cannot take ends here."""
        with self._lock:
            while self._waiting:
                parcel = self._waiting.popleft()
                if room_bytes is None or parcel.size <= room_bytes:
                    self._given = parcel
                    return parcel.picture
                text = f"{parcel.size} bytes, and a packet of this broker has room for {max(0, room_bytes)}"
                parcel.end(Outcome(Meaning.NEVER, "too-large", text))
        return None

    def sent(self, mid: int) -> None:
        """The parcel that ``next`` gave is on the wire."""
        if self._given is not None:
            self._sent[mid], self._given = self._given, None

    def acknowledged(self, mid: int, code: int) -> None:
        """The broker's word."""
        parcel = self._sent.pop(mid, None)
        if parcel is None:
            return
        meaning = _MEANINGS[settlement(code, require_subscriber=self._require_subscriber)]
        size = len(parcel.picture.body)
        if meaning is Meaning.STORED:
            parcel.end(Outcome(meaning, sent=size, url=f"mqtt:{parcel.picture.topic}"))
        else:
            parcel.end(Outcome(meaning, f"0x{code:02X}", f"{parcel.picture.topic}: {puback_text(code)}", size))

    def cut(self) -> None:
        """The connection ended: whether what was on the wire arrived is not known, so it counts as sent in vain."""
        sent, self._sent = self._sent, {}
        for parcel in sent.values():
            size = len(parcel.picture.body)
            parcel.end(Outcome(Meaning.LATER, "network", "the connection to the broker ended", size))


_TURN_S: Final = 0.1
