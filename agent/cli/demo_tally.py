"""What a demo has seen so far, counted against what is really on the simulated parts."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LATEST: Final = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """One inspected part.

    Attributes:
        part: Its number on the simulated line.
        truth: What is really wrong with it, by label; empty for a good part.
        outcome: The agent's word.
        disposition: What follows.
        reason: Why, in a sentence.
        total_ms: From capture to verdict.
    """

    part: str
    truth: tuple[str, ...]
    outcome: str
    disposition: str
    reason: str
    total_ms: float

    @property
    def agreement(self) -> str:
        """How the verdict compares with the truth, in a word or two."""
        if self.outcome not in {"pass", "fail"}:
            return "no verdict"
        if self.truth:
            return "found" if self.outcome == "fail" else "missed"
        return "false alarm" if self.outcome == "fail" else "right"


@dataclass(slots=True)
class Tally:
    """Counts of everything seen.

    Attributes:
        outcomes: Parts by outcome.
        agreements: Parts by ``Seen.agreement``.
        latest: The last few parts, oldest first.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    agreements: Counter[str] = field(default_factory=Counter)
    latest: deque[Seen] = field(default_factory=lambda: deque(maxlen=LATEST))
    _total_ms: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def add(self, record: Mapping[str, Any], truth: Sequence[str]) -> None:
        """Count one sealed record of a simulated part."""
        seen = Seen(
            part=str(record["source"]),
            truth=tuple(truth),
            outcome=record["outcome"],
            disposition=record["disposition"],
            reason=record["reason"]["text"],
            total_ms=record["latency_ms"]["total"],
        )
        self.outcomes[seen.outcome] += 1
        self.agreements[seen.agreement] += 1
        self.latest.append(seen)
        self._total_ms.append(seen.total_ms)

    @property
    def parts(self) -> int:
        """How many parts were seen."""
        return sum(self.outcomes.values())

    def latency_ms(self, share: float) -> float | None:
        """The time from capture to verdict that this share of the last 10,000 parts did not exceed."""
        ordered = sorted(self._total_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def outcome_words(self) -> str:
        """``170 pass, 9 fail``."""
        return ", ".join(f"{self.outcomes[name]} {name}" for name in ("pass", "fail", "inconclusive")) or "none"

    def truth_words(self) -> str:
        """How the verdicts compare with the truth, in a sentence's length."""
        found, missed = self.agreements["found"], self.agreements["missed"]
        alarms = self.agreements["false alarm"]
        return (
            f"{found} of {found + missed} defective parts found, {missed} missed, "
            f"{alarms} false alarm{'' if alarms == 1 else 's'}"
        )

    def latency_words(self) -> str:
        """The median and the slowest hundredth, from capture to verdict."""
        middle, slow = self.latency_ms(0.5), self.latency_ms(0.99)
        return "no verdict yet" if middle is None or slow is None else f"p50 {middle:.0f} ms, p99 {slow:.0f} ms"
