"""The network and the broker misbehave in every way that devices in the field have met; afterwards all is drained."""

import random
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from ordeals.ground import CUT_COPIES, Ground, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from proxy import DROP, HOLE, PASS, TRICKLE, Proxy, proxy
from waiting import until

PACE_S = 0.05
FILES = 400  # for one trouble and the time to drain after it
DRAINED_S = 60.0
GROWTH_MB = 30
ACK_TIMEOUT_S = 4.0
BETWEEN_S = 0.95  # one second, less what the clock of another thread may lag

Trouble = Callable[[Ground, Proxy, random.Random], None]


def _rejected(_stage: Ground, line: Proxy, draw: random.Random) -> None:
    line.reject()
    _pause(draw.uniform(1, 4))
    line.accept()


def _dropped(_stage: Ground, line: Proxy, draw: random.Random) -> None:
    line.mode = DROP
    line.cut()
    _pause(draw.uniform(2, 5))
    line.mode = PASS


def _flapping(_stage: Ground, line: Proxy, draw: random.Random) -> None:
    for _ in range(4):
        _pause(draw.uniform(0.2, 1.5))
        line.cut()


def _half_open(_stage: Ground, line: Proxy, draw: random.Random) -> None:
    line.mode = HOLE
    _pause(ACK_TIMEOUT_S + draw.uniform(1, 2))
    line.mode = PASS
    line.cut()


def _trickling(_stage: Ground, line: Proxy, draw: random.Random) -> None:
    line.mode = TRICKLE
    _pause(draw.uniform(2, 5))
    line.mode = PASS


def _broker_stopped(stage: Ground, _line: Proxy, draw: random.Random) -> None:
    stage.broker.stop()
    _pause(draw.uniform(1, 3))
    stage.broker.start()


def _broker_frozen(stage: Ground, _line: Proxy, draw: random.Random) -> None:
    stage.broker.freeze()
    _pause(ACK_TIMEOUT_S + draw.uniform(0, 2))
    stage.broker.thaw()


def _nobody_listens(stage: Ground, _line: Proxy, draw: random.Random) -> None:
    stage.central.deafen()
    _pause(draw.uniform(1, 3))
    stage.central.listen()


TROUBLES: tuple[tuple[str, Trouble], ...] = (
    ("rejected", _rejected),
    ("accepted and dropped", _dropped),
    ("flapping", _flapping),
    ("half open", _half_open),
    ("trickling", _trickling),
    ("broker stopped", _broker_stopped),
    ("broker frozen", _broker_frozen),
    ("no subscriber", _nobody_listens),
)


def network_troubles(folder: Path, *, seed: int, rounds: int, tick: Tick = nobody_watches) -> Outcome:
    """One agent lives through every trouble in turn, works all the time, and drains after each."""
    draw, watch = random.Random(seed), Stopwatch()
    count = rounds * len(TROUBLES)
    images = pictures(folder / "images", count * FILES)
    keys = {"ack_timeout_s": ACK_TIMEOUT_S, "keepalive_s": 5}
    camera = folder_camera(images, every_s=PACE_S, on_end="exit")
    with ground(folder, camera, mqtt=keys) as stage, proxy(stage.broker.port) as line:
        stage.agent.start(settings={"FIELDGATE_MQTT__PORT": str(line.port)})
        stage.record_more(50)
        assert until(stage.drained, within_s=DRAINED_S), stage.agent.told()[-4000:]
        before, cuts = stage.agent.resident_mb(), 0
        for _ in range(rounds):
            for name, trouble in TROUBLES:
                said, attempts = stage.recorded(), len(line.attempts)
                trouble(stage, line, draw)
                assert stage.recorded() > said, f"{name}: inspection stood still"
                assert until(stage.drained, within_s=DRAINED_S), f"{name}: {stage.agent.told()[-4000:]}"
                cuts += 1 + len(line.attempts) - attempts
                tick()
        closest = min((later - earlier for earlier, later in pairwise(line.attempts)), default=BETWEEN_S)
        assert closest >= BETWEEN_S, f"two attempts to connect within {closest:.2f} s"
        grown = stage.agent.resident_mb() - before
        assert grown < GROWTH_MB, f"memory grew by {grown:.0f} MB"
        assert stage.agent.terminate() == 0
        proof = stage.finish()
        stage.each_once(proof, images)
        figures = {
            **proof.figures(bound=cuts * CUT_COPIES),
            "connections": len(line.attempts),
            "closest": f"{closest:.2f} s",
            "memory": f"{grown:+.0f} MB",
        }
    return Outcome("network and broker", seed, count, watch.seconds, figures)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # how long the trouble lasts
