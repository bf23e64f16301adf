"""Lines and words on a picture, in sizes that grow with it."""

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final

import cv2

from agent.inspection.frame import Image

Point = tuple[int, int]
Colour = tuple[int, int, int]
"""Blue, green, red."""

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)
CONFIRMED: Final[Colour] = (180, 95, 255)  # #FF5FB4
DEFECT: Final[Colour] = (198, 140, 255)  # #FF8CC6
PANEL: Final[Colour] = (37, 33, 29)  # #1D2125
INK: Final[Colour] = (238, 236, 233)  # #E9ECEE
INK_2: Final[Colour] = (193, 187, 180)  # #B4BBC1

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_DASH: Final = 7
_STROKE: Final = 1.1
_RIM: Final = 1.4


@dataclass(frozen=True, slots=True, eq=False)
class Pen:
    """Draws on one picture.

    Attributes:
        canvas: Shape (h, w, 3), uint8, BGR; drawn upon.
        unit: What every size is multiplied by; 1 for a picture whose longer side is 640 pixels.
    """

    canvas: Image
    unit: float

    def px(self, size: float) -> int:
        """A length in whole pixels, at least 1."""
        return max(1, round(size * self.unit))

    def line(self, start: Point, end: Point, colour: Colour, width: float) -> None:
        """A straight line."""
        cv2.line(self.canvas, start, end, colour, self.px(width), cv2.LINE_AA)

    def rectangle(self, low: Point, high: Point, colour: Colour, width: float) -> None:
        """The outline of a rectangle."""
        cv2.rectangle(self.canvas, low, high, colour, self.px(width), cv2.LINE_AA)

    def dashes(self, start: Point, end: Point, colour: Colour, width: float) -> None:
        """A dashed line that begins and ends with a dash."""
        length = math.dist(start, end)
        count = max(1, round(length / (2 * _DASH * self.unit))) * 2 - 1
        x, y = ((end[axis] - start[axis]) / count for axis in (0, 1))
        for step in range(0, count, 2):
            a = (round(start[0] + x * step), round(start[1] + y * step))
            b = (round(start[0] + x * (step + 1)), round(start[1] + y * (step + 1)))
            self.line(a, b, colour, width)

    def dashed_rectangle(self, low: Point, high: Point, colour: Colour, width: float) -> None:
        """The dashed outline of a rectangle."""
        corners = [low, (high[0], low[1]), high, (low[0], high[1]), low]
        for start, end in pairwise(corners):
            self.dashes(start, end, colour, width)

    def text(self, words: str, at: Point, colour: Colour, size: float) -> None:
        """Write from the left end of a baseline, with a black rim."""
        words, rim = _plain(words), self.px(_RIM)
        # The rim is the same words moved, since OpenCV 5 sets thicker words wider.
        for x, y in product((-rim, 0, rim), repeat=2):
            self._put(words, (at[0] + x, at[1] + y), BLACK, size)
        self._put(words, at, colour, size)

    def _put(self, words: str, at: Point, colour: Colour, size: float) -> None:
        cv2.putText(self.canvas, words, at, _FONT, size * self.unit, colour, self.px(_STROKE), cv2.LINE_AA)

    def size(self, words: str, size: float) -> Point:
        """Width and height of some words in pixels."""
        (width, height), _ = cv2.getTextSize(_plain(words), _FONT, size * self.unit, self.px(_STROKE))
        return int(width), int(height)

    def shortened(self, words: str, width: int, size: float) -> str:
        """As much of some words as fits into ``width`` pixels."""
        if self.size(words, size)[0] <= width:
            return words
        while words and self.size(words + "...", size)[0] > width:
            words = words[:-1]
        return words + "..."


def _plain(words: str) -> str:
    """OpenCV's own font has ASCII only."""
    return words.encode("ascii", "replace").decode("ascii")
