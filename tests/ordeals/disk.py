"""The disk refuses: errors injected into the nth write, flush, read and rename, and a disk that turns read-only."""

import random
import threading
from dataclasses import dataclass
from pathlib import Path

from injection import Injection
from ordeals.ground import CUT_COPIES, Ground, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from power import mounted
from waiting import until

PACE_S = 0.01
FILES = 150
LOG, DATABASE = "fieldgate.db-wal", "fieldgate.db"


@dataclass(frozen=True)
class Fault:
    """What the disk answers, and where.

    Attributes:
        name: For a person.
        call: The system call.
        error: The errno's name.
        file: Below the store; None: any file.
        first: The earliest call that fails is drawn from 1 to this.
        run: How many calls fail in a row.
    """

    name: str
    call: str
    error: str
    file: str | None
    first: int
    run: int = 1


FAULTS = (
    Fault("one flush of the log fails", "fdatasync", "EIO", LOG, 20),
    Fault("several flushes of the log fail", "fdatasync", "EIO", LOG, 20, run=3),
    Fault("one write to the log fails", "pwrite64", "EIO", LOG, 100),
    Fault("the log cannot grow", "pwrite64", "ENOSPC", LOG, 100, run=10),
    Fault("a write to the database fails", "pwrite64", "EIO", DATABASE, 2),
    Fault("the database cannot grow", "pwrite64", "ENOSPC", DATABASE, 2, run=3),
    Fault("a flush of the database fails", "fdatasync", "EIO", DATABASE, 1),
    Fault("a read of the log fails", "pread64", "EIO", LOG, 30),
    Fault("a picture cannot be flushed", "fsync", "EIO", None, 30, run=4),
    Fault("a picture cannot be named", "rename", "ENOSPC", None, 20, run=4),
    Fault("the note of the file in hand fails", "pwrite64", "ENOSPC", "in-hand/top.inspecting.json", 40, run=3),
)


def io_errors(folder: Path, *, seed: int, rounds: int, tick: Tick = nobody_watches) -> Outcome:
    """Each fault hits one life of an agent, which must go on, or end and be started again; nothing is lost by it."""
    draw, watch = random.Random(seed), Stopwatch()
    count = rounds * len(FAULTS)
    images = pictures(folder / "images", (count + 1) * FILES)
    with ground(folder, folder_camera(images, every_s=PACE_S, on_end="exit")) as stage:
        stage.agent.start()  # one life without a fault, so that each file that a fault names is there
        stage.record_more(20)
        stage.agent.kill()
        restarts = 0
        for _ in range(rounds):
            for fault in FAULTS:
                restarts += _lived_through(stage, fault, draw, folder / "strace.txt")
                tick()
        proof = stage.finish()
        stage.each_once(proof, images)
        figures = {**proof.figures(bound=(count + restarts + 1) * CUT_COPIES), "restarts": restarts}
    return Outcome("input and output errors", seed, count, watch.seconds, figures)


def _lived_through(stage: Ground, fault: Fault, draw: random.Random, told: Path) -> int:
    """One life with the fault in it, killed when it has recorded well beyond it; how often it had to be restarted."""
    path = None if fault.file is None else (stage.agent.store / fault.file).resolve()
    first = draw.randint(1, fault.first)
    told.unlink(missing_ok=True)
    injection = Injection(fault.call, f"error={fault.error}", first, first + fault.run - 1, path)
    stage.agent.start(under=injection.command(told))
    assert until(lambda: _injected(told) or not stage.agent.running, within_s=30), f"{fault.name}: never happened"
    assert _injected(told), f"{fault.name}: ended before: {stage.agent.told()[-2000:]}"
    stage.record_more(10)
    if stage.agent.running:
        stage.agent.kill()
        return 0
    code = stage.agent.wait(1)
    assert code == 1, f"{fault.name}: ended with {code}: {stage.agent.told()[-2000:]}"
    stage.agent.start()
    stage.record_more(10)
    stage.agent.kill()
    return 1


def _injected(told: Path) -> bool:
    return told.exists() and "(INJECTED)" in told.read_text(encoding="utf-8", errors="replace")


def _failing(stage: Ground) -> bool:
    return bool(stage.agent.status()["journal"]["state"] == "failing")


def worn_card(folder: Path, *, seed: int, rounds: int, tick: Tick = nobody_watches) -> Outcome:
    """The kernel makes the disk read-only under a working agent; it claims nothing more, and goes on after a repair."""
    draw, watch = random.Random(seed), Stopwatch()
    images = pictures(folder / "images", rounds * FILES)
    camera = folder_camera(images, every_s=PACE_S, on_end="exit")
    with mounted(folder) as disk, ground(folder, camera, store=disk.at / "store") as stage:
        for _ in range(rounds):
            stage.agent.start()
            stage.record_more(draw.randint(5, 40))
            disk.break_down()
            assert until(lambda: not stage.agent.running or _failing(stage), within_s=20), stage.agent.told()
            said = stage.recorded()
            threading.Event().wait(0.5)  # time for a lie
            if stage.agent.running:
                stage.agent.kill()
            assert stage.recorded() == said
            disk.unmount()
            disk.repair()
            disk.mount()
            tick()
        proof = stage.finish()
        stage.each_once(proof, images)
        figures = proof.figures(bound=rounds * CUT_COPIES)
    return Outcome("a disk that turns read-only", seed, rounds, watch.seconds, figures)
