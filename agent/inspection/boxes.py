"""Boxes: between frame and network pixels and back, overlap, suppression, clipping.

A box is ``[x1, y1, x2, y2]`` in pixels, x to the right and y down, edges not centres: a box that covers
the whole of a picture ``w`` wide runs from 0 to ``w``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_TOGETHER = 128


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a region of a frame lies in a network's input; ``network = frame * scale + shift``.

    Attributes:
        inner_wh: Size in network pixels that the region is resized to.
        outer_wh: Size of the network's input.
        shift_xy: Left and top padding in network pixels.
        scale_xy: Network pixels per frame pixel.
        origin_xy: The region's left and top edge in frame pixels.
    """

    inner_wh: tuple[int, int]
    outer_wh: tuple[int, int]
    shift_xy: tuple[int, int]
    scale_xy: tuple[float, float]
    origin_xy: tuple[int, int] = (0, 0)

    def to_network(self, xyxy: Floats) -> Floats:
        """Boxes in frame pixels, shape (n, 4), as boxes in network pixels."""
        origin, scale, shift = self._quads()
        return np.asarray((xyxy - origin) * scale + shift, np.float32)

    def to_frame(self, xyxy: Floats) -> Floats:
        """Boxes in network pixels, shape (n, 4), as boxes in frame pixels."""
        origin, scale, shift = self._quads()
        return np.asarray((xyxy - shift) / scale + origin, np.float32)

    def _quads(self) -> tuple[npt.NDArray[np.float64], ...]:
        pairs = (self.origin_xy, self.scale_xy, self.shift_xy)
        return tuple(np.array([x, y, x, y], np.float64) for x, y in pairs)


def stretch(region_wh: tuple[int, int], input_wh: tuple[int, int], *, origin_xy: tuple[int, int] = (0, 0)) -> Placement:
    """Fill the input, each axis with its own scale."""
    scale = (input_wh[0] / region_wh[0], input_wh[1] / region_wh[1])
    return Placement(input_wh, input_wh, (0, 0), scale, origin_xy)


def letterbox(
    region_wh: tuple[int, int], input_wh: tuple[int, int], *, origin_xy: tuple[int, int] = (0, 0)
) -> Placement:
    """Keep the aspect ratio, centre the picture and pad the rest.

    The inner size is rounded to whole pixels and each axis keeps the scale that this gives, so that
    ``to_frame`` undoes exactly what the resize did.
    """
    scale = min(input_wh[0] / region_wh[0], input_wh[1] / region_wh[1])
    inner = (
        min(input_wh[0], max(1, round(region_wh[0] * scale))),
        min(input_wh[1], max(1, round(region_wh[1] * scale))),
    )
    shift = ((input_wh[0] - inner[0]) // 2, (input_wh[1] - inner[1]) // 2)
    scales = (inner[0] / region_wh[0], inner[1] / region_wh[1])
    return Placement(inner, input_wh, shift, scales, origin_xy)


def clip(xyxy: Floats, left: float, top: float, right: float, bottom: float) -> Floats:
    """Boxes, shape (n, 4), cut to the given rectangle; one outside becomes an empty box on its edge."""
    low = np.array([left, top, left, top], np.float32)
    high = np.array([right, bottom, right, bottom], np.float32)
    return np.asarray(np.clip(xyxy, low, high), np.float32)


def area(xyxy: Floats) -> Floats:
    """Areas in square pixels, shape (n,); 0 for a box turned inside out."""
    size = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0)
    return np.asarray(size[:, 0] * size[:, 1], np.float32)


def iou(one: Floats, other: Floats) -> Floats:
    """Intersection over union of each box of ``one`` (n, 4) with each of ``other`` (m, 4): (n, m), 0 to 1."""
    top_left = np.maximum(one[:, None, :2], other[None, :, :2])
    bottom_right = np.minimum(one[:, None, 2:], other[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    both = sides[..., 0] * sides[..., 1]
    union = area(one)[:, None] + area(other)[None, :] - both
    return np.asarray(np.where(union > 0, both / np.maximum(union, 1e-9), 0), np.float32)


def nms(xyxy: Floats, score: Floats, limit: float) -> Ints:
    """Greedy non-maximum suppression.

    Args:
        xyxy: Boxes, shape (n, 4).
        score: Scores, shape (n,).
        limit: A box that overlaps a better one by more than this IoU is dropped; 0 to 1.

    Returns:
        Indices of the boxes that stay, best score first; equal scores in the order given.
    """
    return nms_per_class(xyxy, score, np.zeros(len(score), np.int64), limit)


def nms_per_class(xyxy: Floats, score: Floats, label: Ints, limit: float) -> Ints:
    """``nms`` within each label; indices of the boxes that stay, best score first."""
    order = np.argsort(-score, kind="stable")
    kept = [np.empty(0, np.int64)]
    while order.size:
        # All pairs of the best ones at once: one by one, numpy's calls would cost more than the arithmetic.
        best, order = order[:_TOGETHER], order[_TOGETHER:]
        clash = _clash(xyxy, label, best, best, limit)
        stays = np.ones(len(best), np.bool_)
        for row in range(len(best)):
            if stays[row]:
                stays[row + 1 :] &= ~clash[row, row + 1 :]
        best = best[stays]
        kept.append(best)
        order = order[~_clash(xyxy, label, best, order, limit).any(axis=0)]
    return np.concatenate(kept)


def _clash(xyxy: Floats, label: Ints, one: Ints, other: Ints, limit: float) -> npt.NDArray[np.bool_]:
    """Which of ``one`` (n indices) forbids which of ``other`` (m): same label and too much overlap; (n, m)."""
    too_much = ~(iou(xyxy[one], xyxy[other]) <= limit)
    return np.asarray(too_much & (label[one, None] == label[None, other]), np.bool_)
