"""The bars that the agent is held to, and how each is measured."""

import sys
from dataclasses import asdict, dataclass
from itertools import count
from statistics import median
from typing import Any, Literal

import numpy as np
from bench_agent import AgentRun, Frame, agent_run
from bench_ground import Ground

from agent.batch.bare_process import BareProcess
from agent.engine.pack import read_pack
from tiny_models import a_pack

SATURATED_RATIO = 0.95
PACED_RATIO = 1.3
MEMORY_MB = 80.0
GROWTH = 0.02
STARTUP_S = 1.5

WARM_S = 3.0
PATIENCE_S = 60.0
_runs = count(1)


@dataclass(frozen=True)
class Settings:
    """How long everything takes.

    Attributes:
        pairs: Turns of each side.
        seconds: Length of a saturated turn.
        frames: Paced frames of each side, over all turns.
        small_frames: Where the growth of memory is read, from and to, in frames.
    """

    pairs: int
    seconds: float
    frames: int
    small_frames: tuple[int, int]


@dataclass(frozen=True)
class Bar:
    """One figure and its limit.

    Attributes:
        what: Which.
        figure: Measured.
        limit: Held against; None for a figure that is only told.
        sign: Which side of the limit is right: ``>=`` or ``<=``.
        notes: Further figures.
        pairs: Each pair's figure.
    """

    what: str
    figure: float
    limit: float | None
    sign: Literal[">=", "<="]
    notes: dict[str, float]
    pairs: tuple[float, ...] = ()

    @property
    def met(self) -> bool:
        """Whether the figure lies on the right side of its limit."""
        if self.limit is None:
            return True
        return self.figure >= self.limit if self.sign == ">=" else self.figure <= self.limit

    def sentence(self) -> str:
        """One line for a person."""
        word = "told" if self.limit is None else "PASS" if self.met else "FAIL"
        sign = "" if self.limit is None else f" {self.sign} {self.limit:g}"
        more = "".join(f", {name} {value:.4g}" for name, value in self.notes.items())
        pairs = f" (pairs {', '.join(f'{one:.3f}' for one in self.pairs)})" if self.pairs else ""
        return f"{word}  {self.what}: {self.figure:.4g}{sign}{pairs}{more}"

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "met": self.met}


def saturated(ground: Ground, settings: Settings) -> list[Bar]:
    """Throughput of both as fast as they go; without evidence, which is held to the bar, and with its default."""
    ratios: dict[str, list[float]] = {"none": [], "notable": []}
    rates: dict[str, list[float]] = {"none": [], "notable": [], "bare": []}
    left = 0
    with BareProcess(ground.plan) as bare:
        for _ in range(settings.pairs):
            for evidence, column in ratios.items():
                with agent_run(ground, _store(), files=_enough(bare, settings), evidence=evidence) as run:
                    frames = _window(run, settings.seconds)
                    left = max(left, run.unsettled())
                rate = _rate(frames)
                answer = bare.turn(seconds=PATIENCE_S * 60, frames=len(frames) - 1, start=frames[0].number)
                bare_rate = answer["images"] / answer["seconds"]
                column.append(rate / bare_rate)
                rates[evidence].append(rate)
                rates["bare"].append(bare_rate)
                _tell(f"evidence {evidence}: agent {rate:.2f} images/s, bare {bare_rate:.2f}, {rate / bare_rate:.3f}")
    notes = {f"images/s {name}": median(values) for name, values in rates.items()}
    return [
        _ratio_bar("saturated, evidence off", ratios["none"], SATURATED_RATIO, {**notes, "most unsettled": left}),
        _ratio_bar("saturated, default evidence", ratios["notable"], None, {}),
    ]


