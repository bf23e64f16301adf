#!/usr/bin/env python3
"""Measures the real two-stage pair on the real boards, through the agent's own inspector.

    python scripts/measure_pcb.py             # tables
    python scripts/measure_pcb.py --json      # the same figures for a script

Boards and models are found in `../shared` beside the checkout, or in the folder that PCB_SHARED names. The networks
were trained on boards like these, these among them: the figures are laboratory figures.

A detection is right when it is confirmed, has the label of a defect that no better detection has claimed, and overlaps
it by an IoU of at least 0.33, as the models' own README counts. *Verification* is measured on the defective boards with
every board looked at; *end to end* on all boards, looked at only where screening is suspicious.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.config.sections import InferenceSection
from agent.engine.loading import Engine, load_engine
from agent.errors import FieldgateError
from agent.inspection.boxes import iou
from agent.inspection.verdict import Detection

MATCH_IOU = 0.33
SHARED = Path(os.environ.get("PCB_SHARED") or Path(__file__).resolve().parent.parent.parent / "shared")


@dataclass
class Count:
    """What was found of what is there."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, other: "Count") -> None:
        """Count more."""
        self.right += other.right
        self.wrong += other.wrong
        self.missed += other.missed

    def figures(self) -> dict[str, float | int | None]:
        """The counts with precision, recall and F1; None where there is nothing to divide by."""
        precision = _share(self.right, self.right + self.wrong)
        recall = _share(self.right, self.right + self.missed)
        f1 = _share(2 * self.right, 2 * self.right + self.wrong + self.missed)
        return {**asdict(self), "precision": precision, "recall": recall, "f1": f1}


@dataclass(frozen=True)
class Board:
    """One board, what is on it, and what both stages said about it.

    Attributes:
        defective: Whether it has defects.
        truths: Label and box of each.
        suspicious: Screening's word.
        found: Everything verification keeps, whether or not screening would have let it look.
    """

    defective: bool
    truths: tuple[tuple[str, tuple[float, ...]], ...]
    suspicious: bool
    found: tuple[Detection, ...]

    @property
    def confirmed(self) -> list[Detection]:
        """The detections that count."""
        return [one for one in self.found if one.confirmed]


@dataclass
class Measured:
    """The figures of one run."""

    boards: int
    screening: Count = field(default_factory=Count)
    verification: dict[str, Count] = field(default_factory=dict)
    end_to_end: dict[str, Count] = field(default_factory=dict)
    verdicts: Count = field(default_factory=Count)


def look(engine: Engine, shared: Path) -> Iterable[Board]:
    """Show every board to both stages."""
    data = shared / "data" / "pcb"
    paths = sorted([*data.glob("clear/*.jpg"), *data.glob("defective/*.jpg")])
    if engine.screening is None or not paths:
        sys.exit(f"{shared}: there are no boards in data/pcb, or the pack has no screening stage")
    for path in track(paths, description="boards", console=Console(stderr=True)):
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)
        defective = path.parent.name == "defective"
        text = (data / "labels" / f"{path.stem}.json").read_text(encoding="utf-8") if defective else "[]"
        truths = tuple((one["label"], tuple(one["box"])) for one in json.loads(text))
        suspicious = engine.screening.screen(image, None).suspicious
        yield Board(defective, truths, suspicious, engine.verification.verify(image, None))


def matched(board: Board, label: str, *, looked: bool) -> Count:
    """Hold a board's confirmed detections of one label, best first, against its defects of that label."""
    found = [one for one in board.confirmed if one.label == label] if looked else []
    left = [box for name, box in board.truths if name == label]
    right = 0
    for one in found:
        if not left:
            break
        overlaps = iou(np.array([one.box], np.float32), np.array(left, np.float32))[0]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= MATCH_IOU:
            right += 1
            del left[best]
    return Count(right, len(found) - right, len(left))


def yes_or_no(*, said: bool, true: bool) -> Count:
    """One answer to one question."""
    return Count(int(said and true), int(said and not true), int(true and not said))


def measure(boards: Sequence[Board], labels: Sequence[str]) -> Measured:
    """All figures of the boards."""
    result = Measured(len(boards))
    result.verification = {label: Count() for label in labels}
    result.end_to_end = {label: Count() for label in labels}
    for board in boards:
        result.screening.add(yes_or_no(said=board.suspicious, true=board.defective))
        result.verdicts.add(yes_or_no(said=board.suspicious and bool(board.confirmed), true=board.defective))
        for label in labels:
            if board.defective:
                result.verification[label].add(matched(board, label, looked=True))
            result.end_to_end[label].add(matched(board, label, looked=board.suspicious))
    return result


def as_json(measured: Measured, engine: Engine) -> dict[str, Any]:
    """The figures with what they were measured on."""
    return {
        "engine": engine.pack.name,
        "engine_digest": engine.pack.digest,
        "boards": measured.boards,
        "match_iou": MATCH_IOU,
        "screening": measured.screening.figures(),
        "verification": _by_label(measured.verification),
        "end_to_end": {"boards": measured.verdicts.figures(), **_by_label(measured.end_to_end)},
    }


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    table = Table(title=f"{figures['engine']} on {figures['boards']} boards")
    for name in ("", "right", "wrong", "missed", "precision", "recall", "F1"):
        table.add_column(name, justify="left" if not name else "right")
    _rows(table, "screening: boards called suspicious", {"": figures["screening"]})
    _rows(table, "verification: defects, every defective board looked at", figures["verification"])
    _rows(table, "end to end: boards called fail, and defects, on all boards", figures["end_to_end"])
    Console().print(table)


def _rows(table: Table, heading: str, rows: dict[str, dict[str, float | int | None]]) -> None:
    table.add_section()
    table.add_row(f"[bold]{heading}[/]")
    for name, one in rows.items():
        shares = ("-" if one[key] is None else f"{one[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(f"  {name or 'boards'}", *(str(one[key]) for key in ("right", "wrong", "missed")), *shares)


def _by_label(counts: dict[str, Count]) -> dict[str, dict[str, float | int | None]]:
    total = Count()
    for one in counts.values():
        total.add(one)
    return {**{label: one.figures() for label, one in counts.items()}, "all classes": total.figures()}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with data/pcb and models/pcb")
    parser.add_argument("--threads", type=int, default=0, help="threads of one model; 0: the cores less one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    asked = parser.parse_args()
    try:
        engine = load_engine(
            asked.shared / "models" / "pcb" / "pcb-trace-v1.0", InferenceSection(threads=asked.threads)
        )
    except FieldgateError as error:
        sys.exit(str(error))
    figures = as_json(measure(list(look(engine, asked.shared)), engine.pack.manifest.verification.labels), engine)
    if asked.json:
        print(json.dumps(figures, indent=1))
    else:
        show(figures)


if __name__ == "__main__":
    main()
