"""Marks on a simulated part: four kinds of defect, and the harmless marks that look like them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DEFECTS: tuple[str, ...] = ("scratch", "dent", "stain", "chip")
"""Labels of the simulated defects, in the order in which the demo pack's detector knows them."""

_VISIBLE = 0.3
"""A pixel belongs to a mark's box where the mark has at least this share of its full effect."""


@dataclass(frozen=True)
class Stamp:
    """A mark as a small patch that changes the part beneath it.

    Attributes:
        x: Left column of the patch in the frame; may be negative.
        y: Top row of the patch in the frame; may be negative.
        gain: float32 (h, w), factor on the reflectance.
        slope_x: float32 (h, w), added to the relief's slope along x.
        slope_y: float32 (h, w), added to the relief's slope along y.
        tint: Factors on blue, green and red where the mark has its full effect.
        cover: float32 (h, w), 0..1, the share of the mark's effect in each pixel.
    """

    x: int
    y: int
    gain: Floats
    slope_x: Floats
    slope_y: Floats
    cover: Floats
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The visible extent as x1, y1, x2, y2 in frame pixels, 2 px wider on each side, clipped."""
        ys, xs = np.nonzero(self.cover >= _VISIBLE)
        return (
            float(np.clip(self.x + xs.min() - 2, 0, width)),
            float(np.clip(self.y + ys.min() - 2, 0, height)),
            float(np.clip(self.x + xs.max() + 3, 0, width)),
            float(np.clip(self.y + ys.max() + 3, 0, height)),
        )


def scratch(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A curved groove across the brushing, 40 to 110 px long (at 640x480)."""
    return _groove(at, unit, strength, rng.uniform(40, 110), rng)


def hairline(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A harmless handling mark: like a scratch, but faint and at most 22 px long."""
    return _groove(at, unit, 0.5 * strength, rng.uniform(8, 22), rng)


def _groove(at: Floats, unit: float, strength: float, length: float, rng: np.random.Generator) -> Stamp:
    angle = np.pi / 2 + rng.uniform(-1.15, 1.15)
    half = length * unit / 2
    reach = int(half + 6)
    steps = np.linspace(-1, 1, 12)
    bend = rng.uniform(-0.16, 0.16) * half * (1 - steps**2)
    xs = reach + half * steps * np.cos(angle) - bend * np.sin(angle)
    ys = reach + half * steps * np.sin(angle) + bend * np.cos(angle)
    canvas = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    points = np.round(np.column_stack([xs, ys]) * 16).astype(np.int32)
    thick = max(1, round(rng.uniform(0.5, 1.9) * unit))
    cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=thick, shift=4, lineType=16)
    line = cv2.GaussianBlur(canvas.astype(np.float32) / 255.0, (0, 0), 0.7)
    cover = np.minimum(line * 1.6, 1)
    line *= np.clip(_uneven(line.shape, 6, rng) * 1.3 + 0.3, 0.15, 1.3)
    slope_x, slope_y = _slopes(line * (-1.9 * strength))
    gain = 1 - 0.2 * strength * line
    return Stamp(*_corner(at, reach), gain, slope_x, slope_y, cover)


def dent(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A smooth hollow, 22 to 56 px across: one flank brighter, the other darker."""
    wide = rng.uniform(5.5, 12.0) * unit
    narrow = wide * rng.uniform(0.6, 1.0)
    turn = rng.uniform(0, np.pi)
    reach = int(wide * 2.6)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    u = (x * np.cos(turn) + y * np.sin(turn)) / wide
    v = (y * np.cos(turn) - x * np.sin(turn)) / narrow
    hollow = np.exp(-0.5 * (u * u + v * v)).astype(np.float32)
    slope_x, slope_y = _slopes(hollow * np.float32(-0.42 * strength * narrow))
    gain = 1 - 0.05 * strength * hollow
    return Stamp(*_corner(at, reach), gain, slope_x, slope_y, np.minimum(hollow * 1.7, 1))


def stain(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A dried drop of coolant or oil, 26 to 84 px across, with a darker rim and a tint."""
    radius = rng.uniform(15, 40) * unit
    film = _blob(radius, rng, lobes=5, soft=0.45)
    rim = 4 * film * (1 - film)
    gain = 1 - strength * (0.11 * film + 0.07 * rim) * (0.6 + 0.6 * _uneven(film.shape, 5, rng))
    flat = np.zeros_like(film)
    warm = rng.uniform(-0.3, 1.0) * 0.10 * strength
    tint = (1 - warm, 1 - 0.25 * warm, 1 + 0.3 * warm)
    return Stamp(*_corner(at, film.shape[0] // 2), gain, flat, flat, film, tint)


def smudge(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A harmless fingerprint haze: like a stain, but fainter, without rim or tint."""
    film = _blob(rng.uniform(14, 34) * unit, rng, lobes=4, soft=0.8)
    flat = np.zeros_like(film)
    return Stamp(*_corner(at, film.shape[0] // 2), 1 - 0.06 * strength * film, flat, flat, film)


def chip(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A broken-out piece of an edge, 10 to 30 px across, with glinting and dark facets."""
    piece = _blob(rng.uniform(6.5, 13) * unit, rng, lobes=5, soft=0.2)
    size = piece.shape[0]
    facets = cv2.resize(rng.uniform(-1, 1, (4, 4, 2)).astype(np.float32), (size, size), interpolation=1)
    slopes = facets * piece[..., None] * np.float32(0.75 * strength)
    gain = 1 - strength * piece * (0.42 + 0.25 * facets[..., 0])
    along_x, along_y = np.ascontiguousarray(slopes[..., 0]), np.ascontiguousarray(slopes[..., 1])
    return Stamp(*_corner(at, size // 2), gain, along_x, along_y, piece)


def speck(at: Floats, unit: float, strength: float, rng: np.random.Generator) -> Stamp:
    """A harmless grain of dust, 2 to 5 px across."""
    reach = int(6 * unit) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    radius = rng.uniform(0.7, 1.7) * unit
    grain = np.exp(-0.5 * (x * x + y * y) / radius**2).astype(np.float32)
    flat = np.zeros_like(grain)
    return Stamp(*_corner(at, reach), 1 - 0.5 * strength * grain, flat, flat, grain)


def _blob(radius: float, rng: np.random.Generator, *, lobes: int, soft: float) -> Floats:
    """An irregular patch, float32 (n, n) 0..1, about `radius` pixels in radius."""
    reach = int(radius * 1.6) + 3
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.65, 1.0)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = (y * np.cos(angle) - x * np.sin(angle)) / stretch
    distance = np.hypot(u, v) / radius
    distance = distance + 0.75 * (_uneven(distance.shape, lobes, rng) - 0.5)
    return np.asarray(np.clip((1 - distance) / soft + 0.5, 0, 1), np.float32)


def _uneven(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> Floats:
    """A smooth random field, float32 of `shape`, about 0..1, with `cells` bumps a side."""
    coarse = rng.uniform(0, 1, (cells, cells)).astype(np.float32)
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)


def _slopes(relief: Floats) -> tuple[Floats, Floats]:
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return np.asarray(slope_x, np.float32), np.asarray(slope_y, np.float32)


def _corner(at: Floats, reach: int) -> tuple[int, int]:
    return round(float(at[0])) - reach, round(float(at[1])) - reach
