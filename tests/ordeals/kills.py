"""SIGKILL at random times: while it starts, while it works, while it sends."""

import random
import threading
from pathlib import Path

from ordeals.ground import CUT_COPIES, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches

PACE_S = 0.01
FILES_A_KILL = 30
STARTS = 0.2
"""Share of the kills that come while the agent starts, which takes about `START_S`."""
START_S = 1.5


def random_kills(folder: Path, *, seed: int, kills: int, tick: Tick = nobody_watches) -> Outcome:
    """Kill an agent that reads a folder, again and again; in the end each file is recorded and delivered once."""
    draw, watch = random.Random(seed), Stopwatch()
    images = pictures(folder / "images", kills * FILES_A_KILL)
    camera = folder_camera(images, every_s=PACE_S, on_end="exit")
    with ground(folder, camera) as stage:
        starting = 0
        for _ in range(kills):
            stage.agent.start()
            if draw.random() < STARTS:
                starting += 1
                _pause(draw.uniform(0.0, START_S))
            else:
                stage.record_more(draw.randint(2, 12))  # two at least: no file is in hand at two kills in a row
                _pause(draw.uniform(0.0, 0.05))
            assert stage.agent.running, stage.agent.told()[-4000:]
            stage.agent.kill()
            tick()
        proof = stage.finish()
        stage.each_once(proof, images)
        twice = sum(record["reason"]["code"] == "crashed-twice" for record in proof.of_kind("inspection"))
        assert twice <= starting, "only a kill at the start may hit the file of the kill before"
        figures = proof.figures(bound=kills * CUT_COPIES)
    return Outcome("random kills", seed, kills, watch.seconds, figures)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # not to wait for something: a kill comes at any moment
