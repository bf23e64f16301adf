"""The machined part that the simulated camera looks at: relief, reflectance, places for defects.

A face-brushed plate with a chamfer, four countersunk holes, a stepped bore, a milled slot and an
engraved number, lying on a dark fixture. Everything is described on a canvas of 640x480 and scaled.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SLOPE_SPAN = 1.6
"""Slopes are stored in 8 bits over -SLOPE_SPAN..SLOPE_SPAN (rise per pixel of run)."""
GRAIN_SPAN = 4.0
"""The brushed grain is stored in 8 bits over -GRAIN_SPAN..GRAIN_SPAN standard deviations."""


@dataclass(frozen=True)
class Part:
    """One part, pre-rendered.

    Attributes:
        layers: uint8 (h, w, 4): reflectance 0..255, slope along x, slope along y, brushed grain
            (the last three offset by 128, see `SLOPE_SPAN` and `GRAIN_SPAN`).
        face: float32 (n, 2): x, y of places on the brushed face, clear of holes and edges.
        rims: float32 (n, 4): x, y on an outer edge or a hole's rim, and the unit vector that
            points from there into the material.
    """

    layers: NDArray[np.uint8]
    face: Floats
    rims: Floats


def make_part(width: int, height: int, rng: np.random.Generator) -> Part:
    """Renders one part; each draw of `rng` gives another grain, engraving and slight layout."""
    outline = _Outline(width, height, rng)
    solid = outline.solid()
    slope_x, slope_y = outline.slopes()
    grain = _brushed_grain(width, height, rng)
    reflectance = _reflectance(solid, outline, grain, rng)
    layers = np.dstack(
        [
            np.clip(reflectance * 255.0, 0, 255),
            np.clip(slope_x / SLOPE_SPAN * 127.0 + 128.0, 0, 255),
            np.clip(slope_y / SLOPE_SPAN * 127.0 + 128.0, 0, 255),
            np.clip(grain * solid / GRAIN_SPAN * 127.0 + 128.0, 0, 255),
        ]
    )
    return Part(np.ascontiguousarray(np.round(layers).astype(np.uint8)), *outline.places())


class _Outline:
    """Where the plate, its holes and its slot are, in pixels of the frame."""

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height = width, height
        self.unit = min(width / 640.0, height / 480.0)
        jitter = [float(v) * self.unit for v in rng.uniform(-1.0, 1.0, 6)]
        left, top = 46 * width / 640 + jitter[0] * 3, 44 * height / 480 + jitter[1] * 3
        self.plate = (left, top, width - left + jitter[2] * 3, height - top + jitter[3] * 3)
        right, bottom = self.plate[2], self.plate[3]
        inset = 48 * self.unit
        self.holes = [
            (x, y, 17 * self.unit) for x in (left + inset, right - inset) for y in (top + inset, bottom - inset)
        ]
        self.holes.append((width * 0.42 + jitter[4] * 4, height * 0.5, 52 * self.unit))
        self.slot = (width * 0.62, height * 0.5 + jitter[5] * 4, 70 * self.unit, 16 * self.unit)
        self.number = f"FG-{rng.integers(1000, 9999)}"
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        self.to_plate = self._rounded_box(x, y)
        self.to_holes = [np.hypot(x - cx, y - cy) - r for cx, cy, r in self.holes]
        sx, sy, length, radius = self.slot
        along = np.clip(x, sx, sx + length)
        self.to_slot = np.hypot(x - along, y - sy) - radius

    def _rounded_box(self, x: Floats, y: Floats) -> Floats:
        """Signed distance in pixels to the plate's edge, negative inside."""
        left, top, right, bottom = self.plate
        corner = 16 * self.unit
        qx = np.abs(x - (left + right) / 2) - (right - left) / 2 + corner
        qy = np.abs(y - (top + bottom) / 2) - (bottom - top) / 2 + corner
        outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
        distance: Floats = (outside + np.minimum(np.maximum(qx, qy), 0) - corner).astype(np.float32)
        return distance

    def solid(self) -> Floats:
        """How much of each pixel is metal, 0..1."""
        open_at = np.minimum.reduce([*self.to_holes, self.to_slot])
        metal: Floats = np.clip(0.5 - self.to_plate, 0, 1) * np.clip(0.5 + open_at, 0, 1)
        return metal

    def slopes(self) -> tuple[Floats, Floats]:
        """Slope of the relief along x and y: chamfers, countersinks, the slot's wall, the number."""
        unit = self.unit
        relief = -_ramp(self.to_plate + 7 * unit, 7 * unit) * 0.9
        for distance, (_, _, radius) in zip(self.to_holes, self.holes, strict=True):
            sink = 8 * unit if radius < 30 * unit else 6 * unit
            relief = relief - _ramp(sink - distance, sink) * 0.8
        relief = relief - _ramp(4 * unit - self.to_slot, 4 * unit) * 0.8
        relief = relief - self._engraving() * 1.2 * unit
        relief = np.asarray(cv2.GaussianBlur(relief.astype(np.float32), (0, 0), 0.8), np.float32)
        slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        return np.asarray(slope_x, np.float32), np.asarray(slope_y, np.float32)

    def _engraving(self) -> Floats:
        canvas = np.zeros((self.height, self.width), np.uint8)
        at = (int(self.slot[0] - 6 * self.unit), int(self.height * 0.5 - 60 * self.unit))
        thick = max(1, round(2 * self.unit))
        cv2.putText(canvas, self.number, at, 0, 0.75 * self.unit, 255, thick, cv2.LINE_AA)
        return np.asarray(canvas, np.float32) / 255.0

    def places(self) -> tuple[Floats, Floats]:
        """`face` and `rims` of `Part`."""
        clear = np.minimum.reduce([*self.to_holes, self.to_slot, -self.to_plate])
        ys, xs = np.nonzero(clear[::6, ::6] > 22 * self.unit)
        face = np.column_stack([xs, ys]).astype(np.float32) * 6
        left, top, right, bottom = self.plate
        across = np.arange(left + 30 * self.unit, right - 30 * self.unit, 9 * self.unit)
        down = np.arange(top + 30 * self.unit, bottom - 30 * self.unit, 9 * self.unit)
        rims = [(x, top, 0, 1) for x in across] + [(x, bottom, 0, -1) for x in across]
        rims += [(left, y, 1, 0) for y in down] + [(right, y, -1, 0) for y in down]
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        for x, y, radius in self.holes:
            rims += [(x + radius * np.cos(a), y + radius * np.sin(a), np.cos(a), np.sin(a)) for a in turn]
        return face, np.asarray(rims, np.float32)


