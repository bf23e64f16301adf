"""What an ordeal came to: one line for a person, and a story's assertions before it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Tick = Callable[[], None]
"""Called once for each count of an ordeal, so that somebody can draw a bar."""


def nobody_watches() -> None:
    """No bar is drawn."""


@dataclass(frozen=True)
class Outcome:
    """An ordeal that was passed.

    Attributes:
        ordeal: Its name.
        seed: What it drew from.
        count: How many kills, cuts, messages it took.
        seconds: How long.
        figures: What was seen, in the order to print it.
    """

    ordeal: str
    seed: int
    count: int
    seconds: float
    figures: Mapping[str, object]

    def line(self) -> str:
        """All of it in one line."""
        seen = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        return f"{self.ordeal}: seed {self.seed}, {self.count} in {self.seconds:.0f} s: {seen}"


class Stopwatch:
    """How long something has taken."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began
