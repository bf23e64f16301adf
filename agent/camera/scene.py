"""Simulated inspection images: a brushed metal part under a lamp, now and then with a defect.

No I/O and no clock: frame `n` of seed `s` under the same knobs is always the same picture.

The light model is a short one: reflectance x (lamp's field on the part) x (1 + relief's slope towards
the lamp), then the lens (haze, blur), then the sensor (shot noise, response curve, colour).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.camera.defects import (
    DEFECTS,
    Stamp,
    chip,
    dent,
    hairline,
    scratch,
    smudge,
    speck,
    stain,
)
from agent.camera.knobs import Knobs
from agent.camera.part import GRAIN_SPAN, SLOPE_SPAN, Floats, Part, make_part

__all__ = ["DEFECTS", "Knobs", "Scene", "Truth"]

_MAKERS: dict[str, Callable[[Floats, float, float, np.random.Generator], Stamp]] = {
    "scratch": scratch,
    "dent": dent,
    "stain": stain,
    "chip": chip,
}
_HARMLESS = (hairline, smudge, speck, speck)
_PARTS = 6  # different parts in the pool of a scene
_SIZES = ((160, 120), (4096, 4096))  # smallest and largest frame, width and height
_ROAM = 64  # pixels by which the noise pool is larger than a frame

_LEVELS = np.arange(256, dtype=np.float32)
_SHINE = 1.35  # how strongly a slope of 1 towards the lamp brightens
_LENS = 0.5  # px (sigma) at 640x480, the blur of a lens in focus
_KNEE = 0.75  # of full scale; above it the sensor's response bends


@dataclass(frozen=True)
class Truth:
    """A defect that is really in a frame: its label and its box x1, y1, x2, y2 in frame pixels."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Plan:
    """Everything random about one frame, drawn before a pixel is painted."""

    part: Part
    pose: NDArray[np.float64]
    light: float
    angle: float
    glint: tuple[float, float]
    shift: tuple[int, ...]
    harmless: tuple[Stamp, ...]
    defects: tuple[tuple[str, Stamp], ...]


