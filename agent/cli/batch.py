"""``inspect`` and ``bench``: an engine on files, without the daemon."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import JsonOption
from agent.cli.printing import heading, say, say_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from agent.batch.bench import Report, Side
    from agent.batch.summary import Summary

EngineOption = Annotated[Path, typer.Option("--engine", help="Folder of the engine pack.")]
InputOption = Annotated[Path, typer.Option("--input", help="An image, or a folder of images.")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=0, max=64, help="Threads of one model; 0: the cores less one.")
]


class UseCase(str, Enum):
    """What an engine is used for; the targets are in ``agent.batch.targets``."""

    LINE = "line"
    BATCH = "batch"
    DRONE = "drone"
    MOBILE = "mobile"
    OVERNIGHT = "overnight"


def inspect(
    engine: EngineOption,
    source: InputOption,
    output: Annotated[
        Path | None, typer.Option("--output", help="File for the JSON lines, replaced; default: standard output.")
    ] = None,
    save_annotated: Annotated[
        Path | None, typer.Option("--save-annotated", help="Folder for pictures with boxes, labels and outcome.")
    ] = None,
    threads: ThreadsOption = 0,
) -> None:
    """Inspect images in batch: one JSON line per image.

    Example: fieldgate inspect --engine engines/demo-surface-v1.0 --input parts/ --output parts.jsonl
    """
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second that --help does not need
    from rich.progress import Progress  # noqa: PLC0415

    from agent.batch.files import inspect_files  # noqa: PLC0415 - OpenCV and the runtime, as above

    console = Console(stderr=True)
    with _signals_between_images() as came, Progress(console=console) as progress:
        bar = progress.add_task("Inspecting", total=None)
        summary = inspect_files(
            engine,
            source,
            output=output,
            pictures=save_annotated,
            threads=threads,
            on_image=lambda done, count: progress.update(bar, completed=done, total=count),
            stopped=lambda: bool(came),
        )
    _summarise(console, summary)
    if came:
        raise KeyboardInterrupt


@contextmanager
def _signals_between_images() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted here, so that a line is never cut; a second one ends at once."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _summarise(console: "Console", summary: "Summary") -> None:
    from rich.table import Table  # noqa: PLC0415

    from agent.batch.summary import Spread  # noqa: PLC0415

    made = Table(box=None, header_style="dim")
    for name in ("outcome", "disposition", "reason"):
        made.add_column(name)
    made.add_column("images", justify="right")
    for (outcome, disposition, reason), count in sorted(summary.verdicts.items()):
        made.add_row(outcome, disposition, reason, f"{count:,}")
    made.add_row("all", "", "", f"{summary.images:,}")
    console.print(made)
    if summary.confirmed:
        console.print(
            "Confirmed: " + ", ".join(f"{count:,} {label}" for label, count in summary.confirmed.most_common()),
            highlight=False,
        )
    spread = Spread.of(summary.latency_ms)
    console.print(
        f"From pixels to verdict: {spread.p50:.1f} ms p50, {spread.p95:.1f} p95, {spread.p99:.1f} p99", highlight=False
    )


def bench(
    engine: EngineOption,
    source: InputOption,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="How long to measure, about.")] = 20.0,
    use_case: Annotated[
        UseCase | None, typer.Option("--use-case", help="The target to hold the figures against; default: all.")
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
    threads: ThreadsOption = 0,
) -> None:
    """Measure an engine on images, by turns with a bare loop over the same models.

    Example: fieldgate bench --engine engines/demo-surface-v1.0 --input parts/ --use-case line
    """
    from agent.batch.bench import bench_files  # noqa: PLC0415 - OpenCV and the runtime, which --help does not need

    report = bench_files(engine, source, seconds=seconds, threads=threads)
    answer = report.to_json(hardware="CPU", use_case=use_case and use_case.value)
    if as_json:
        say_json(answer)
        return
    heading(f"{engine.name}: the agent's inspection beside the bare loop")
    table(["", "images/s", "images", "peak MB"], [_throughput("agent", report.agent), _throughput("bare", report.bare)])
    low, high = min(report.ratios), max(report.ratios)
    say(f"  ratio {report.ratio:.3f}: the median of {len(report.ratios)} pairs from {low:.3f} to {high:.3f}")
    heading("Milliseconds by stage")
    table(["stage", "side", "average", "p50", "p95", "p99"], _stages(report))
    heading("Targets (p99 from pixels to verdict)")
    table(["use case", "limit ms", "p99 ms", "met"], [_target(one) for one in answer["targets"]])
    band = answer["band"]
    low, high = band["images_per_s"]
    rate = f"{report.agent.images_per_s:.1f} images/s"
    say(f"  {rate}: {band['placed']} the {band['hardware']} band of {low:g} to {high:g}")


def _throughput(name: str, side: "Side") -> list[object]:
    return [name, f"{side.images_per_s:.2f}", side.images, f"{side.peak_mb:.0f}"]


def _stages(report: "Report") -> list[list[object]]:
    return [
        [stage, name, *(f"{value:.2f}" for value in (spread.average, spread.p50, spread.p95, spread.p99))]
        for stage in ("read", "screen", "verify", "total")
        for name, side in (("agent", report.agent), ("bare", report.bare))
        if (spread := side.stages.get(stage))
    ]


def _target(one: dict[str, object]) -> list[object]:
    limit = one["limit_ms"]
    return [
        one["use_case"],
        "none" if limit is None else f"{limit:g}",
        f"{one['p99_ms']:.1f}",
        "yes" if one["met"] else "NO",
    ]
