from pathlib import Path

import pytest

from false_clock import needs_faketime
from mosquitto import needs_mosquitto
from ordeals.clocks import wrong_clocks

pytestmark = [needs_mosquitto, needs_faketime, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_wrong_clock_costs_no_record(tmp_path: Path) -> None:
    """At 1970 after the boot, three days ahead, a year behind, or jumping: each picture is one record, in order."""
    print(wrong_clocks(tmp_path, seed=2026, rounds=1).line())
