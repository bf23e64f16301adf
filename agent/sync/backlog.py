"""Which ledger messages are sent next, and what became of those that were sent: no network, no clock.

The disk is the queue. Here are only the window (what is sent and not acknowledged), the messages that are
acknowledged and whose commit is still to come (so that none is sent twice), and the messages that are held.
"""

from collections import Counter, deque
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

from agent.store.numbers import seq_of
from agent.store.outbox import Outgoing
from agent.sync.bulk import packed
from agent.sync.disk import Disk
from agent.sync.lanes import PATIENT, Lane, Lanes
from agent.sync.limits import Limits
from agent.sync.retry import Settlement, puback_text, settlement
from agent.sync.topics import Topics

PROBE_NS: Final = 5 * 10**9
HELD_NS: Final = 600 * 10**9
STRIKES: Final = 5
BATCH_STRIKES: Final = 2
SMALLEST_BATCH: Final = 4_096

_MAYBE_THIS_ONE: Final = frozenset({0x80, 0x83})  # a quota (0x97) is never one message's fault
_SHOWN: Final = 20
_PACKET_OVERHEAD: Final = 16  # fixed header, lengths, packet identifier, empty properties
_BATCH_OVERHEAD: Final = 96  # the same, and a batch's user properties


@dataclass(frozen=True, slots=True)
class Held:
    """Why a message is kept back while the others go on, and until when (monotonic)."""

    code: str
    text: str
    until_ns: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published as one: a message, or a batch of them.

    Attributes:
        lane: The lane it comes from.
        topic: Where it goes.
        places: The messages in it.
        body: Their bytes.
    """

    lane: str
    topic: str
    places: tuple[int, ...]
    body: bytes

    @property
    def batch(self) -> bool:
        """Whether it holds more than one message."""
        return len(self.places) > 1


@dataclass(frozen=True, slots=True)
class _Sent:
    publication: Publication
    at_ns: int


class Backlog:
    """The unsettled messages of this device. For the uplink's thread alone.

    A message that fails alone five times in a row (the broker names no limit and yet refuses it, or closes
    the connection at it) is held for ten minutes, so that it cannot block the others for ever. A batch that fails
    alone makes batches half as large.

    Args:
        disk: The outbox.
        topics: The device's topics.
        limits: What the broker is asked to bear.
    """

    def __init__(self, *, disk: Disk, topics: Topics, limits: Limits) -> None:
        self._disk = disk
        self._topics = topics
        self._limits = limits
        self._lanes = Lanes(disk, busy=self._busy, bulk_from=limits.bulk_from)
        self._sent: dict[int, _Sent] = {}
        self._flying: set[int] = set()
        self._unsure: set[int] = set()
        self._acknowledged: list[int] = []
        self._settled: set[int] = set()
        self._committed: deque[tuple[int, ...]] = deque()
        self._dead: set[int] = set()
        self._held: dict[int, Held] = {}
        self._strikes: Counter[int] = Counter()
        self._largest: int | None = None
        self._largest_batch = limits.batch_bytes
        self._careful = False
        self._probe_at_ns = 0
        self._bulk_at_ns = 0
        self.probing = False
        self.settled = 0
        self.resent = 0
        self.batches = 0

    @property
    def dry(self) -> bool:
        """Whether everything on the disk was sent, settled or held when it was last read."""
        return self._lanes.dry

    @property
    def in_flight(self) -> int:
        """How many publications are sent and not acknowledged."""
        return len(self._sent)

    @property
    def holding(self) -> int:
        """How many messages are held."""
        return len(self._held)

    def oldest_sent_ns(self) -> int | None:
        """When the publication was sent that waits longest for its acknowledgement."""
        return next((one.at_ns for one in self._sent.values()), None)

    def look(self) -> None:
        """There may be something new on the disk."""
        self._lanes.look()

    def reread(self) -> None:
        """Something old is to be sent after all, dead letters too if the disk says so."""
        self._dead.clear()
        self._lanes.rewind()

    def linked(self, largest_packet: int | None, *, bulk_at_ns: int = 0) -> None:
        """A connection begins: everything unsettled is to be sent, whatever was sent before.

        Args:
            largest_packet: Bytes of the largest packet that the broker takes; None if it named no limit.
            bulk_at_ns: What goes out in batches waits until then (monotonic).
        """
        self._largest = largest_packet
        self._bulk_at_ns = bulk_at_ns
        self._held = {n: held for n, held in self._held.items() if held.code != "too-large"}
        self._lanes.begin()

    def cut(self) -> None:
        """The connection ended: nothing is known about what was in flight."""
        if len(self._sent) == 1:
            (alone,) = self._sent.values()
            self._strike(alone.publication)
        # Until something settles, one at a time shows which message it is, if it is one.
        self._careful = self._careful or bool(self._sent)
        self._unsure |= self._flying
        self._sent.clear()
        self._flying.clear()
        self._lanes.rewind()

    def next(self, room: int, now_ns: int, closed: Set[str] = frozenset()) -> Publication | None:
        """What to send now; None if there is nothing, or the window is full, or it is not time.

        Args:
            room: How many more may be in flight.
            now_ns: Monotonic.
            closed: Lanes that may not be sent now.

        Raises:
            StoreError: The disk cannot be read.
        """
        self._release(now_ns)
        if room <= 0 or ((self.probing or self._careful) and self._sent):
            return None
        if self.probing and now_ns < self._probe_at_ns:
            return None
        while self._committed:  # before the disk is read: what was committed is not read any more
            self._settled.difference_update(self._committed.popleft())
        while (lane := self._lanes.first(closed)) is not None:
            if lane.bulk and lane.name in PATIENT and now_ns < self._bulk_at_ns:
                closed = closed | {lane.name}
                continue
            reason = self._reason_to_hold(lane.waiting[0])
            if reason is None:
                return self._taken(lane)
            self._held[lane.waiting.popleft().n] = Held(*reason, now_ns + HELD_NS)
        return None

    def sent(self, mid: int, publication: Publication, now_ns: int) -> None:
        """A publication has been handed to the wire under this number."""
        self._sent[mid] = _Sent(publication, now_ns)
        self._flying.update(publication.places)
        self.batches += publication.batch
        if self._unsure:
            again = self._unsure.intersection(publication.places)
            self.resent += len(again)
            self._unsure -= again

    def acknowledged(self, mid: int, code: int, now_ns: int) -> Settlement | None:
        """The broker answered; None if this was no ledger message.

        Returns:
            What the answer means, already acted upon as far as the messages are concerned; pausing is the
            caller's part.
        """
        sent = self._sent.pop(mid, None)
        if sent is None:
            return None
        publication = sent.publication
        self._flying.difference_update(publication.places)
        meaning = settlement(code, require_subscriber=self._limits.require_subscriber)
        if meaning is Settlement.SETTLE:
            self._settle(publication)
            return meaning
        if meaning is Settlement.REJECTED:
            self._reject(publication, code)
        elif meaning is Settlement.HOLD:
            self.probing = True
            self._probe_at_ns = now_ns + PROBE_NS
        else:
            self._careful = True
            if code in _MAYBE_THIS_ONE and not self._sent:
                self._strike(publication)
        self._lanes.rewind()
        return meaning

    def flush(self) -> None:
        """Tell the journal what was acknowledged since the last call."""
        if self._acknowledged:
            places = tuple(self._acknowledged)
            self._acknowledged.clear()
            self._disk.settle(places, lambda: self._committed.append(places))

    def due_ns(self) -> int | None:
        """When to look again without an event: the next probe, the end of a holding."""
        times = [held.until_ns for held in self._held.values()]
        if self.probing and not self._sent:
            times.append(self._probe_at_ns)
        return min(times, default=None)

    def snapshot(self) -> dict[str, Any]:
        """Counts, and the first of the held messages."""
        held = sorted(self._held.copy().items())
        return {
            "in_flight": self.in_flight,
            "settled": self.settled,
            "resent": self.resent,
            "batches": self.batches,
            "held": len(held),
            "held_messages": [{"seq": seq_of(n), "code": one.code, "text": one.text} for n, one in held[:_SHOWN]],
        }

    def _taken(self, lane: Lane) -> Publication:
        """Take the first message of a lane, and as many more as make a batch where many wait."""
        if lane.bulk and (room := self._batch_room()) >= SMALLEST_BATCH:
            count, body = packed((message.body for message in lane.waiting), largest=room)
            if count:
                places = tuple(lane.waiting.popleft().n for _ in range(count))
                return Publication(lane.name, self._topics.batch, places, body)
        message = lane.waiting.popleft()
        return Publication(lane.name, self._topics.ledger(message.kind), (message.n,), message.body)

    def _batch_room(self) -> int:
        if self._largest is None:
            return self._largest_batch
        return min(self._largest_batch, self._largest - len(self._topics.batch) - _BATCH_OVERHEAD)

    def _settle(self, publication: Publication) -> None:
        self.settled += len(publication.places)
        self.probing = self._careful = False
        self._strikes.clear()
        self._settled.update(publication.places)
        self._acknowledged += publication.places

    def _reject(self, publication: Publication, code: int) -> None:
        """A message that the broker will not take is a dead letter; of a batch it is not known which one it is."""
        if publication.batch:
            self._largest_batch = len(publication.body) // 2
            self._careful = True
        else:
            (place,) = publication.places
            self._dead.add(place)
            self._disk.bury(place, puback_text(code))

    def _strike(self, publication: Publication) -> None:
        first = publication.places[0]
        self._strikes[first] += 1
        if publication.batch and self._strikes[first] >= BATCH_STRIKES:
            self._largest_batch = len(publication.body) // 2
            del self._strikes[first]

    def _busy(self, n: int) -> bool:
        return n in self._flying or n in self._settled or n in self._dead or n in self._held

    def _reason_to_hold(self, message: Outgoing) -> tuple[str, str] | None:
        if self._largest is not None:
            size = len(message.body) + len(self._topics.ledger(message.kind)) + _PACKET_OVERHEAD
            if size > self._largest:
                return "too-large", f"{size} bytes, and the broker takes packets of at most {self._largest}"
        if self._strikes[message.n] >= STRIKES:
            del self._strikes[message.n]
            self._careful = False
            return "broker-fails", f"the broker failed at this message {STRIKES} times in a row"
        return None

    def _release(self, now_ns: int) -> None:
        over = [n for n, held in self._held.items() if held.until_ns <= now_ns]
        for n in over:
            del self._held[n]
        if over:
            self._lanes.rewind()
