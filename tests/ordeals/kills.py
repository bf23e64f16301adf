"""SIGKILL at random times: while it starts, while it works, while it sends."""

import random
import threading
from collections import Counter
from pathlib import Path

from ordeals.ground import WINDOW, Ground, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from waiting import until

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
                _let_it_record(stage, draw.randint(2, 12))
                _pause(draw.uniform(0.0, 0.05))
            assert stage.agent.running, stage.agent.told()[-4000:]
            stage.agent.kill()
            tick()
        stage.agent.start()
        assert stage.agent.wait(120 + kills) == 0, stage.agent.told()[-4000:]
        assert stage.drained()
        proof = stage.prove()
        assert proof.holds, (sorted(proof.lost), proof.unexplained, proof.broken)
        records = proof.of_kind("inspection")
        sources = Counter(record["source"] for record in records)
        assert sources == Counter(path.name for path in images.iterdir())
        twice = sum(record["reason"]["code"] == "crashed-twice" for record in records)
        assert twice <= starting, "only a kill at the start may hit the file of the kill before"
        assert proof.duplicates <= kills * WINDOW
        figures = {
            "records": len(records),
            "lost": len(proof.lost),
            "unexplained": sum(map(len, proof.unexplained.values())),
            "duplicates": proof.duplicates,
            "bound": kills * WINDOW,
            "boots": len({message["boot"] for message in proof.messages.values()}),
        }
    return Outcome("random kills", seed, kills, watch.seconds, figures)


def _let_it_record(stage: Ground, records: int) -> None:
    """Wait until it has said so many more; two at least, so that no file is in hand at two kills in a row."""
    least = stage.recorded() + records
    assert until(lambda: stage.recorded() >= least or not stage.agent.running, within_s=30)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # not to wait for something: a kill comes at any moment
