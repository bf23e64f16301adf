"""A picture with what was found in it: boxes, labels, scores against thresholds, and the outcome below it.

Nothing is told by colour alone. A confirmed box is thick, solid and magenta, one below its threshold thin,
dashed and white; both lie on black, so that they show on light and dark parts. Nothing covers the picture but
boxes and their labels: the outcome stands on a strip that is added below.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from agent.batch.pen import BLACK, CONFIRMED, DEFECT, INK, INK_2, PANEL, WHITE, Pen, Point
from agent.errors import StoreError
from agent.inspection.frame import Image
from agent.inspection.record import Record
from agent.inspection.verdict import Detection

_QUALITY: Final = 92
_COMFORTABLE: Final = 640
_SMALLEST: Final = 480
_LABEL: Final = 0.46
_TITLE: Final = 0.62
_NOTE: Final = 0.46
_STRIP: Final = 56


def annotated(image: Image, record: Record) -> bytes:
    """The picture of a record as JPEG.

    Args:
        image: Shape (h, w, 3), uint8, BGR; it is not changed. A small one is enlarged so that text fits.
        record: What was found in it.

    Raises:
        StoreError: OpenCV cannot encode it.
    """
    factor = max(1, -(-_SMALLEST // max(image.shape[:2])))
    canvas = np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)
    pen = Pen(canvas, max(canvas.shape[:2]) / _COMFORTABLE)
    best_last = sorted(record.detections, key=lambda one: (one.confirmed, one.score))
    boxes = [(one, tuple(round(value * factor) for value in one.box)) for one in best_last]
    for one, (x1, y1, x2, y2) in boxes:
        _frame(pen, one, (x1, y1), (x2, y2))
    _labels(pen, boxes)
    whole = np.vstack([canvas, _strip(canvas.shape[1], record, pen.unit)])
    done, data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise StoreError(f"{record.frame.source}: the annotated picture cannot be encoded as JPEG")
    return bytes(data)


def _frame(pen: Pen, one: Detection, low: Point, high: Point) -> None:
    if one.confirmed:
        pen.rectangle(low, high, BLACK, 5.5)
        pen.rectangle(low, high, CONFIRMED, 3)
        return
    pen.dashed_rectangle(low, high, BLACK, 4)
    pen.dashed_rectangle(low, high, WHITE, 1.5)


def _labels(pen: Pen, boxes: Sequence[tuple[Detection, tuple[int, ...]]]) -> None:
    """Write the labels, the best first, each where it covers none before it, if there is such a place."""
    taken: list[tuple[int, int, int, int]] = []
    for one, box in reversed(boxes):
        words = f"{one.label} {compared(one.score, one.threshold)}"
        size = pen.size(words, _LABEL)
        places = list(_places(pen, box, size))
        free = (place for place in places if not any(_overlap(place, other) for other in taken))
        place = next(free, places[0])
        taken.append(place)
        pen.text(words, (place[0], place[3]), WHITE, _LABEL)


def _places(pen: Pen, box: tuple[int, ...], size: Point) -> Iterator[tuple[int, int, int, int]]:
    """Where a label of some size may stand: above or below its box, from either edge, within the picture."""
    (x1, y1, x2, y2), (width, height), gap = box, size, pen.px(5)
    rows, columns = pen.canvas.shape[:2]
    for top in (y1 - gap - height, y2 + gap, y1 + gap, y1 - 2 * (gap + height), y2 + 2 * gap + height):
        for left in (x1, x2 - width):
            at = min(max(0, left), max(0, columns - width))
            if 0 <= top <= rows - height - gap:
                yield at, top, at + width, top + height
    yield max(0, min(x1, columns - width)), 0, max(width, min(x1 + width, columns)), height


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def compared(score: float, threshold: float) -> str:
    """``0.93 >= 0.70`` or ``0.46 < 0.70``, with as many decimals as it takes to read true."""
    sign = ">=" if score >= threshold else "<"
    for digits in range(2, 6):
        if round(score, digits) != round(threshold, digits) or score == threshold:
            return f"{score:.{digits}f} {sign} {threshold:.{digits}f}"
    return f"{score} {sign} {threshold}"


def _strip(width: int, record: Record, unit: float) -> Image:
    """The outcome with its sign and its reason, as wide as the picture."""
    blank = Pen(np.zeros((1, 1, 3), np.uint8), unit)
    strip = np.full((blank.px(_STRIP), width, 3), PANEL, np.uint8)
    pen = Pen(strip, unit)
    verdict = record.verdict
    colour = DEFECT if verdict.outcome == "fail" else INK
    _sign(pen, verdict.outcome)
    left = pen.px(52)
    title = verdict.outcome.upper() + ("" if verdict.disposition == "none" else f" - {verdict.disposition}")
    pen.text(title, (left, pen.px(24)), colour, _TITLE)
    pen.text(pen.shortened(verdict.text, width - left - pen.px(8), _NOTE), (left, pen.px(45)), INK, _NOTE)
    name = record.engine.name
    spare = width - left - pen.size(title, _TITLE)[0] - pen.px(32)
    if pen.size(name, _NOTE)[0] < spare:
        pen.text(name, (width - pen.size(name, _NOTE)[0] - pen.px(8), pen.px(23)), INK_2, _NOTE)
    return strip


def _sign(pen: Pen, outcome: str) -> None:
    """X for fail, a check for pass, a question mark in a dashed square for inconclusive."""
    low, high = (pen.px(14), pen.px(15)), (pen.px(40), pen.px(41))
    if outcome == "fail":
        pen.line(low, high, DEFECT, 4)
        pen.line((low[0], high[1]), (high[0], low[1]), DEFECT, 4)
    elif outcome == "pass":
        knee = (pen.px(23), pen.px(40))
        pen.line((pen.px(13), pen.px(29)), knee, INK, 4)
        pen.line(knee, (pen.px(42), pen.px(15)), INK, 4)
    else:
        pen.dashed_rectangle(low, high, INK, 1.5)
        pen.text("?", (pen.px(20), pen.px(36)), INK, 0.75)
