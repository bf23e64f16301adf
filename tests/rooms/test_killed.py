import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.store.cursors import stream_done
from store_rig import Store, ledger, of_kind, rows

PROCESS = Path(__file__).parent.parent / "writing_process.py"
KILLS = 10


@pytest.fixture
def starter(tmp_path):
    """What starts writing processes."""
    command = [sys.executable, PROCESS, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        yield process


def acknowledged_until_killed(starter: subprocess.Popen, boot: str, *, after: int, pause_s: float) -> list[str]:
    """Start a writing process, kill it a moment after so many acknowledgements; what it acknowledged."""
    assert starter.stdin is not None
    assert starter.stdout is not None
    starter.stdin.write(f"{boot}\n")
    pid, said = 0, list[str]()
    while not pid or len(said) < after:
        line = starter.stdout.readline()
        pid, said = (int(line), said) if line.strip().isdigit() else (pid, [*said, line])
    threading.Event().wait(pause_s)  # not to wait for something: a kill comes at any moment
    os.kill(pid, signal.SIGKILL)
    while (line := starter.stdout.readline()) != "dead\n":
        said.append(line)
    return said


def test_nothing_that_was_acknowledged_is_lost_by_a_kill(tmp_path, starter, request):
    """Killed at any moment, each acknowledged verdict is there once, the chain is whole, and the cursor fits."""
    chance = random.Random(f"{request.config.getoption('randomly_seed', 0)}")
    said = []
    for boot in range(KILLS):
        after, pause_s = chance.randint(1, 40), chance.uniform(0, 0.05)
        said += acknowledged_until_killed(starter, f"boot-{boot}", after=after, pause_s=pause_s)
        reached, beyond = cursor(tmp_path)
        written = [int(source) for (source,) in rows(tmp_path, "SELECT source FROM records")]
        assert sorted(written) == list(range(1, reached + 1))
        assert beyond == set()
    store = Store(tmp_path, boot="last")
    store.stop()
    messages = ledger(tmp_path)
    records = of_kind("inspections", messages)
    kept = {(one["id"], one["source"]) for one in records}
    assert len(kept) == len(records) == len({one["source"] for one in records})
    acknowledged = [tuple(line.split()) for line in said]
    assert len(acknowledged) == len(set(acknowledged)) >= KILLS
    assert set(acknowledged) <= kept
    rollups = of_kind("rollups", messages)
    assert {one["closed"] for one in rollups} == {"restart"}
    assert sum(one["frames"] for one in rollups) == len(records)
    assert len(rollups) == KILLS


def cursor(folder: Path) -> tuple[int, set[int]]:
    """How far the stream is committed."""
    store = Store(folder, boot="reader")
    done = stream_done(store.db, "top", "video:belt.avi")
    store.crash()
    return done
