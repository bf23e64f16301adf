"""SIGKILL at every named point of a commit, and of everything that is written beside it."""

import random
import signal
from dataclasses import dataclass
from pathlib import Path

from injection import killed_at
from ordeals.ground import CUT_COPIES, Ground, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from waiting import until

PACE_S = 0.01
FILES = 120
SLOWEST_S = 60.0


@dataclass(frozen=True)
class Point:
    """A moment at which the agent is killed.

    Attributes:
        name: What it is about to do.
        call: The system call by which it does that.
        file: The file it does it to, below the store; None: whichever.
        upto: The Nth such call is drawn from 1 to this.
    """

    name: str
    call: str
    file: str | None
    upto: int


DATABASE, LOG, RECORDED = "fieldgate.db", "fieldgate.db-wal", "../recorded.txt"

POINTS = (
    Point("write a commit's pages to the log", "pwrite64", LOG, 150),
    Point("flush the log: the commit itself", "fdatasync", LOG, 20),
    Point("say that a commit is over", "write", RECORDED, 15),
    Point("publish what was committed", "sendto", None, 60),
    Point("hear what the broker acknowledged", "recvfrom", None, 120),
    Point("copy the log into the database", "pwrite64", DATABASE, 3),
    Point("flush the database after that", "fdatasync", DATABASE, 1),
    Point("flush a picture or its folder", "fsync", None, 20),
    Point("give a picture or a state file its name", "rename", None, 10),
    Point("note the file in hand", "pwrite64", "in-hand/top.inspecting.json", 40),
    Point("put the decoded file down", "pwrite64", "in-hand/top.decoding.json", 40),
)
"""In the order of a frame's walk. Before BEGIN nothing is written: there the random kills fall."""


def kills_at_points(folder: Path, *, seed: int, rounds: int, tick: Tick = nobody_watches) -> Outcome:
    """Kill the agent at each point; in the end each file is recorded and delivered once."""
    draw, watch = random.Random(seed), Stopwatch()
    store = folder / "store"
    kills = rounds * len(POINTS)
    images = pictures(folder / "images", kills * FILES)
    with ground(folder, folder_camera(images, every_s=PACE_S, on_end="exit"), store=store) as stage:
        stage.agent.start()  # one life without a fault, so that each file that a point names is there
        assert until(lambda: stage.recorded() > FILES // 2, within_s=30), stage.agent.told()
        stage.agent.kill()
        for _ in range(rounds):
            for point in POINTS:
                _die_at(stage, point, draw, folder)
                tick()
        proof = stage.finish()
        stage.each_once(proof, images)
        figures = {"points": len(POINTS), **proof.figures(bound=(kills + 1) * CUT_COPIES)}
    return Outcome("kills at commit points", seed, kills, watch.seconds, figures)


def _die_at(stage: Ground, point: Point, draw: random.Random, folder: Path) -> None:
    """One life that ends at the point, and nowhere else."""
    path = None if point.file is None else (stage.agent.store / point.file).resolve()
    injection = killed_at(point.call, nth=draw.randint(1, point.upto), path=path)
    stage.agent.start(under=injection.command(folder / "strace.txt"))
    code = stage.agent.wait(SLOWEST_S)
    assert code in {-signal.SIGKILL, 128 + signal.SIGKILL}, f"{point.name}: ended with {code}, not where it should"
