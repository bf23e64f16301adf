"""How fast the inspection path is, beside the bare loop over the same images in the same run."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from agent.batch.bare_loop import peak_mb
from agent.batch.bare_plan import bare_plan
from agent.batch.bare_process import BareProcess
from agent.batch.images import check_input, frame_of, shots
from agent.batch.lines import record_of
from agent.batch.summary import Spread
from agent.batch.targets import BANDS, placed, targets
from agent.camera.decode import decode_image
from agent.camera.source import Shot
from agent.clock import Clock
from agent.config.sections import InferenceSection
from agent.engine.loading import load_engine
from agent.errors import UsageError
from agent.inspection.frame import Moment
from agent.inspector import Inspector
from agent.ledger.sealing import canonical

PAIRS = 5
"""At least so many turns of each side; they alternate, so that what else the machine does hits both."""

_TURN_S = 0.5

_AT_MOST = 500
_WITHOUT_END_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Side:
    """One side's figures over all its turns.

    Attributes:
        images: How many.
        images_per_s: Throughput, reading included.
        stages: Spread by stage: ``read``, ``screen``, ``verify`` and ``total``, which runs from pixels to verdict
            (bare: to boxes); stages that never ran are left out.
        peak_mb: Peak resident memory of its process, MiB.
    """

    images: int
    images_per_s: float
    stages: Mapping[str, Spread]
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a bench found.

    Attributes:
        agent: The agent's inspection path: read, decode, inspect, judge, build the record as JSON.
        bare: The bare loop.
        ratio: The agent's throughput over the bare loop's, median over the pairs.
        ratios: Each pair's.
    """

    agent: Side
    bare: Side
    ratio: float
    ratios: tuple[float, ...]

    def to_json(self, *, hardware: str, use_case: str | None) -> dict[str, Any]:
        """For scripts, with the verdict against the field's targets.

        Args:
            hardware: Key of ``targets.BANDS``.
            use_case: Key of ``targets.USE_CASES``; None: all.
        """
        held = targets(self.agent.stages["total"].p99, use_case)
        low, high = BANDS[hardware]
        return {
            **asdict(self),
            "targets": [{**asdict(one), "met": one.met} for one in held],
            "band": {
                "hardware": hardware,
                "images_per_s": [low, high],
                "placed": placed(self.agent.images_per_s, hardware),
            },
        }


def usable_images(path: Path) -> list[Path]:
    """The first images that can be decoded, at most 500: both sides go through them again and again.

    Raises:
        UsageError: The file or folder cannot be read, or none of its images can be decoded.
    """
    found: list[Path] = []
    for shot in shots(path):
        file = path / (shot.source or "") if path.is_dir() else path
        if shot.image is not None and file.is_file():  # a name that is not UTF-8 cannot be told to the other side
            found.append(file.absolute())
        if len(found) == _AT_MOST:
            break
    if not found:
        raise UsageError(f"--input {path}: holds no image that can be decoded")
    return found


class AgentTurns:
    """The agent's inspection path, as often as asked, over a list of images again and again.

    Args:
        inspector: Ready.
        images: Files that can be decoded.
        now: The clock.
    """

    def __init__(self, inspector: Inspector, images: Sequence[Path], *, now: Callable[[], Moment]) -> None:
        self._inspector = inspector
        self._images = images
        self._now = now
        self._done = 0
        self.seconds = 0.0
        self.stages: dict[str, list[float]] = {}

    def turn(self, seconds: float) -> tuple[int, float]:
        """Work for so long, at least one image: how many, and the seconds that they really took."""
        first, begun = self._done, time.perf_counter()
        while self._done == first or time.perf_counter() - begun < seconds:
            self._one(self._images[self._done % len(self._images)])
            self._done += 1
        took = time.perf_counter() - begun
        self.seconds += took
        return self._done - first, took

    def _one(self, path: Path) -> None:
        begun = time.perf_counter()
        shot = Shot(decode_image(path.read_bytes()), path.name)
        read_ms = (time.perf_counter() - begun) * 1e3
        record = record_of(self._inspector, frame_of(shot, self._done + 1, self._now()))
        canonical(record.to_json())
        latency = record.latency
        stages = {"read": read_ms, "screen": latency.screen, "verify": latency.verify, "total": latency.total}
        for stage, took in stages.items():
            if took is not None:
                self.stages.setdefault(stage, []).append(took)

    def side(self) -> Side:
        """The figures so far; the peak is this process's."""
        spreads = {stage: Spread.of(values) for stage, values in self.stages.items()}
        return Side(self._done, self._done / self.seconds, spreads, peak_mb())


def compare(agent: AgentTurns, bare: BareProcess, *, seconds: float, pairs: int) -> Report:
    """Let both sides work by turns, each pair over the same images.

    Args:
        agent: One side.
        bare: The other, over the same list of images.
        seconds: How long both together, about; the bare loop takes the images that the agent took.
        pairs: How many turns each.

    Raises:
        EngineError: The bare loop has ended.
    """
    answers = []
    ratios = []
    for _ in range(pairs):
        frames, took = agent.turn(seconds / pairs / 2)
        answer = bare.turn(seconds=_WITHOUT_END_S, frames=frames)
        answers.append(answer)
        ratios.append(float(answer["seconds"]) / took)
    return Report(agent.side(), bare_side(answers), median(ratios), tuple(ratios))


def bare_side(answers: Iterable[Mapping[str, Any]]) -> Side:
    """The bare loop's turns together."""
    turns = list(answers)
    images = sum(turn["images"] for turn in turns)
    stages = {"read": "read_ms", "screen": "screen_ms", "verify": "verify_ms", "total": "latency_ms"}
    values = {stage: [one for turn in turns for one in turn[key]] for stage, key in stages.items()}
    return Side(
        images,
        images / sum(turn["seconds"] for turn in turns),
        {stage: Spread.of(taken) for stage, taken in values.items() if taken},
        max(turn["peak_mb"] for turn in turns),
    )


def bench_files(engine: Path, source: Path, *, seconds: float, threads: int) -> Report:
    """Load an engine twice, here and in the bare loop's process, and compare.

    Args:
        engine: Folder of an engine pack.
        source: An image, or a folder of images.
        seconds: How long both together measure, about.
        threads: Of one model; 0: the cores less one.

    Raises:
        UsageError: ``source`` holds nothing to inspect.
        PackError: The engine cannot be used.
    """
    check_input(source)
    inference = InferenceSection(threads=threads)
    loaded = load_engine(engine, inference)
    images = usable_images(source)
    agent = AgentTurns(Inspector(loaded), images, now=Clock().now)
    with BareProcess(bare_plan(loaded.pack, inference, images)) as bare:
        return compare(agent, bare, seconds=seconds, pairs=max(PAIRS, round(seconds / _TURN_S / 2)))
