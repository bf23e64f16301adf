"""Simulated frames to train on, whole or as windows."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from agent.camera.scene import DEFECTS, Knobs, Scene

SCREEN_WH = (320, 240)
VERIFY_WH = (320, 256)
EASY = 0.3
"""Share of the frames whose defects have more contrast than on the line."""
AROUND = 0.75
"""Share of the windows of a defective frame that are laid around a defect."""
SHOWN = 0.4
"""A defect that a window cuts counts where more than this share of its box is left."""
PARTS = 200
"""Frames after which other parts come."""
TRAINED = {
    "light": (0.85, 1.15),
    "light_angle": (5.0, 65.0),
    "noise": (0.7, 1.3),
    "blur": (0.0, 0.5),
    "texture": (0.8, 1.2),
}
"""Knobs are drawn evenly from these ranges."""


@dataclass(frozen=True)
class Sample:
    """Training frames at one size.

    Attributes:
        images: uint8 (n, 3, h, w) RGB.
        boxes: Per frame float32 (k, 4) x1, y1, x2, y2 in pixels of `images`.
        labels: Per frame k positions in `DEFECTS`.
    """

    images: torch.Tensor
    boxes: list[torch.Tensor]
    labels: list[list[int]]

    def hard(self) -> "Sample":
        """The frames whose defects have the line's own contrast."""
        start = int(np.ceil(EASY * len(self.images)))
        return Sample(self.images[start:], self.boxes[start:], self.labels[start:])

    def cut(self, n: int, size: tuple[int, int], rng: np.random.Generator) -> "Cut":
        """A window of (w, h) of frame `n`, three times in four around one of its defects."""
        width, height = size
        boxes, labels = self.boxes[n], self.labels[n]
        room = np.array([self.images.shape[3] - width, self.images.shape[2] - height])
        low, high = np.zeros(2), room.astype(float)
        if len(labels) and rng.random() < AROUND:
            box = boxes[int(rng.integers(len(labels)))].numpy()
            low = np.clip(box[2:] - size, 0, room)
            high = np.clip(box[:2], low, room)
        x, y = (int(v) for v in np.round(rng.uniform(low, high)))
        window = torch.tensor([x, y, x + width, y + height], dtype=torch.float32)
        seen = torch.cat([torch.maximum(boxes[:, :2], window[:2]), torch.minimum(boxes[:, 2:], window[2:])], 1)
        area = (seen[:, 2:] - seen[:, :2]).clamp(0).prod(1)
        kept = area > SHOWN * (boxes[:, 2:] - boxes[:, :2]).prod(1)
        image = self.images[n, :, y : y + height, x : x + width]
        own = [label for label, keep in zip(labels, kept.tolist(), strict=True) if keep]
        return Cut(image, seen[kept] - window[:2].repeat(2), own)


@dataclass(frozen=True)
class Cut:
    """One training picture: uint8 (3, h, w), float32 (k, 4) boxes in its pixels, k labels."""

    image: torch.Tensor
    boxes: torch.Tensor
    labels: list[int]


def make_samples(frames: int, seed: int, *, defect_rate: float = 0.6) -> tuple[Sample, Sample]:
    """Frames of many parts under many lights, the same ones for screening and for verification."""
    rng = np.random.default_rng(seed)
    sizes = (SCREEN_WH, VERIFY_WH)
    pictures = [np.empty((frames, 3, h, w), np.uint8) for w, h in sizes]
    boxes: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    labels = []
    scene = Scene(seed=seed)
    for n in range(frames):
        if n % PARTS == PARTS - 1:
            scene = Scene(seed=seed + n)
        knobs: dict[str, Any] = {name: float(rng.uniform(*span)) for name, span in TRAINED.items()}
        contrast = float(rng.uniform(1.0, 2.2)) if n < EASY * frames else 1.0
        image, truths = scene.turned(Knobs(**knobs, contrast=contrast, defect_rate=defect_rate)).render(n)
        corners = torch.tensor([truth.box for truth in truths]).reshape(-1, 4)
        for k, (w, h) in enumerate(sizes):
            small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
            pictures[k][n] = small[..., ::-1].transpose(2, 0, 1)  # RGB, channels first
            boxes[k].append(corners * torch.tensor([w / 640, h / 480] * 2))
        labels.append([DEFECTS.index(truth.label) for truth in truths])
    screen, verify = (Sample(torch.from_numpy(pictures[k]), boxes[k], labels) for k in range(2))
    return screen, verify


def find_anchors(sample: Sample) -> NDArray[np.float64]:
    """Six (w, h) in network pixels, by k-means on the logarithms; ordered by area, small first."""
    boxes = np.asarray(torch.cat(sample.boxes).numpy(), float)
    sides = np.log(boxes[:, 2:] - boxes[:, :2])
    rng = np.random.default_rng(0)
    centres = sides[rng.choice(len(sides), 6, replace=False)]
    for _ in range(50):
        nearest = np.argmin(np.linalg.norm(sides[:, None] - centres, axis=2), axis=1)
        centres = np.array([sides[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(6)])
    anchors = np.exp(centres)
    ordered: NDArray[np.float64] = np.round(anchors[np.argsort(anchors.prod(axis=1))], 1)
    return ordered
