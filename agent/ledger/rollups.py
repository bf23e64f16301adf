"""One minute of one camera, engine and role as counts that add up."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.inspection.record import STAGES, Record

MINUTE_NS = 60 * 10**9

SCORE_BINS = 20
"""Score histograms have 20 bins of 0.05; the last includes 1."""

_R10 = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
LATENCY_BOUNDS_MS: tuple[float, ...] = (
    *(float(f"{step}e{decade}") for decade in range(-1, 4) for step in _R10),
    10_000.0,
)
"""Upper bounds of the latency buckets (R10 steps, 0.1 ms to 10 s); one more bucket lies above the last."""


@dataclass(frozen=True, slots=True)
class RollupKey:
    """What one rollup is about; the minute is of monotonic time."""

    boot: str
    camera: str
    engine: str
    engine_digest: str
    runtime: str
    role: str
    minute: int


@dataclass(slots=True)
class Rollup:
    """Counts of the frames that were inspected in one minute.

    ``classes`` counts confirmed detections by label, ``score_histograms`` every detection at or above the
    pack's floor. ``replaced`` and ``skipped`` frames were never inspected and are not in ``frames``.
    """

    frames: int = 0
    replaced: int = 0
    skipped: int = 0
    recorded: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    dispositions: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    screening: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    scores: dict[str, list[int]] = field(default_factory=dict)
    latency: dict[str, "LatencyCounts"] = field(default_factory=lambda: {stage: LatencyCounts() for stage in STAGES})

    def add(self, record: Record, *, replaced: int = 0, skipped: int = 0) -> None:
        """Count one inspected frame, and those that were lost on the way to it."""
        self.frames += 1
        self.replaced += replaced
        self.skipped += skipped
        self.recorded += record.kept is not None
        self.outcomes[record.verdict.outcome] += 1
        self.dispositions[record.verdict.disposition] += 1
        self.reasons[record.verdict.code] += 1
        if record.screening is not None:
            _count_score(self.screening, record.screening.score)
        for one in record.detections:
            _count_score(self.scores.setdefault(one.label, [0] * SCORE_BINS), one.score)
            if one.confirmed:
                self.classes[one.label] += 1
        for stage, value in record.latency.to_json().items():
            if value is not None:
                self.latency[stage].add(value)

    def merge(self, body: Mapping[str, Any]) -> None:
        """Add the counts of a rollup's body."""
        self.frames += body["frames"]
        self.replaced += body["replaced"]
        self.skipped += body["skipped"]
        self.recorded += body["recorded"]
        self.outcomes.update(body["outcomes"])
        self.dispositions.update(body["dispositions"])
        self.classes.update(body["classes"])
        self.reasons.update(body["reasons"])
        _add_counts(self.screening, body["screening_histogram"])
        for label, counts in body["score_histograms"].items():
            _add_counts(self.scores.setdefault(label, [0] * SCORE_BINS), counts)
        for stage, latency in body["latency_ms"].items():
            self.latency[stage].merge(latency)

    def to_json(self) -> dict[str, Any]:
        """The counts as the message carries them."""
        return {
            "frames": self.frames,
            "replaced": self.replaced,
            "skipped": self.skipped,
            "recorded": self.recorded,
            "outcomes": dict(self.outcomes),
            "dispositions": dict(self.dispositions),
            "classes": dict(self.classes),
            "reasons": dict(self.reasons),
            "screening_histogram": self.screening,
            "score_histograms": self.scores,
            "latency_ms": {stage: counts.to_json() for stage, counts in self.latency.items()},
        }


@dataclass(slots=True)
class LatencyCounts:
    """How many values fell into each bucket of ``LATENCY_BOUNDS_MS``, their sum and their maximum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_MS) + 1))
    sum: float = 0.0
    max: float = 0.0

    def add(self, value_ms: float) -> None:
        """Count one value."""
        self.counts[bisect_left(LATENCY_BOUNDS_MS, value_ms)] += 1
        self.sum += value_ms
        self.max = max(self.max, value_ms)

    def merge(self, body: Mapping[str, Any]) -> None:
        """Add the counts of one stage of a rollup's body."""
        _add_counts(self.counts, body["counts"])
        self.sum += body["sum"]
        self.max = max(self.max, body["max"])

    def to_json(self) -> dict[str, Any]:
        """Counts, sum and maximum, rounded to microseconds."""
        return {"counts": self.counts, "sum": round(self.sum, 3), "max": round(self.max, 3)}


def added(bodies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of the counts of any number of rollup bodies, as a body's counts."""
    total = Rollup()
    for body in bodies:
        total.merge(body)
    return total.to_json()


def rollup_body(
    time_fields: Mapping[str, Any],
    key: RollupKey,
    counts: Mapping[str, Any],
    *,
    minute: str,
    closed: str,
) -> dict[str, Any]:
    """The body of a sealed rollup.

    Args:
        time_fields: ``at``, ``clock`` and ``monotonic_ns`` of the sealing.
        key: What it is about.
        counts: ``Rollup.to_json()``.
        minute: Wall clock of the minute of its first commit, as text: an attribute, not the key.
        closed: ``minute``, ``stop`` or ``restart``.
    """
    return {
        **time_fields,
        "camera": key.camera,
        "engine": key.engine,
        "engine_digest": key.engine_digest,
        "runtime": key.runtime,
        "role": key.role,
        "minute": minute,
        "monotonic_minute": key.minute,
        "closed": closed,
        **counts,
    }


def _count_score(histogram: list[int], score: float) -> None:
    if 0.0 <= score <= 1.0:
        histogram[min(SCORE_BINS - 1, int(score * SCORE_BINS))] += 1


def _add_counts(mine: list[int], other: Iterable[int]) -> None:
    for index, count in enumerate(other):
        mine[index] += count
