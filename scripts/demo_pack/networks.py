# mypy: allow-subclassing-any
"""The demo pack's two networks."""

import torch
from torch import nn
from torch.nn import functional

from agent.camera.scene import DEFECTS


def unit(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, leaky ReLU: Darknet's building block."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1, inplace=True))


class Evened(nn.Module):
    """Each pixel against the mean of its surroundings, -1..1: what the lamp does evenly goes, what the part does stays.

    Without it the bright and dark edges of the part drown its defects, and learning takes several times as long.
    """

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Values 0..1, sides in multiples of 8, to values -1..1 of the same shape."""
        around = functional.avg_pool2d(functional.avg_pool2d(image, 8), 3, 1, 1, count_include_pad=False)
        around = functional.interpolate(around, scale_factor=8, mode="bilinear", align_corners=False)
        return torch.tanh(4.0 * (image / (around + 0.05) - 1.0))


def trunk() -> nn.Sequential:
    """What both stages begin with: 64 channels at stride 16. Most of it works at stride 2, where defects show."""
    return nn.Sequential(
        Evened(),
        unit(3, 16, 5, 2),
        unit(16, 16),
        unit(16, 32, 3, 2),
        unit(32, 48, 3, 2),
        unit(48, 64, 3, 2),
        unit(64, 64),
    )


class Screening(nn.Module):
    """A fully convolutional classifier: a defect logit per 16x16 cell, and their soft maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.body = trunk()
        self.cell = nn.Conv2d(64, 1, 1)
        nn.init.constant_(self.cell.bias, -3.0)

    def cells(self, image: torch.Tensor) -> torch.Tensor:
        """Defect logits, (n, 15, 20) for images of 320x240."""
        logits: torch.Tensor = self.cell(self.body(image))[:, 0]
        return logits

    def whole(self, cells: torch.Tensor) -> torch.Tensor:
        """The picture's defect logit, (n, 1): log-sum-exp at three times the slope, which is nearer to the maximum."""
        flat = cells.flatten(1)
        top = flat.amax(dim=1, keepdim=True)
        return top + ((flat - top) * 3.0).exp().sum(dim=1, keepdim=True).log() / 3.0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, 2): clear, defect."""
        logit = self.whole(self.cells(image))
        return functional.softmax(torch.cat([torch.zeros_like(logit), logit], dim=1), dim=1)


class Verification(nn.Module):
    """Tiny YOLO v3 at half width: two raw heads, strides 32 and 16, three anchors each."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3 * (5 + len(DEFECTS))
        self.body = trunk()
        self.wide = unit(64, 128)
        self.deep = nn.Sequential(nn.MaxPool2d(2, 2), unit(128, 256), unit(256, 96, 1))
        self.head_32 = nn.Sequential(unit(96, 160), nn.Conv2d(160, channels, 1))
        self.up = nn.Sequential(unit(96, 64, 1), nn.Upsample(scale_factor=2, mode="nearest"))
        self.head_16 = nn.Sequential(unit(192, 96), nn.Conv2d(96, channels, 1))
        for head in (self.head_32, self.head_16):
            bias = head[-1].bias.detach().view(3, -1)
            bias.zero_()
            bias[:, 4] = -5.0

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw heads (n, 27, 8, 10) and (n, 27, 16, 20) for images of 320x256."""
        middle = self.wide(self.body(image))
        deep = self.deep(middle)
        return self.head_32(deep), self.head_16(torch.cat([self.up(deep), middle], dim=1))