def _ramp(distance: Floats, run: float) -> Floats:
    """A slope of length `run` pixels: 0 before it, rising to `run` at its end, flat after."""
    ramp: Floats = np.clip(distance, 0, run).astype(np.float32)
    return ramp


def _brushed_grain(width: int, height: int, rng: np.random.Generator) -> Floats:
    """Streaks along x of unit variance: fine, long and, faintly, the arcs of the milling cutter."""
    raw = rng.standard_normal((height, width), dtype=np.float32)
    fine = cv2.blur(raw, (31, 1))
    long = cv2.GaussianBlur(cv2.blur(raw, (151, 1)), (0, 0), sigmaX=1, sigmaY=1.2)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = np.hypot(x + width * 0.4, y - height * rng.uniform(0.3, 0.7))
    arcs = np.sin(radius * (2 * np.pi / (5.5 * min(width / 640.0, height / 480.0))))
    grain = fine / fine.std() + 0.9 * long / long.std() + 0.35 * arcs
    return np.asarray(grain / grain.std(), np.float32)


def _reflectance(solid: Floats, outline: _Outline, grain: Floats, rng: np.random.Generator) -> Floats:
    """Reflectance 0..1: metal over a dark, rough fixture, with the part's shadow and hole walls."""
    height, width = solid.shape
    rough = rng.standard_normal((height, width), dtype=np.float32)
    rough = np.asarray(cv2.GaussianBlur(rough, (0, 0), 1.1), np.float32)
    cloud = rng.standard_normal((max(2, height // 60), max(2, width // 60)), dtype=np.float32)
    cloud = np.asarray(cv2.resize(cloud, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    shadow = np.clip(outline.to_plate / (26 * outline.unit), 0, 1)
    floor = (0.075 + 0.02 * rough + 0.006 * cloud) * (0.35 + 0.65 * shadow)
    depth = np.minimum(np.minimum.reduce([*outline.to_holes, outline.to_slot]), 0)
    floor = np.where(outline.to_plate < 0, 0.03 + 0.05 * np.exp(depth / 6.0), floor)
    metal = 0.56 + 0.012 * cloud + 0.004 * grain
    reflectance: Floats = (metal * solid + floor * (1 - solid)).astype(np.float32)
    return reflectance
