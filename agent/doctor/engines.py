"""Checks of the engine packs and their models."""

import statistics
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.config.sections import Camera
from agent.doctor.check import Answer, Check, fail, ok, warn
from agent.doctor.installation import Installation
from agent.engine.loading import Engine, load_engine
from agent.engine.pack import read_pack
from agent.errors import EngineError, InferenceError, PackError

LINE_TARGET_MS: Final = 100
"""What an inspection line expects of one frame, where no deadline is set."""

_RUNS: Final = 5
_FRAME: Final = (480, 640, 3)


def _names(installation: Installation) -> Sequence[str]:
    return list(installation.config.engines)


def _pack(installation: Installation, name: str) -> Answer:
    folder = installation.config.engines[name].pack
    try:
        pack = read_pack(folder)
    except PackError as error:
        return fail(
            str(error),
            cause="the pack was not copied completely, or its manifest was edited",
            fix=f"copy the whole pack to {folder} again, or correct engines.{name}.pack",
        )
    if pack.engine != name:
        return fail(
            f"{folder}: holds the engine '{pack.engine}', not '{name}'",
            cause="the table in the config has another name than the pack",
            fix=f'in {installation.path} write [engines.{pack.engine}], and engine = "{pack.engine}" at its cameras',
        )
    return ok(f"{pack.name}, digest {pack.digest[:12]}")


def _model(installation: Installation, name: str) -> Answer:
    folder = installation.config.engines[name].pack
    running = (installation.daemon or {}).get("engines", {}).get(name)
    if running is not None:
        digest = read_pack(folder).digest
        if digest != running["digest"]:
            return warn(
                f"the daemon runs {running['pack']} with digest {running['digest'][:12]}, on disk is {digest[:12]}",
                cause="the pack was replaced after the daemon had started",
                fix="restart the daemon",
            )
        return ok(f"the running daemon uses {running['pack']} on {running['runtime']}")
    began = time.monotonic()
    try:
        engine = load_engine(folder, installation.config.inference)
    except EngineError as error:
        return fail(
            str(error),
            cause="the model file is damaged, or belongs to another release than the manifest",
            fix=f"copy the whole pack to {folder} again; compare with: sha256sum {folder}/*",
        )
    installation.engines[name] = engine
    return ok(f"loaded in {time.monotonic() - began:.1f} s and run once on {engine.facts.runtime}")


def _latency(installation: Installation, name: str) -> Answer:
    limit, why = _limit(installation, name)
    engine = installation.engines.get(name)
    if engine is None:
        measured = _seen_by_daemon(installation, name)
        if measured is None:
            return ok("the running daemon has no frame of late that it looked at")
        what = "the daemon's last frame took"
    else:
        try:
            measured, what = statistics.median(_timed(engine) for _ in range(_RUNS)), "both stages take"
        except InferenceError as error:
            return fail(str(error), cause="the model fails on a grey frame", fix="give the pack back to who made it")
    seen = f"{what} {measured:.1f} ms; {why} is {limit} ms"
    if measured <= limit:
        return ok(seen)
    return warn(
        seen,
        cause="the models are too large for this processor, or something else keeps it busy",
        fix="look with top for what else runs; set inference.threads; or ask for a smaller engine",
    )


def _limit(installation: Installation, name: str) -> tuple[int, str]:
    deadlines = [camera.deadline_ms for camera in installation.config.cameras if _asks(camera, name)]
    return (min(deadlines), "the deadline") if deadlines else (LINE_TARGET_MS, "the target of an inspection line")


def _asks(camera: Camera, engine: str) -> bool:
    return camera.engine == engine and camera.trigger == "mqtt"


def _timed(engine: Engine) -> float:
    """Milliseconds of both stages on a grey frame."""
    frame = np.full(_FRAME, 128, np.uint8)
    began = time.perf_counter()
    if engine.screening is not None:
        engine.screening.screen(frame, None)
    engine.verification.verify(frame, None)
    return (time.perf_counter() - began) * 1e3


def _seen_by_daemon(installation: Installation, name: str) -> float | None:
    last = (installation.daemon or {}).get("line", {}).get("last", {})
    spent = [
        sum(last[camera.name]["latency_ms"][stage] or 0.0 for stage in ("screen", "verify"))
        for camera in installation.config.cameras
        if camera.engine == name and camera.name in last
    ]
    return max((one for one in spent if one), default=None)  # 0: no model ran, as in manual mode


CHECKS = (
    Check("engine-pack", "The engine pack is complete", _pack, needs=("config-valid",), subjects=_names),
    Check("engine-model", "Its models load and run", _model, needs=("engine-pack",), subjects=_names),
    Check("engine-latency", "They are fast enough", _latency, needs=("engine-model",), subjects=_names),
)
