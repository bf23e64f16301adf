"""A device without a battery: 1970 at boot, days ahead, a year behind, and jumps while it works."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

from false_clock import FalseClock
from ordeals.ground import CUT_COPIES, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches

PACE_S = 0.01
FILES = 120
BOOTS = ("@1970-01-01 00:00:10", "+3d", "-1y", "+0")
"""How wrong the clock is when a life begins."""
JUMPS = ("+1h", "+3d", "-1y", "-5", "+0", "@1970-01-01 00:00:10", "+20y", "+0.7")
"""How wrong it becomes while the agent works."""


def wrong_clocks(folder: Path, *, seed: int, rounds: int, tick: Tick = nobody_watches) -> Outcome:
    """Lives under wrong and jumping clocks; every record comes, in the order of its numbers."""
    draw, watch = random.Random(seed), Stopwatch()
    count = rounds * (len(BOOTS) + len(JUMPS))
    images = pictures(folder / "images", count * FILES)
    clock = FalseClock(folder)
    with ground(folder, folder_camera(images, every_s=PACE_S, on_end="exit")) as stage:
        for _ in range(rounds):
            for wrong in BOOTS:
                clock.set(wrong)
                stage.agent.start(settings=clock.settings())
                stage.record_more(draw.randint(5, 30))
                stage.agent.kill()
                tick()
            stage.agent.start(settings=clock.settings())
            stage.record_more(5)
            for jump in JUMPS:
                clock.set(jump)
                stage.record_more(draw.randint(5, 30))
                assert stage.agent.running, stage.agent.told()[-4000:]
                tick()
            assert stage.agent.terminate() == 0
        proof = stage.finish()
        stage.each_once(proof, images)
        records = proof.of_kind("inspection")
        _in_order(records)
        states = sorted({str(record["clock"]) for record in records})
        figures = {**proof.figures(bound=(rounds * len(BOOTS) + 1) * CUT_COPIES), "clock": "/".join(states)}
    return Outcome("wrong and jumping clocks", seed, count, watch.seconds, figures)


def _in_order(records: list[dict[str, Any]]) -> None:
    """In each boot the numbers rise with the frames and with monotonic time, whatever the wall clock said."""
    for boot in {record["boot"] for record in records}:
        mine = sorted((record for record in records if record["boot"] == boot), key=lambda one: int(one["frame"]))
        for earlier, later in pairwise(mine):
            assert earlier["monotonic_ns"] <= later["monotonic_ns"]
