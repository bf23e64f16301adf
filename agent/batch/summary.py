"""Counting what came out of a batch, and the quantiles of what it took."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.inspection.record import Record


@dataclass(slots=True)
class Summary:
    """Counts over the records of a batch.

    Attributes:
        verdicts: Records by outcome, disposition and reason code.
        confirmed: Confirmed detections by label.
        latency_ms: From pixels to verdict, one value per image that was looked at.
    """

    verdicts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    confirmed: Counter[str] = field(default_factory=Counter)
    latency_ms: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count one record."""
        verdict = record.verdict
        self.verdicts[verdict.outcome, verdict.disposition, verdict.code] += 1
        self.confirmed.update(one.label for one in record.detections if one.confirmed)
        if record.frame.fault is None:
            self.latency_ms.append(record.latency.total)

    @property
    def images(self) -> int:
        """How many records were counted."""
        return self.verdicts.total()


@dataclass(frozen=True, slots=True)
class Spread:
    """How a set of durations is spread, in milliseconds; all 0 for an empty set."""

    average: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some values; quantiles by linear interpolation between neighbours."""
        if not values:
            return cls(0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
        return cls(float(np.mean(values)), p50, p95, p99)
