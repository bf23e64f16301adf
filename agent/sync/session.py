"""What the uplink knows about its present connection, and what it says about it. No network, no clock."""

from typing import Any, Final

import structlog

from agent.ledger.sealing import canonical
from agent.sync.limits import Limits
from agent.sync.retry import RETAIN_NOT_SUPPORTED, puback_text
from agent.sync.topics import Topics
from agent.sync.wire import Connected, Note, Will

log = structlog.get_logger(__name__)

_FAILURE: Final = 0x80
_MOST_SHOWN: Final = 8
_LONGEST_BRANCH: Final = 128  # such as /up/evidence/ and an id
_PACKET_OVERHEAD: Final = 16  # fixed header, lengths, packet identifier, property lengths


class Session:
    """The present connection, or the attempt at one.

    Attributes:
        link: Its number; None between two attempts.
        connected: Whether the broker has accepted it.
        connects: How many connections this process has had.
        window: How many publications may be in flight on it.
        largest_packet: Bytes of the largest packet that the broker, or a key, allows; None where neither names any.
        not_permitted: Topics beside the ledger that the broker refuses, and its words.
    """

    def __init__(self, *, topics: Topics, boot: str, limits: Limits) -> None:
        self._topics = topics
        self._boot = boot
        self._limits = limits
        self._may_retain = True
        self._keepalive_s: int | None = None
        self.link: int | None = None
        self.connected = False
        self.connects = 0
        self.window = limits.window
        self.largest_packet: int | None = None
        self.not_permitted: dict[str, str] = {}

    def accepted(self, event: Connected) -> None:
        """The broker took the connection, within these limits."""
        self.connected = True
        self.connects += 1
        self.window = max(1, min(self._limits.window, event.receive_maximum))
        self._may_retain = self._may_retain and event.retain_available
        bounds = [size for size in (event.maximum_packet_size, self._limits.packet_bytes) if size]
        self.largest_packet = min(bounds, default=None)
        self._keepalive_s = event.keepalive_s
        self.not_permitted = {}

    def refused(self, code: int) -> None:
        """The broker said no; where it cannot retain, the next attempt's will is not retained."""
        self._may_retain = self._may_retain and code != RETAIN_NOT_SUPPORTED

    def over(self) -> None:
        """There is no connection any more."""
        self.link = None
        self.connected = False

    def will(self) -> Will:
        """What the broker says when the line breaks, under the number that the connection will have.

        A consumer that knows a later connection, or another boot, knows that this will is stale.
        """
        return Will(self._topics.online, self._online("lost", self.connects + 1), self._may_retain)

    def online(self) -> Note:
        """The first word of a connection."""
        return Note(self._topics.online, self._online("online", self.connects), retain=True)

    def stopped(self) -> Note:
        """The last word of a connection that ends on purpose."""
        return Note(self._topics.online, self._online("stopped", self.connects), retain=True)

    def retain(self, note: Note) -> bool:
        """Whether to publish a note as retained: if it should be and the broker can."""
        return note.retain and self._may_retain

    def takes(self, note: Note) -> bool:
        """Whether a note fits into the largest packet of this broker; one that does not would end the connection."""
        size = len(note.body) + len(note.topic.encode()) + len(note.correlation or b"") + _PACKET_OVERHEAD
        if self.largest_packet is None or size <= self.largest_packet:
            return True
        self.refuses(note.topic, f"{len(note.body)} bytes are too large for the broker's {self.largest_packet}")
        return False

    def room_for(self, topic: str) -> int | None:
        """How many bytes of body and user properties fit into one packet to a topic that begins so and has an id."""
        if self.largest_packet is None:
            return None
        return self.largest_packet - len(topic.encode()) - _LONGEST_BRANCH - _PACKET_OVERHEAD

    def limits(self) -> dict[str, Any]:
        """What the broker has said that it bears; None where it said nothing."""
        return {
            "window": self.window,
            "largest_packet": self.largest_packet,
            "retain": self._may_retain,
            "keepalive_s": self._keepalive_s,
        }

    def answered(self, topic: str, code: int) -> None:
        """The broker answered a note or a subscription."""
        if code >= _FAILURE:
            self.refuses(topic, puback_text(code))

    def refuses(self, topic: str, reason: str) -> None:
        """Remember, and log once per connection, which topics the broker refuses."""
        if topic not in self.not_permitted and len(self.not_permitted) < _MOST_SHOWN:
            self.not_permitted = {**self.not_permitted, topic: reason}
            log.warning("broker-refuses-topic", topic=topic, reason=reason)

    def _online(self, state: str, connects: int) -> bytes:
        return canonical({"state": state, "boot": self._boot, "connects": connects})
