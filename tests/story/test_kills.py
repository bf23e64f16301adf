from pathlib import Path

import pytest

from injection import needs_strace
from mosquitto import needs_mosquitto
from ordeals.commit_points import kills_at_points
from ordeals.kills import random_kills

pytestmark = [needs_mosquitto, pytest.mark.broker]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    """Killed 50 times at random moments, the agent loses no record that it said it had, and each file is one record."""
    print(random_kills(tmp_path, seed=2026, kills=50).line())


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    """The same with three kills, so that every run of the tests sees it."""
    print(random_kills(tmp_path, seed=7, kills=3).line())


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_at_each_named_point_of_a_commit_loses_nothing(tmp_path: Path) -> None:
    """Killed at each write, flush, rename, publish and acknowledgement, the agent goes on where the disk says."""
    print(kills_at_points(tmp_path, seed=2026, rounds=1).line())
