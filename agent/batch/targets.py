"""What the field expects of an inspection: how fast an answer must come, and what hardware is known to reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

USE_CASES: Final[Mapping[str, float | None]] = {
    "line": 100.0,
    "batch": 500.0,
    "drone": 2_000.0,
    "mobile": 3_000.0,
    "overnight": None,
}
"""Longest latency in milliseconds from pixels to verdict; None: any."""

BANDS: Final[Mapping[str, tuple[float, float]]] = {
    "V100": (20.0, 50.0),
    "T4": (10.0, 25.0),
    "Jetson": (5.0, 15.0),
    "CPU": (1.0, 5.0),
}
"""Images/s that two-stage inspection reaches on each kind of hardware."""


@dataclass(frozen=True, slots=True)
class Target:
    """How one use case is met.

    Attributes:
        use_case: Its name.
        limit_ms: Longest latency; None: any.
        p99_ms: What was measured: 99 of 100 images are not slower.
    """

    use_case: str
    limit_ms: float | None
    p99_ms: float

    @property
    def met(self) -> bool:
        """Whether 99 of 100 images stay below the limit."""
        return self.limit_ms is None or self.p99_ms < self.limit_ms


def targets(p99_ms: float, only: str | None = None) -> list[Target]:
    """Each use case, or one of them, held against a measured p99."""
    return [Target(name, limit, p99_ms) for name, limit in USE_CASES.items() if only in (None, name)]


def placed(images_per_s: float, hardware: str) -> str:
    """Where a throughput lies in the band of some hardware: ``below``, ``within`` or ``above``."""
    low, high = BANDS[hardware]
    if images_per_s < low:
        return "below"
    return "within" if images_per_s <= high else "above"
