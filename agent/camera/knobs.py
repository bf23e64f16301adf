"""What can be turned on the simulated line."""

from dataclasses import dataclass, fields

_RANGES: dict[str, tuple[float, float]] = {
    "light": (0.0, 4.0),
    "light_angle": (-180.0, 180.0),
    "noise": (0.0, 10.0),
    "blur": (0.0, 10.0),
    "texture": (0.0, 3.0),
    "contrast": (0.0, 3.0),
    "drift": (0.0, 1.0),
    "drift_frames": (0.0, 1e9),
    "defect_rate": (0.0, 1.0),
}


@dataclass(frozen=True)
class Knobs:
    """What can be turned on the simulated line; outside its range a knob raises ValueError.

    Attributes:
        light: Brightness of the lamp, 0..4, 1 as set up.
        light_angle: Direction the lamp shines from, -180..180 degrees, 0 from the right, 90 from
            below.
        noise: Sensor noise, 0..10, 1 as set up.
        blur: Defocus in px (sigma) at 640x480, 0..10, on top of the lens's own 0.5.
        texture: Depth of the brushed grain, 0..3, 1 as set up.
        contrast: Strength of defects, 0..3, 1 as set up.
        drift: How far the line has moved from its set-up, 0..1: the lamp fades and turns, the lens
            hazes and defocuses, the sensor's gain (noise) and the brushing grow.
        drift_frames: Frames over which `drift` is reached, growing evenly from 0; 0: at once.
        defect_rate: Share of frames with at least one defect, 0..1.
    """

    light: float = 1.0
    light_angle: float = 35.0
    noise: float = 1.0
    blur: float = 0.0
    texture: float = 1.0
    contrast: float = 1.0
    drift: float = 0.0
    drift_frames: int = 0
    defect_rate: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), _RANGES[field.name]
            if not low <= value <= high:
                raise ValueError(f"{field.name} is {value}, allowed is {low:g} to {high:g}")
