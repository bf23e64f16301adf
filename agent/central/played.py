"""The ledger of a device that does not exist: sealed by the real code, and what of it waits. No network, no thread."""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.inspection.frame import Moment
from agent.ledger.gaps import EndedEpoch, ledger_gap_body, number_gap_body, number_gaps
from agent.ledger.sealing import FIRST_PREV, Draft, Origin, Sealed, seal

BATCH_FROM: Final = 200
"""So many messages must wait before they go out in batches."""

_BATCH_BYTES: Final = 100_000
_KEPT_FOR_REPLAY: Final = 50


@dataclass(frozen=True, slots=True)
class Own:
    """A sealed message and the ledger that it stands in."""

    epoch: str
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Packet:
    """What goes out as one message.

    Attributes:
        branch: Where to, behind ``up/``.
        body: Its bytes.
        holds: The ledger messages in it.
    """

    branch: str
    body: bytes
    holds: tuple[Own, ...]


class PlayedLedger:
    """A device's ledger, one epoch after the other.

    Args:
        origin: The device.
        new_id: Makes ids.

    Attributes:
        heads: The last number of each epoch, the present one last.
        sealed: How many messages were sealed.
        sent: How many were acknowledged, copies included.
        batches: How many of the packets were batches.
        evicted: How many numbers gaps have explained.
    """

    def __init__(self, origin: Origin, new_id: Callable[[], str]) -> None:
        self._origin = origin
        self._new_id = new_id
        self._waiting: deque[Own] = deque()
        self._settled: deque[Own] = deque(maxlen=_KEPT_FOR_REPLAY)
        self.heads: dict[str, int] = {}
        self.sealed = self.sent = self.batches = self.evicted = 0
        self._epoch, self._prev = new_id(), FIRST_PREV
        self.heads[self._epoch] = 0

    @property
    def epoch(self) -> str:
        """The present epoch."""
        return self._epoch

    @property
    def waiting(self) -> int:
        """Messages that are sealed and not on their way."""
        return len(self._waiting)

    def say(self, kind: str, body: Mapping[str, Any]) -> None:
        """Seal one more message."""
        seq = self.heads[self._epoch] + 1
        draft = Draft(kind, self._new_id(), self._origin, body)
        one = seal(draft, epoch=self._epoch, seq=seq, prev=self._prev)
        self.heads[self._epoch], self._prev = seq, one.sha256
        self.sealed += 1
        self._waiting.append(Own(self._epoch, one))

    def next(self, *, batches: bool) -> Packet | None:
        """What to send now; it is the caller's until ``settle`` or ``give_back``."""
        if not self._waiting:
            return None
        if batches and len(self._waiting) > BATCH_FROM:
            return self._batch()
        own = self._waiting.popleft()
        return Packet(f"ledger/{own.sealed.kind}", own.sealed.body, (own,))

    def settle(self, packet: Packet) -> None:
        """The broker has taken it."""
        self.sent += len(packet.holds)
        self.batches += packet.branch == "ledger/batch"
        self._settled.extend(packet.holds)

    def give_back(self, packets: Iterable[Packet]) -> None:
        """These were on their way when the line broke: they wait again, before the others."""
        for packet in reversed(list(packets)):
            self._waiting.extendleft(reversed(packet.holds))

    def send_again(self, count: int) -> int:
        """Let settled messages wait once more; returns how many."""
        again = list(self._settled)[-count:]
        self._waiting.extend(again)
        return len(again)

    def evict(self, count: int, moment: Moment) -> None:
        """The oldest that wait will never come; gaps say so, and are themselves never evicted."""
        gone = self._take_out(count)
        for gap in number_gaps(gone):
            self.evicted += gap.count
            text = "the disk was full"
            self.say("gaps", number_gap_body(moment, gap, code="ledger-evicted", text=text))

    def begin_again(self, moment: Moment, *, damaged: bool, lost: int) -> None:
        """A new epoch begins.

        Args:
            moment: When.
            damaged: The old database could be read, but for ``lost`` of the messages that waited. Otherwise it is
                gone with all of them, and nobody knows how far it reached.
            lost: How many.
        """
        earlier = list(self.heads)
        old = earlier[-1]
        holes = number_gaps(self._take_out(lost)) if damaged else []
        if not damaged:
            self._waiting = deque(own for own in self._waiting if own.epoch != old)
        # What had been said in a lost ledger about those before it may be lost with it: they are named once more.
        ended = [EndedEpoch(old, self.heads[old])] if damaged else [EndedEpoch(epoch, None) for epoch in earlier[::-1]]
        code = "database-damaged" if damaged else "database-lost"
        self._begin()
        for one in ended:
            self.say("gaps", ledger_gap_body(moment, one, code=code, text="a simulated loss"))
        for gap in holes:
            self.evicted += gap.count
            self.say("gaps", number_gap_body(moment, gap, code=code, text="a simulated loss"))

    def _begin(self) -> None:
        self._epoch, self._prev = self._new_id(), FIRST_PREV
        self.heads[self._epoch] = 0

    def _take_out(self, count: int) -> list[tuple[str, int, str]]:
        """Epoch, number and sha256 of the oldest but gaps, in the ledger's order; they wait no longer."""
        oldest = [own for own in self._waiting if own.sealed.kind != "gaps"][:count]
        gone = {own.sealed.id for own in oldest}
        self._waiting = deque(own for own in self._waiting if own.sealed.id not in gone)
        order = {epoch: place for place, epoch in enumerate(self.heads)}
        facts = {(own.epoch, own.sealed.seq, own.sealed.sha256) for own in oldest}
        return sorted(facts, key=lambda fact: (order[fact[0]], fact[1]))

    def _batch(self) -> Packet:
        """As many messages as fit into a batch even if compressing them gains nothing."""
        holds = [self._waiting.popleft()]
        size = len(holds[0].sealed.body)
        while self._waiting and size + len(self._waiting[0].sealed.body) < _BATCH_BYTES:
            holds.append(self._waiting.popleft())
            size += len(holds[-1].sealed.body) + 1
        return Packet("ledger/batch", zlib.compress(b"\n".join(own.sealed.body for own in holds)), tuple(holds))
