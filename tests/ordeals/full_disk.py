"""A disk that fills: slowly by the agent itself, suddenly by somebody else, and is freed again."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from ordeals.ground import ENGINE, Ground
from waiting import until

LIVE = {"name": "top", "kind": "simulated", "engine": ENGINE, "fps": 60.0, "record": "all"}

DISK_KB = 60_000

BUDGET = {
    "FIELDGATE_STORE__EVIDENCE": "all",
    "FIELDGATE_STORE__EVIDENCE_MB": "10",
    "FIELDGATE_STORE__DATABASE_MB": "16",
    "FIELDGATE_STORE__FREE_MB": "6",
    "FIELDGATE_STORE__BALLAST_MB": "8",
}
"""For a disk of that size."""


def status_of(ground: Ground, key: str) -> int:
    """A figure of the budget that only rises."""
    return int(ground.agent.status()["budget"]["went"][key])


def fill_slowly(ground: Ground, *, pictures: int) -> None:
    """Nobody does anything: so many pictures have to make room for newer ones."""
    assert until(lambda: status_of(ground, "evidence_evicted") >= pictures, within_s=60), ground.agent.told()[-3000:]


@contextlib.contextmanager
def neighbour(folder: Path, *, greedy: bool) -> Iterator[None]:
    """Somebody else fills the disk to its last byte; a greedy one takes what becomes free, too."""
    other, stop = folder / "neighbour", threading.Event()

    def take() -> None:
        with other.open("ab", buffering=0) as file:
            while True:
                with contextlib.suppress(OSError):
                    while not stop.is_set():
                        file.write(b"x" * 65_536)
                if not greedy or stop.wait(0.02):
                    return

    eater = threading.Thread(target=take)
    eater.start()
    if not greedy:
        eater.join(30)
    try:
        yield
    finally:
        stop.set()
        eater.join(30)
        other.unlink()
