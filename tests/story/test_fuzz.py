from pathlib import Path

import pytest

from mosquitto import needs_mosquitto
from ordeals.fuzz import fuzzed_commands

pytestmark = [needs_mosquitto, pytest.mark.broker]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_fuzzed_commands_change_nothing(tmp_path: Path) -> None:
    """Whatever bytes come, the agent lives, keeps its state and its memory, and answers the next good command."""
    print(fuzzed_commands(tmp_path, seed=2026, commands=10_000).line())