def paced(ground: Ground, settings: Settings) -> list[Bar]:
    """The slowest of a hundred at half the bare loop's throughput: from capture to verdict, less the wait."""
    each = -(-settings.frames // settings.pairs)
    work: list[float] = []
    waits: list[float] = []
    bare_work: list[float] = []
    pairs = []
    with BareProcess(ground.plan) as bare:
        answer = bare.turn(seconds=min(settings.seconds, 20.0), start=0)
        rate = answer["images"] / answer["seconds"] / 2
        warm = max(10, round(WARM_S * rate))
        for _ in range(settings.pairs):
            with agent_run(ground, _store(), files=2 * (warm + each), rate=rate, evidence="notable") as run:
                run.until_recorded(warm + each, within_s=PATIENCE_S + 2 * (warm + each) / rate)
                frames = run.frames()[warm : warm + each]
            answer = bare.turn(seconds=PATIENCE_S * 60, frames=each, rate=rate, start=warm)
            work += [one.work for one in frames]
            waits += [one.wait for one in frames]
            bare_work += answer["latency_ms"]
            pairs.append(_p99([one.work for one in frames]) / _p99(answer["latency_ms"]))
            _tell(f"p99 agent {_p99([one.work for one in frames]):.1f} ms, bare {_p99(answer['latency_ms']):.1f}")
    notes = {"p99 ms": _p99(work), "bare p99 ms": _p99(bare_work), "frames": len(work), "images/s": rate}
    notes |= {"wait p50 ms": float(np.median(waits)), "wait p99 ms": _p99(waits)}
    return [
        Bar("paced, p99 over the bare loop's", _p99(work) / _p99(bare_work), PACED_RATIO, "<=", notes, tuple(pairs))
    ]


def memory(ground: Ground, settings: Settings) -> list[Bar]:
    """Peak memory beside the bare loop's, and growth over many frames with a small pack."""
    with BareProcess(ground.plan) as bare:
        files = _enough(bare, settings)
        bare_mb = bare.turn(seconds=settings.seconds, start=0)["peak_mb"]
    with agent_run(ground, _store(), files=files, evidence="notable") as run:
        _window(run, settings.seconds)
        peak_mb = run.memory_mb("VmHWM")
    _tell(f"peak agent {peak_mb:.0f} MB, bare {bare_mb:.0f} MB")
    notes = {"agent MB": peak_mb, "bare MB": bare_mb}
    return [
        Bar("memory, MB over the bare loop's", peak_mb - bare_mb, MEMORY_MB, "<=", notes),
        _growth(ground, settings),
    ]


def _growth(ground: Ground, settings: Settings) -> Bar:
    first, last = settings.small_frames
    pack = read_pack(a_pack(ground.folder / "tiny"))
    read: list[float] = []
    with agent_run(ground, _store(), files=last + 500, pack=pack) as run:
        for mark in (first, last):
            run.until_recorded(mark, within_s=PATIENCE_S * 20)
            read.append(run.memory_mb("VmRSS"))
            _tell(f"after {run.recorded()} frames {read[-1]:.1f} MB")
    notes = {"from MB": read[0], "to MB": read[1]}
    return Bar(f"memory, growth from frame {first} to {last}", read[1] / read[0] - 1, GROWTH, "<=", notes)


def startup(ground: Ground, settings: Settings) -> list[Bar]:
    """From exec to the first verdict with a database present, less the time that the same models take to load."""
    store, beyond, whole = _store(), [], []
    for turn in range(settings.pairs + 1):
        with agent_run(ground, store, files=200 * (settings.pairs + 1)) as run:
            run.until_recorded(run.before + 1, within_s=PATIENCE_S)
            took = (run.frames()[0].verdict_ns - run.started_ns) / 1e9
        with BareProcess(ground.plan) as bare:
            load_s = bare.load_s
        if turn:  # the first run made the database
            whole.append(took)
            beyond.append(took - load_s)
            _tell(f"first verdict after {took:.2f} s, models load in {load_s:.2f} s")
    notes = {"from exec s": median(whole)}
    return [Bar("startup, s beyond loading the models", median(beyond), STARTUP_S, "<=", notes, tuple(beyond))]


def _window(run: AgentRun, seconds: float) -> list[Frame]:
    """The frames of so many seconds in steady state; the first one only marks the beginning."""
    run.until(lambda: run.last_verdict_ns() > 0, within_s=PATIENCE_S)
    begin_ns = run.frames()[0].verdict_ns + int(WARM_S * 1e9)
    end_ns = begin_ns + int(seconds * 1e9)
    run.until(lambda: run.last_verdict_ns() >= end_ns, within_s=PATIENCE_S + seconds)
    return [one for one in run.frames() if begin_ns <= one.verdict_ns < end_ns]


def _rate(frames: list[Frame]) -> float:
    return (len(frames) - 1) / (frames[-1].verdict_ns - frames[0].verdict_ns) * 1e9


def _enough(bare: BareProcess, settings: Settings) -> int:
    """More files than the agent can look at in one turn."""
    answer = bare.turn(seconds=2.0, start=0)
    return int(3 * float(answer["images"]) / float(answer["seconds"]) * (settings.seconds + WARM_S + 10))


def _ratio_bar(what: str, ratios: list[float], limit: float | None, notes: dict[str, float]) -> Bar:
    return Bar(what, median(ratios), limit, ">=", notes, tuple(ratios))


def _p99(values: list[float]) -> float:
    return float(np.percentile(values, 99))


def _store() -> str:
    return f"store-{next(_runs)}"


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