class Scene:
    """A line of simulated parts; nothing in it changes after it is built, so threads may share it.

    Args:
        width: Frame width in pixels, 160..4096.
        height: Frame height in pixels, 120..4096.
        seed: Chooses the parts and every frame's draw.
        knobs: How the line is set up.

    Raises:
        ValueError: The frame is too small or too large.
    """

    def __init__(self, *, width: int = 640, height: int = 480, seed: int = 0, knobs: Knobs | None = None) -> None:
        Scene.check_size(width, height)
        self.width, self.height, self.seed = width, height, seed
        self.knobs = knobs if knobs is not None else Knobs()
        self._unit = min(width / 640.0, height / 480.0)
        rng = np.random.default_rng([seed, 0])
        self._parts = [make_part(width, height, rng) for _ in range(_PARTS)]
        size = (height + _ROAM, width + _ROAM)
        self._grain = rng.standard_normal(size, dtype=np.float32)
        speckle = cv2.GaussianBlur(rng.standard_normal((*size, 3), dtype=np.float32), (0, 0), 0.8)
        speckle = np.round(speckle * 3.0)
        self._brighter = np.maximum(speckle, 0).astype(np.uint8)
        self._darker = np.maximum(-speckle, 0).astype(np.uint8)

    @staticmethod
    def check_size(width: int, height: int) -> None:
        """Raises ValueError where a frame is too small or too large to show a part."""
        (low_w, low_h), (high_w, high_h) = _SIZES
        if not (low_w <= width <= high_w and low_h <= height <= high_h):
            raise ValueError(
                f"a simulated frame of {width}x{height} does not work: {low_w}x{low_h} to {high_w}x{high_h}"
            )

    def turned(self, knobs: Knobs) -> "Scene":
        """The same parts and the same draws under other knobs, sharing the pictures in store."""
        scene = object.__new__(Scene)
        scene.__dict__.update(self.__dict__)
        scene.knobs = knobs
        return scene

    def render(self, number: int) -> tuple[NDArray[np.uint8], tuple[Truth, ...]]:
        """Paints frame `number` (1, 2, ...): uint8 (height, width, 3) BGR, and what is wrong in it."""
        plan = self._plan(number)
        drift = self._drift(number)
        marks = [*plan.harmless, *(stamp for _, stamp in plan.defects)]
        radiance = self._shade(plan, marks, drift)
        radiance = self._lens_and_sensor(radiance, plan, drift)
        return self._develop(radiance, plan, marks), self._truths(plan)

    def truth(self, number: int) -> tuple[Truth, ...]:
        """What is wrong in frame `number`, without painting it."""
        return self._truths(self._plan(number))

    def _truths(self, plan: _Plan) -> tuple[Truth, ...]:
        return tuple(Truth(label, stamp.box(self.width, self.height)) for label, stamp in plan.defects)

    def _drift(self, number: int) -> float:
        knobs = self.knobs
        return knobs.drift * min(1.0, number / max(1, knobs.drift_frames))

    def _plan(self, number: int) -> _Plan:
        rng = np.random.default_rng([self.seed, 1, number])
        part = self._parts[int(rng.integers(_PARTS))]
        centre = (self.width / 2, self.height / 2)
        turn, zoom = rng.normal(0, 0.6), rng.normal(1, 0.006)
        pose = np.asarray(cv2.getRotationMatrix2D(centre, turn, zoom), np.float64)
        pose[:, 2] += rng.uniform(-7, 7, 2) * self._unit
        light = self.knobs.light * float(rng.normal(1, 0.03))
        angle = self.knobs.light_angle + float(rng.normal(0, 4))
        glint = (float(rng.normal(0, 0.05)), float(rng.uniform(0.7, 1.3)))
        shift = tuple(int(v) for v in rng.integers(0, _ROAM, 4))
        harmless = tuple(
            self._stamp(_HARMLESS[int(rng.integers(len(_HARMLESS)))], part.face, pose, rng)
            for _ in range(int(rng.poisson(0.8)))
        )
        # Drawn last, so that the rate of defects changes nothing else in the picture.
        defects: tuple[tuple[str, Stamp], ...] = ()
        if rng.random() < self.knobs.defect_rate:
            labels = rng.choice(DEFECTS, int(rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05])))
            defects = tuple((str(label), self._defect(str(label), part, pose, rng)) for label in labels)
        return _Plan(part, pose, light, angle, glint, shift, harmless, defects)

    def _defect(self, label: str, part: Part, pose: NDArray[np.float64], rng: np.random.Generator) -> Stamp:
        places = part.face
        if label == "chip":
            inwards = part.rims[:, 2:] * np.float32(5 * self._unit)
            places = part.rims[:, :2] + inwards
        return self._stamp(_MAKERS[label], places, pose, rng)

    def _stamp(
        self,
        make: Callable[[Floats, float, float, np.random.Generator], Stamp],
        places: Floats,
        pose: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Stamp:
        """A mark at one of `places` of the part; strengths run from barely visible to plain."""
        place = places[int(rng.integers(len(places)))]
        at = (pose @ np.array([place[0], place[1], 1.0])).astype(np.float32)
        strength = self.knobs.contrast * (0.38 + 0.62 * float(rng.beta(1.6, 1.6)))
        return make(at, self._unit, strength, rng)

    def _shade(self, plan: _Plan, marks: list[Stamp], drift: float) -> Floats:
        """Light that leaves the part towards the lens, float32 (h, w), about 0..1."""
        size = (self.width, self.height)
        layers = cv2.warpAffine(plan.part.layers, plan.pose, size, borderMode=cv2.BORDER_REFLECT)
        planes = [np.asarray(plane, np.uint8) for plane in cv2.split(layers)]
        angle = np.radians(plan.angle + 55 * drift)
        towards = (float(np.cos(angle)), float(np.sin(angle)))
        depth = 0.055 * self.knobs.texture * (1 + 1.2 * drift) * (0.45 + 0.55 * abs(towards[1]))
        # Layers of 8 bits become light through tables, which costs a third of the arithmetic.
        reflectance = _through(planes[0], _LEVELS / 255)
        slope = _through(planes[1], 1 - _SHINE * towards[0] * SLOPE_SPAN / 127 * (_LEVELS - 128))
        slope += _through(planes[2], -_SHINE * towards[1] * SLOPE_SPAN / 127 * (_LEVELS - 128))
        slope += _through(planes[3], depth * GRAIN_SPAN / 127 * (_LEVELS - 128))
        for mark in marks:
            inside, part = self._overlap(mark)
            reflectance[inside] *= np.maximum(mark.gain[part], 0)
            away = towards[0] * mark.slope_x[part] + towards[1] * mark.slope_y[part]
            slope[inside] -= np.float32(_SHINE) * away
        np.clip(slope, 0.12, 2.0, out=slope)
        level = plan.light * (1 - 0.35 * drift)
        shaded = cv2.multiply(reflectance, slope)
        return np.asarray(cv2.multiply(shaded, self._field(towards, plan.glint, level)), np.float32)

    def _overlap(self, mark: Stamp) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a mark lies in the frame, and which part of the mark that is."""
        rows, columns = mark.gain.shape
        top, left = max(0, mark.y), max(0, mark.x)
        bottom, right = min(self.height, mark.y + rows), min(self.width, mark.x + columns)
        inside = (slice(top, max(top, bottom)), slice(left, max(left, right)))
        part = (
            slice(top - mark.y, max(top, bottom) - mark.y),
            slice(left - mark.x, max(left, right) - mark.x),
        )
        return inside, part

    def _field(self, towards: tuple[float, float], glint: tuple[float, float], level: float) -> Floats:
        """The lamp on the part: a gradient, the brushed metal's bright band, the lens's vignette."""
        y, x = np.mgrid[-1:1:24j, -1:1:32j].astype(np.float32)
        gradient = 0.92 + 0.22 * (x * towards[0] + y * towards[1])
        centre = 0.45 * towards[0] + glint[0]
        band = 0.30 * glint[1] * np.exp(-(((x + 0.12 * y - centre) / 0.42) ** 2))
        field = level * (gradient + band) * (1 - 0.10 * (x * x + y * y))
        full = cv2.resize(field.astype(np.float32), (self.width, self.height))
        return np.asarray(full, np.float32)

    def _lens_and_sensor(self, radiance: Floats, plan: _Plan, drift: float) -> Floats:
        """Blur, haze and noise, float32 (h, w)."""
        sigma = (_LENS + self.knobs.blur + 1.1 * drift) * self._unit
        radiance = np.asarray(cv2.GaussianBlur(radiance, (0, 0), sigma), np.float32)
        if drift > 0:
            radiance = radiance * np.float32(1 - 0.25 * drift) + np.float32(0.07 * drift)
        amount = 0.021 * self.knobs.noise * (1 + drift)
        x, y = plan.shift[:2]
        grain = self._grain[y : y + self.height, x : x + self.width]
        shot = cv2.sqrt(radiance + np.float32(0.02))
        return np.asarray(cv2.multiply(shot, grain, dst=shot, scale=amount) + radiance, np.float32)

    def _develop(self, radiance: Floats, plan: _Plan, marks: list[Stamp]) -> NDArray[np.uint8]:
        """The camera's response curve and colour, uint8 (h, w, 3) BGR."""
        gray = cv2.convertScaleAbs(np.maximum(radiance, 0), alpha=255.0)
        image = np.asarray(cv2.merge([cv2.LUT(gray, curve) for curve in _RESPONSE]), np.uint8)
        for mark in marks:
            if mark.tint != (1.0, 1.0, 1.0):
                inside, part = self._overlap(mark)
                cover = mark.cover[part][..., None]
                tinted = image[inside] * (1 + cover * (np.array(mark.tint, np.float32) - 1))
                image[inside] = np.clip(tinted, 0, 255).astype(np.uint8)
        x, y = plan.shift[2:]
        window = (slice(y, y + self.height), slice(x, x + self.width))
        image = np.asarray(cv2.add(image, self._brighter[window]), np.uint8)
        return np.asarray(cv2.subtract(image, self._darker[window]), np.uint8)


def _through(plane: NDArray[np.uint8], table: NDArray[np.floating]) -> Floats:
    """An 8-bit plane with each value replaced by the table's, float32."""
    return np.asarray(cv2.LUT(plane, np.asarray(table, np.float32)), np.float32)


def _response_tables() -> NDArray[np.uint8]:
    """The sensor's curve per colour, cool in the shadows and warm in the lights; (3, 256) BGR."""
    light = np.linspace(0, 1, 256)
    curve = light**0.8
    curve = np.where(curve > _KNEE, _KNEE + (1 - _KNEE) * np.tanh((curve - _KNEE) / (1 - _KNEE)), curve)
    blue, green, red = curve * (1.02 - 0.05 * light), curve, curve * (0.97 + 0.045 * light)
    table = np.stack([blue * 255 + 5, green * 255 + 4, red * 255 + 3])
    return np.clip(np.round(table), 0, 255).astype(np.uint8)


_RESPONSE = _response_tables()
