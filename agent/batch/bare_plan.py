"""What the bare loop has to know, taken from a pack: plain values, ready for JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.config.sections import InferenceSection
from agent.engine.manifest import ScreeningTable, VerificationTable
from agent.engine.onnx import cpu_threads
from agent.engine.pack import Pack


def bare_plan(pack: Pack, inference: InferenceSection, images: Sequence[Path]) -> dict[str, Any]:
    """The plan for the same models with the same thread settings.

    Args:
        pack: The engine pack.
        inference: Threads and spinning, as the agent uses them.
        images: The files to go through, again and again in this order.
    """
    table = pack.manifest
    return {
        "threads": cpu_threads(inference.threads),
        "spinning": inference.spinning,
        "images": [str(path) for path in images],
        "screening": None if table.screening is None else _screening(pack.folder, table.screening),
        "verification": _verification(pack.folder, table.verification),
    }


def _screening(folder: Path, table: ScreeningTable) -> dict[str, Any]:
    return {
        "file": str(folder / table.file),
        "input": table.input.model_dump(),
        "output": table.output,
        "activation": table.activation,
        "defects": [table.labels.index(label) for label in table.defect_labels],
        "threshold": table.threshold,
    }


def _verification(folder: Path, table: VerificationTable) -> dict[str, Any]:
    plan: dict[str, Any] = {
        "file": str(folder / table.file),
        "input": table.input.model_dump(),
        "floor": table.floor,
        "output": table.output,
        "activation": table.activation,
        "defects": [table.labels.index(label) for label in table.defect_labels or table.labels],
        "yolo": None,
    }
    if table.yolo is not None and table.family != "classifier":
        plan["yolo"] = {
            **table.yolo.model_dump(),
            "classes": len(table.labels),
            "nms_iou": table.nms_iou,
            "per_class": table.nms == "per-class",
        }
    return plan
