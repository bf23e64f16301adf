"""What the demo pack's networks are trained to do."""

from collections.abc import Callable

import numpy as np
import torch
from demo_pack.networks import Screening, Verification
from demo_pack.sample import Cut
from numpy.typing import NDArray
from torch.nn import functional

from agent.camera.scene import DEFECTS

STRIDES = (32, 16)
OWN = ((3, 4, 5), (0, 1, 2))
"""Which of the six anchors, small first, each head answers for."""
NEAR = 0.5
Loss = Callable[[torch.Tensor, list[Cut]], torch.Tensor]


def screening_loss(network: Screening, *, whole: float) -> Loss:
    """Cross entropy of the cells (1: a defect's box covers it) and, weighed by `whole`, of the picture."""

    def loss(batch: torch.Tensor, cuts: list[Cut]) -> torch.Tensor:
        cells = network.cells(batch)
        covered = torch.zeros_like(cells)
        for n, cut in enumerate(cuts):
            for x1, y1, x2, y2 in (cut.boxes / 16).tolist():
                covered[n, int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = 1.0
        bad = torch.tensor([float(len(cut.labels) > 0) for cut in cuts])
        picture = network.whole(cells)[:, 0]
        # Missing a defect costs more than a needless verification: a cleared frame is never looked at again.
        entropy = functional.binary_cross_entropy_with_logits
        local = entropy(cells, covered, pos_weight=torch.tensor(4.0 * (1 - whole) + whole))
        return 8.0 * local + whole * entropy(picture, bad, pos_weight=torch.tensor(2.0))

    return loss


class YoloLoss:
    """YOLO v3's loss with generalised IoU for the boxes.

    Every truth belongs to its best anchor and to each other anchor that fits it with a shape IoU
    over `NEAR`; predictions that overlap a truth by more than `NEAR` are not punished as background.
    """

    def __init__(self, network: Verification, anchors: NDArray[np.float64]) -> None:
        self.network = network
        self.anchors = torch.tensor(anchors, dtype=torch.float32)

    def __call__(self, batch: torch.Tensor, cuts: list[Cut]) -> torch.Tensor:
        """The mean loss per picture."""
        heads = zip(self.network(batch), STRIDES, OWN, strict=True)
        losses = [self._head(head, stride, own, cuts) for head, stride, own in heads]
        return torch.stack(losses).sum() / len(cuts)

    def _head(self, head: torch.Tensor, stride: int, own: tuple[int, ...], cuts: list[Cut]) -> torch.Tensor:
        raw, predicted = self._decode(head, stride, own)
        present = torch.zeros(raw.shape[:-1])
        ignored = torch.zeros(raw.shape[:-1], dtype=torch.bool)
        places, wanted, labels = [], [], []
        for n, cut in enumerate(cuts):
            if cut.labels:
                near = overlap(predicted[n].detach()[..., None, :], cut.boxes) > NEAR
                ignored[n] = near.any(-1)
            for box, label in zip(cut.boxes, cut.labels, strict=True):
                column, row = (int(v) for v in (box[:2] + box[2:]) / 2 / stride)
                for k in self._anchors_for(box, own):
                    places.append((n, k, row, column))
                    wanted.append(box)
                    labels.append(label)
        for place in places:
            present[place] = 1.0
        entropy = functional.binary_cross_entropy_with_logits
        loss = entropy(raw[..., 4], present, reduction="none")
        total = loss[(present == 0) & ~ignored].sum() + 2.0 * loss[present > 0].sum()
        if places:
            at = tuple(torch.tensor(index) for index in zip(*places, strict=True))
            misfit = 1 - overlap(predicted[at], torch.stack(wanted), general=True)
            classes = functional.one_hot(torch.tensor(labels), len(DEFECTS)).float()
            wrong = entropy(raw[at][:, 5:], classes, reduction="sum")
            total = total + 3.0 * misfit.sum() + wrong
        return total

    def _decode(self, head: torch.Tensor, stride: int, own: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw values (n, 3, rows, columns, 5 + classes) and boxes (n, 3, rows, columns, 4)."""
        frames, _, rows, columns = head.shape
        raw = head.view(frames, 3, 5 + len(DEFECTS), rows, columns).permute(0, 1, 3, 4, 2)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centre = (raw[..., :2].sigmoid() + torch.stack([x, y], -1)) * stride
        half = raw[..., 2:4].clamp(max=6).exp() * self.anchors[list(own)].view(1, 3, 1, 1, 2) / 2
        return raw, torch.cat([centre - half, centre + half], dim=-1)

    def _anchors_for(self, box: torch.Tensor, own: tuple[int, ...]) -> list[int]:
        """Which of a head's three anchors answer for a box."""
        sides = box[2:] - box[:2]
        common = torch.minimum(sides, self.anchors).prod(1)
        fit_ = common / (sides.prod() + self.anchors.prod(1) - common)
        best = int(fit_.argmax())
        return [k for k, anchor in enumerate(own) if anchor == best or fit_[anchor] > NEAR]


def overlap(a: torch.Tensor, b: torch.Tensor, *, general: bool = False) -> torch.Tensor:
    """IoU of boxes (..., 4) x1, y1, x2, y2; with `general`, minus the hull's empty share (GIoU)."""
    common = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    inner = common.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    iou = inner / union.clamp(min=1e-6)
    if not general:
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    return iou - 1 + union / hull.prod(-1).clamp(min=1e-6)
