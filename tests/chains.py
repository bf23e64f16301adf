"""Sealed ledgers of devices that do not exist, as the code of the real ones seals them."""

from collections.abc import Iterable, Sequence
from typing import Any

from agent.ledger.gaps import NumberGap, number_gap_body
from agent.ledger.messages import alert_body
from agent.ledger.sealing import FIRST_PREV, Draft, Origin, Sealed, seal
from samples import MOMENT

ROOT = "fieldgate/1"


class Chain:
    """One ledger that grows. ``said`` holds its messages, number 1 first."""

    def __init__(self, *, site: str = "lab", device: str = "bench-1", epoch: str = "epoch-1") -> None:
        self.epoch = epoch
        self.said: list[Sealed] = []
        self._origin = Origin(site, device, "boot-1", "kernel-1")

    def say(self, kind: str, body: dict[str, Any]) -> Sealed:
        """Seal one more message."""
        prev = self.said[-1].sha256 if self.said else FIRST_PREV
        number = len(self.said) + 1
        draft = Draft(kind, f"{self._origin.device}-{self.epoch}-{number}", self._origin, body)
        self.said.append(seal(draft, epoch=self.epoch, seq=number, prev=prev))
        return self.said[-1]

    def alerts(self, count: int) -> "Chain":
        """Seal so many alerts."""
        for number in range(count):
            said = alert_body(MOMENT, code="mode-file", severity="warning", raised=True, about="x", text=f"{number}")
            self.say("alerts", said)
        return self

    def missing(self, first: int, last: int, *, of: "Chain | None" = None) -> Sealed:
        """Say that numbers, of this ledger or another one of the device, will never come."""
        other = of or self
        gap = NumberGap(other.epoch, first, last, other.said[last - 1].sha256)
        return self.say("gaps", number_gap_body(MOMENT, gap, code="evicted", text="the disk was full"))

    def ended(self, other: "Chain", after: int | None) -> Sealed:
        """Say that an earlier ledger of the device is not carried on."""
        ledger = {"epoch": other.epoch, "after": after}
        reason = {"code": "lost", "text": "the database was lost"}
        return self.say("gaps", {**MOMENT.to_json(), "ledger": ledger, "reason": reason})

    def topic(self, sealed: Sealed) -> str:
        """Where a message of this ledger is published alone."""
        return f"{ROOT}/{self._origin.site}/{self._origin.device}/up/ledger/{sealed.kind}"

    def deliveries(self, numbers: Iterable[int] | None = None) -> Sequence[tuple[str, bytes]]:
        """Topic and bytes of the messages with these numbers; of all where none are named."""
        chosen = self.said if numbers is None else [self.said[number - 1] for number in numbers]
        return [(self.topic(one), one.body) for one in chosen]
