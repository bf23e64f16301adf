"""From a frame to a network's input: crop, resize, order of channels, scale, layout."""

import cv2
import numpy as np
import numpy.typing as npt

from agent.engine.manifest import InputTable
from agent.inspection.boxes import Placement, letterbox, stretch
from agent.inspection.frame import Image

Region = tuple[int, int, int, int]

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}


class Preparation:
    """Prepares images for one input, into a buffer that the next image overwrites.

    Args:
        table: The manifest's facts about the input.
    """

    def __init__(self, table: InputTable) -> None:
        self._table = table
        channels = len(table.mean)
        self._size = (table.width, table.height)
        scale = np.asarray(table.scale / np.asarray(table.std, np.float64), np.float32)
        shift = np.asarray(np.asarray(table.mean, np.float64) / np.asarray(table.std, np.float64), np.float32)
        planes = (table.height, table.width)
        if table.layout == "NCHW":
            self._tensor = np.empty((1, channels, *planes), np.float32)
            self._scale, self._shift = scale[:, None, None], shift[:, None, None]
        else:
            self._tensor = np.empty((1, *planes, channels), np.float32)
            self._scale, self._shift = scale, shift
        self._shifts = bool(shift.any())

    def __call__(self, image: Image, region: Region | None) -> tuple[npt.NDArray[np.float32], Placement]:
        """The input tensor for one image, and where the region lies in it.

        Args:
            image: Shape (h, w, 3), uint8, BGR.
            region: x1, y1, x2, y2 within the image; None for all of it.
        """
        left, top, right, bottom = region or (0, 0, image.shape[1], image.shape[0])
        crop = image[top:bottom, left:right]
        fit = stretch if self._table.resize == "stretch" else letterbox
        placement = fit((right - left, bottom - top), self._size, origin_xy=(left, top))
        interpolation = _INTERPOLATION[self._table.interpolation]
        resized = np.asarray(cv2.resize(crop, placement.inner_wh, interpolation=interpolation), np.uint8)
        self._fill(self._padded(resized, placement))
        return self._tensor, placement

    def _padded(self, resized: npt.NDArray[np.uint8], placement: Placement) -> npt.NDArray[np.uint8]:
        if placement.inner_wh == placement.outer_wh:
            return resized
        (x, y), (w, h) = placement.shift_xy, placement.inner_wh
        canvas = np.full((self._size[1], self._size[0], 3), self._table.pad, np.uint8)
        canvas[y : y + h, x : x + w] = resized
        return canvas

    def _fill(self, picture: npt.NDArray[np.uint8]) -> None:
        if self._table.channels == "GRAY":
            planes = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]
        elif self._table.channels == "RGB":
            planes = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        else:
            planes = picture
        source = planes.transpose(2, 0, 1) if self._table.layout == "NCHW" else planes
        np.multiply(source, self._scale, out=self._tensor[0])
        if self._shifts:
            self._tensor[0] -= self._shift
