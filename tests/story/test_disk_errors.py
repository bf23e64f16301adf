from pathlib import Path

import pytest

from injection import needs_strace
from mosquitto import needs_mosquitto
from ordeals.disk import io_errors, worn_card
from power import why_not

pytestmark = [needs_mosquitto, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]


@needs_strace
def test_an_error_of_the_nth_write_flush_or_read_costs_nothing_that_was_recorded(tmp_path: Path) -> None:
    """Whatever call the disk refuses, nothing is said to be recorded that is not, and each picture is one record."""
    print(io_errors(tmp_path, seed=2026, rounds=1).line())


def test_a_disk_that_turns_read_only_makes_nobody_lie(tmp_path: Path) -> None:
    """On a read-only disk nothing more is called recorded; after a repair the agent goes on where it was."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    print(worn_card(tmp_path, seed=2026, rounds=2).line())
