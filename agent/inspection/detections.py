"""Stage 2: boxes with labels and scores, and how raw YOLO v3 heads become boxes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.inspection.boxes import Floats, Ints, nms, nms_per_class
from agent.inspection.screening import activate, sigmoid

CANDIDATES = 1_000
"""At most so many boxes of one image take part in suppression, the best ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes found in one frame, one row each, best score first.

    Attributes:
        xyxy: Shape (n, 4), float32, x1 <= x2 and y1 <= y2.
        score: Shape (n,), float64, 0 to 1.
        label: Index into the manifest's labels, shape (n,), int64.
    """

    xyxy: Floats
    score: npt.NDArray[np.float64]
    label: Ints

    def __post_init__(self) -> None:
        n = len(self.score)
        if self.xyxy.shape != (n, 4) or self.score.shape != (n,) or self.label.shape != (n,):
            got = f"{self.xyxy.shape}, {self.score.shape}, {self.label.shape}"
            raise ValueError(f"expected ({n}, 4), ({n},), ({n},); got {got}")
        for array in (self.xyxy, self.score, self.label):
            array.setflags(write=False)

    @classmethod
    def empty(cls) -> "Detections":
        """No boxes."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float64), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: npt.NDArray[np.generic]) -> "Detections":
        return Detections(self.xyxy[rows], self.score[rows], self.label[rows])

    def at_least(self, floor: float) -> "Detections":
        """Those whose score is at or above ``floor``, and every NaN: it must be seen, not lost."""
        return self[~(self.score < floor)]

    def suppressed(self, limit: float, *, per_class: bool) -> "Detections":
        """Those that non-maximum suppression keeps, best score first.

        Only the best ``CANDIDATES`` take part: a model that answers with more is ill, and suppression costs the
        square of their number.
        """
        if len(self) > CANDIDATES:
            return self[np.argsort(-self.score, kind="stable")[:CANDIDATES]].suppressed(limit, per_class=per_class)
        score = self.score.astype(np.float32)
        if per_class:
            return self[nms_per_class(self.xyxy, score, self.label, limit)]
        return self[nms(self.xyxy, score, limit)]

    def moved(self, xyxy: Floats) -> "Detections":
        """The same detections with other boxes, in the same order."""
        return Detections(xyxy, self.score, self.label)


@dataclass(frozen=True, slots=True)
class YoloHead:
    """One raw output of a YOLO v3 network.

    Attributes:
        stride: Network pixels per grid cell.
        anchors: Width and height of each anchor in network pixels.
    """

    stride: int
    anchors: tuple[tuple[float, float], ...]


def decode_yolo_head(
    raw: npt.NDArray[np.float32], head: YoloHead, *, classes: int, activation: str, floor: float
) -> Detections:
    """Boxes of one head in network pixels, before suppression.

    With t the raw values of anchor (aw, ah) in cell (cx, cy):
    ``bx = (sigmoid(tx) + cx) * stride``, ``bw = aw * exp(tw)``, ``score = act(to) * act(tc)``
    (Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018, section 2.1).

    Args:
        raw: Shape (anchors * (5 + classes), rows, columns).
        head: Stride and anchors.
        classes: Number of labels.
        activation: Of objectness and classes: ``sigmoid`` or ``none``.
        floor: Rows below it are left out before anything is computed for their boxes.

    Returns:
        One row per anchor and class at or above ``floor``; a NaN score is kept.
    """
    anchors = len(head.anchors)
    grid = raw.reshape(anchors, 5 + classes, *raw.shape[-2:])
    objectness = activate(grid[:, 4], activation)
    # A class cannot raise the score above the objectness, so most cells leave here.
    anchor, row, column = np.nonzero(~(objectness < floor))
    cells = grid[anchor, :, row, column].astype(np.float64)
    scores = np.asarray(objectness[anchor, row, column, None] * activate(cells[:, 5:], activation))
    which, label = np.nonzero(~(scores < floor))
    cells, sizes = cells[which], np.array(head.anchors, np.float64)[anchor[which]]
    centre = sigmoid(cells[:, :2]) + np.stack([column[which], row[which]], axis=1)
    # exp of a wild value would overflow; no real box is e**10 times its anchor.
    half = sizes * np.exp(np.clip(cells[:, 2:4], -20.0, 10.0)) / 2
    centre = centre * head.stride
    xyxy = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return Detections(xyxy, scores[which, label], label.astype(np.int64))


def joined(parts: list[Detections]) -> Detections:
    """All rows of several detections, best score first."""
    score = np.concatenate([part.score for part in parts])
    order = np.argsort(-score, kind="stable")
    xyxy = np.concatenate([part.xyxy for part in parts])[order]
    label = np.concatenate([part.label for part in parts])[order]
    return Detections(xyxy, score[order], label)
