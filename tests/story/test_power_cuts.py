from pathlib import Path

import pytest

from mosquitto import needs_mosquitto
from ordeals.power_cuts import power_cuts
from power import why_not

pytestmark = [needs_mosquitto, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _root() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize(("burst", "cuts"), [(False, 3), (True, 2)], ids=["paced", "burst"])
def test_a_power_cut_takes_nothing_that_was_said_to_be_recorded(tmp_path: Path, burst: bool, cuts: int) -> None:
    """After each cut the database opens, and every record that the agent had announced is there and is delivered."""
    print(power_cuts(tmp_path, seed=2026, cuts=cuts, burst=burst).line())
