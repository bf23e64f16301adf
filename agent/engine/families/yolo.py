"""YOLO v3 and Tiny YOLO v3: raw heads, any number of them."""

from collections.abc import Mapping

import numpy as np

from agent.engine.families.family import Decode, Family, output_of
from agent.engine.manifest import HeadTable, VerificationTable
from agent.engine.model import Tensor
from agent.errors import PackError
from agent.inspection.detections import Detections, YoloHead, decode_yolo_head, joined


def _prepare(table: VerificationTable, outputs: Mapping[str, Tensor]) -> Decode:
    yolo = table.yolo
    if yolo is None:
        raise PackError(f"the table [verification.yolo] is missing: {table.family} needs its heads and anchors")
    for head in yolo.heads:
        _check_head(head, table, output_of(outputs, head.output, key="verification.yolo.heads"))
    heads = [(head.output, YoloHead(head.stride, head.anchors)) for head in yolo.heads]

    def decode(answer: Mapping[str, Tensor]) -> Detections:
        parts = [
            decode_yolo_head(
                _planes(answer[name], yolo.layout),
                head,
                classes=len(table.labels),
                activation=yolo.activation,
                floor=table.floor,
            )
            for name, head in heads
        ]
        found = joined(parts)
        broken = np.flatnonzero(np.isnan(found.score))
        if broken.size:  # one is enough to say so; a network that answers with nothing else gives thousands
            return found[broken[:1]]
        return found.suppressed(table.nms_iou, per_class=table.nms == "per-class")

    return decode


def _planes(output: Tensor, layout: str) -> Tensor:
    """One image's head as (channels, rows, columns)."""
    head = output[0]
    return np.ascontiguousarray(head.transpose(2, 0, 1)) if layout == "NHWC" else head


def _check_head(head: HeadTable, table: VerificationTable, output: Tensor) -> None:
    layout = table.yolo.layout if table.yolo else "NCHW"
    channels = len(head.anchors) * (5 + len(table.labels))
    grid = (table.input.height // head.stride, table.input.width // head.stride)
    expected = (1, channels, *grid) if layout == "NCHW" else (1, *grid, channels)
    if output.shape != expected:
        raise PackError(
            f"verification.yolo.heads: '{head.output}' has the shape {list(output.shape)}; {len(head.anchors)} "
            f"anchors, {len(table.labels)} labels and stride {head.stride} need {list(expected)}"
        )


YOLO = Family(_prepare)
