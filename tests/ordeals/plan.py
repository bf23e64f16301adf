"""All ordeals by name, with the counts of a short soak and of a full one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import false_clock
import injection
import mosquitto
import power
from ordeals.clocks import BOOTS, JUMPS, wrong_clocks
from ordeals.commit_points import POINTS, kills_at_points
from ordeals.disk import FAULTS, io_errors, worn_card
from ordeals.fuzz import fuzzed_commands
from ordeals.kills import random_kills
from ordeals.network import TROUBLES, network_troubles
from ordeals.outcome import Outcome, Tick
from ordeals.power_cuts import power_cuts
from ordeals.refusals import refusing_broker

Run = Callable[[Path, int, int, Tick], Outcome]
"""Folder, seed, count, tick."""


@dataclass(frozen=True)
class Ordeal:
    """One of them.

    Attributes:
        name: For the command line.
        run: Does it.
        few: The count of a short soak.
        full: The count of a full one.
        each: Ticks of one count.
        missing: Says what it lacks here; None: nothing.
    """

    name: str
    run: Run
    few: int
    full: int
    each: int = 1
    missing: Callable[[], str | None] = lambda: None

    def ticks(self, count: int) -> int:
        """How often a run of so many ticks."""
        return count * self.each

    def why_not(self) -> str | None:
        """Why it cannot run here."""
        return "mosquitto is not installed" if mosquitto.PROGRAM is None else self.missing()


def _no_strace() -> str | None:
    return None if injection.STRACE else "strace is not installed"


def _no_faketime() -> str | None:
    return None if false_clock.LIBRARIES else "libfaketime is not installed"


ORDEALS = (
    Ordeal("kills", lambda at, seed, n, tick: random_kills(at, seed=seed, kills=n, tick=tick), 5, 300),
    Ordeal(
        "commit-points",
        lambda at, seed, n, tick: kills_at_points(at, seed=seed, rounds=n, tick=tick),
        1,
        5,
        len(POINTS),
        _no_strace,
    ),
    Ordeal(
        "power-cuts-paced",
        lambda at, seed, n, tick: power_cuts(at, seed=seed, cuts=n, burst=False, tick=tick),
        3,
        50,
        missing=power.why_not,
    ),
    Ordeal(
        "power-cuts-burst",
        lambda at, seed, n, tick: power_cuts(at, seed=seed, cuts=n, burst=True, tick=tick),
        3,
        50,
        missing=power.why_not,
    ),
    Ordeal(
        "io-errors",
        lambda at, seed, n, tick: io_errors(at, seed=seed, rounds=n, tick=tick),
        1,
        4,
        len(FAULTS),
        _no_strace,
    ),
    Ordeal(
        "read-only",
        lambda at, seed, n, tick: worn_card(at, seed=seed, rounds=n, tick=tick),
        1,
        10,
        missing=power.why_not,
    ),
    Ordeal(
        "network",
        lambda at, seed, n, tick: network_troubles(at, seed=seed, rounds=n, tick=tick),
        1,
        6,
        len(TROUBLES),
    ),
    Ordeal("refusals", lambda at, seed, n, tick: refusing_broker(at, seed=seed, refusals=n, tick=tick), 10, 60),
    Ordeal(
        "clocks",
        lambda at, seed, n, tick: wrong_clocks(at, seed=seed, rounds=n, tick=tick),
        1,
        5,
        len(BOOTS) + len(JUMPS),
        _no_faketime,
    ),
    Ordeal("fuzz", lambda at, seed, n, tick: fuzzed_commands(at, seed=seed, commands=n, tick=tick), 5_000, 100_000),
)
"""In the order in which the soak runs them."""
