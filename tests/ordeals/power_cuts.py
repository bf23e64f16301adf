"""The power is cut: the disk keeps what was flushed and nothing else."""

import os
import random
import threading
from pathlib import Path

from ordeals.ground import CUT_COPIES, ID_BYTES, Ground, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from power import mounted

PACE_S = 0.02
OUTLIVES = 0.3
"""Share of the cuts that the process outlives for a moment, on a disk that refuses everything."""


def power_cuts(folder: Path, *, seed: int, cuts: int, burst: bool, tick: Tick = nobody_watches) -> Outcome:
    """Cut the power of an agent's disk, again and again, at an inspection line's pace or in a burst.

    The list of what was recorded is on another disk: what the agent said before a cut must come all the same. What it
    said during the cut is no claim: the ioctl aborts the file system's journal under a flush that is under way, and
    Linux may then call that flush good. A real cut leaves nobody who could say anything.
    """
    draw, watch = random.Random(seed), Stopwatch()
    images = pictures(folder / "images", cuts * (400 if burst else 60))
    camera = folder_camera(images, every_s=0 if burst else PACE_S, on_end="exit")
    with mounted(folder) as disk, ground(folder, camera, store=disk.at / "store") as stage:
        for _ in range(cuts):
            stage.agent.start()
            stage.record_more(draw.randint(2, 200 if burst else 30))
            threading.Event().wait(draw.uniform(0, 0.05))  # not to wait for something: a cut comes at any moment
            said = stage.recorded()
            disk.cut()
            if draw.random() < OUTLIVES:
                _outlive(stage)
            if stage.agent.running:
                stage.agent.kill()
            os.truncate(stage.recorded_log, said * ID_BYTES)
            disk.unmount()
            disk.mount()
            tick()
        proof = stage.finish()
        stage.each_once(proof, images)
        figures = proof.figures(bound=cuts * CUT_COPIES)
    return Outcome(f"power cuts, {'in a burst' if burst else 'paced'}", seed, cuts, watch.seconds, figures)


def _outlive(stage: Ground) -> None:
    """Whatever it still inspects, the agent says no more that anything is recorded."""
    threading.Event().wait(0.1)  # a flush that was under way may still end
    said = stage.recorded()
    threading.Event().wait(0.3)
    assert stage.recorded() == said, "recorded on a disk that is gone"
