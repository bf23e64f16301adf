"""Which ledger message is sent next, and what became of those that were sent: no network, no clock.

The disk is the queue. Here are only the window (what is sent and not acknowledged), the messages that are
settled and whose commit is still to come (so that none is sent twice), and the messages that are held.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.store.outbox import Outgoing
from agent.sync.retry import Settlement, puback_text, settlement

PAGE: Final = 100
PROBE_NS: Final = 5 * 10**9
HELD_NS: Final = 600 * 10**9
STRIKES: Final = 5

_MAYBE_THIS_ONE: Final = frozenset({0x80, 0x83})  # a quota (0x97) is never one message's fault
_REVIEW_AT: Final = 1_000
_SHOWN: Final = 20
_PACKET_OVERHEAD: Final = 16  # fixed header, lengths, packet identifier, empty properties


@dataclass(frozen=True, slots=True)
class Held:
    """Why a message is kept back while the others go on, and until when (monotonic)."""

    code: str
    text: str
    until_ns: int


@dataclass(slots=True)
class _Sent:
    message: Outgoing
    at_ns: int


class Backlog:
    """The unsettled messages of this device, in the order of their numbers. For the uplink's thread alone.

    A message that fails alone five times in a row (the broker names no limit and yet refuses it, or closes
    the connection at it) is held for ten minutes, so that it cannot block the others for ever.

    Args:
        unsettled: Reads up to so many unsettled messages with a number above the first argument, in order.
        settle: Tells the journal; never waits.
        size_of: Length in bytes of the topic that a kind goes to.
        require_subscriber: Whether "no matching subscribers" means hold.
    """

    def __init__(
        self,
        *,
        unsettled: Callable[[int, int], list[Outgoing]],
        settle: Callable[[Sequence[int]], None],
        size_of: Callable[[str], int],
        require_subscriber: bool,
    ) -> None:
        self._unsettled = unsettled
        self._settle = settle
        self._size_of = size_of
        self._require_subscriber = require_subscriber
        self._page: deque[Outgoing] = deque()
        self._cursor = 0
        self._dry = False
        self._sent: dict[int, _Sent] = {}
        self._settled: set[int] = set()
        self._review_at = _REVIEW_AT
        self._ever_sent = 0
        self._held: dict[int, Held] = {}
        self._strikes: Counter[int] = Counter()
        self._largest: int | None = None
        self._careful = False
        self._probe_at_ns = 0
        self.probing = False
        self.settled = 0
        self.resent = 0

    @property
    def dry(self) -> bool:
        """Whether everything on the disk was sent, settled or held when it was last read."""
        return self._dry

    def look(self) -> None:
        """There may be something new on the disk."""
        self._dry = False

    @property
    def in_flight(self) -> int:
        """How many messages are sent and not acknowledged."""
        return len(self._sent)

    @property
    def holding(self) -> int:
        """How many messages are held."""
        return len(self._held)

    def oldest_sent_ns(self) -> int | None:
        """When the message was sent that waits longest for its acknowledgement."""
        return min((one.at_ns for one in self._sent.values()), default=None)

    def linked(self, maximum_packet_size: int | None) -> None:
        """A connection begins: everything unsettled is to be sent, whatever was sent before."""
        self._largest = maximum_packet_size
        self._held = {seq: held for seq, held in self._held.items() if held.code != "too-large"}
        self._rewind()

    def cut(self) -> None:
        """The connection ended: nothing is known about what was in flight."""
        if len(self._sent) == 1:
            (alone,) = self._sent.values()
            self._strikes[alone.message.n] += 1
        # Until something settles, one at a time shows which message it is, if it is one.
        self._careful = self._careful or bool(self._sent)
        self._sent.clear()
        self._rewind()

    def next(self, room: int, now_ns: int) -> Outgoing | None:
        """The message to send now; None if there is none, or the window is full, or it is not time.

        Args:
            room: How many more may be in flight.
            now_ns: Monotonic.
        """
        self._release(now_ns)
        if room <= 0 or ((self.probing or self._careful) and self._sent):
            return None
        if self.probing and now_ns < self._probe_at_ns:
            return None
        while (message := self._read()) is not None:
            reason = self._reason_to_hold(message)
            if reason is None:
                return message
            self._held[message.n] = Held(*reason, now_ns + HELD_NS)
        return None

    def sent(self, mid: int, message: Outgoing, now_ns: int) -> None:
        """A message has been handed to the wire under this number."""
        self._sent[mid] = _Sent(message, now_ns)
        if message.n <= self._ever_sent:
            self.resent += 1
        self._ever_sent = max(self._ever_sent, message.n)

    def acknowledged(self, mid: int, code: int, now_ns: int) -> Settlement | None:
        """The broker answered; None if this was no ledger message.

        Returns:
            What the answer means, already acted upon as far as the messages are concerned; pausing is the
            caller's part.
        """
        sent = self._sent.pop(mid, None)
        if sent is None:
            return None
        seq = sent.message.n
        meaning = settlement(code, require_subscriber=self._require_subscriber)
        if meaning is Settlement.SETTLE:
            self._settle_one(seq)
        elif meaning is Settlement.REJECTED:
            self._held[seq] = Held("rejected", puback_text(code), now_ns + HELD_NS)
        else:
            if meaning is Settlement.HOLD:
                self.probing = True
                self._probe_at_ns = now_ns + PROBE_NS
            else:
                self._careful = True
                self._strikes[seq] += code in _MAYBE_THIS_ONE and not self._sent
            self._rewind()
        return meaning

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
            "held": len(held),
            "held_messages": [{"seq": seq, "code": one.code, "text": one.text} for seq, one in held[:_SHOWN]],
        }

    def _settle_one(self, seq: int) -> None:
        self.settled += 1
        self.probing = self._careful = False
        self._strikes.clear()
        self._settled.add(seq)
        self._settle((seq,))
        if len(self._settled) >= self._review_at:
            self._rewind()  # reading from the start tells which of them are committed

    def _read(self) -> Outgoing | None:
        flying = {one.message.n for one in self._sent.values()}
        while True:
            if not self._page:
                rows = [] if self._dry else self._unsettled(self._cursor, PAGE)
                if self._cursor == 0 and not self._dry:
                    self._forget_committed(rows)
                self._dry = not rows
                if self._dry:
                    return None
                self._page.extend(rows)
            message = self._page.popleft()
            self._cursor = message.n
            if not (message.n in self._settled or message.n in self._held or message.n in flying):
                return message

    def _forget_committed(self, rows: Sequence[Outgoing]) -> None:
        """Drop what was settled and is no longer unsettled on the disk, from its first unsettled rows."""
        still = {row.n for row in rows}
        seen_upto = rows[-1].n if len(rows) >= PAGE else None
        self._settled = {seq for seq in self._settled if seq in still or (seen_upto is not None and seq > seen_upto)}

    def _reason_to_hold(self, message: Outgoing) -> tuple[str, str] | None:
        size = len(message.body) + self._size_of(message.kind) + _PACKET_OVERHEAD
        if self._largest is not None and size > self._largest:
            return "too-large", f"{size} bytes, and the broker takes packets of at most {self._largest}"
        if self._strikes[message.n] >= STRIKES:
            del self._strikes[message.n]
            self._careful = False
            return "broker-fails", f"the broker failed at this message {STRIKES} times in a row"
        return None

    def _release(self, now_ns: int) -> None:
        over = [seq for seq, held in self._held.items() if held.until_ns <= now_ns]
        for seq in over:
            del self._held[seq]
        if over:
            self._rewind()

    def _rewind(self) -> None:
        self._page.clear()
        self._cursor = 0
        self._dry = False
