"""Stage 1: from a classifier's output to a defect probability, and whether it is suspicious."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ACTIVATIONS = ("none", "softmax", "sigmoid")


@dataclass(frozen=True, slots=True)
class Screening:
    """The first stage's word on a frame.

    Attributes:
        score: Defect probability, 0 to 1, rounded to 6 decimals.
        threshold: At or above it the frame is suspicious.
    """

    score: float
    threshold: float

    @property
    def suspicious(self) -> bool:
        """Whether verification has to look."""
        return self.score >= self.threshold

    def to_json(self) -> dict[str, float | bool]:
        """The record's ``screening``."""
        return {"score": self.score, "threshold": self.threshold, "suspicious": self.suspicious}


def activate(raw: npt.NDArray[Any], activation: str) -> npt.NDArray[np.float64]:
    """Apply ``none``, ``softmax`` (over the last axis) or ``sigmoid``; float64, numerically stable."""
    values = raw.astype(np.float64)
    if activation == "softmax":
        shifted = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float64)
    if activation == "sigmoid":
        return sigmoid(values)
    return values


def sigmoid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logistic function, written with tanh so that it cannot overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), np.float64)


def class_probabilities(raw: npt.NDArray[np.float32], *, activation: str, classes: int) -> npt.NDArray[np.float64]:
    """Probabilities of one image, shape (classes,), from an output of any shape with that many values.

    Raises:
        ValueError: The output has another number of values.
    """
    flat = raw.reshape(-1)
    if flat.size != classes:
        raise ValueError(f"expected {classes} values, got {flat.size}")
    return activate(flat, activation)


def score_of(value: float) -> float:
    """A score as the record stores it: a Python float within 0 to 1, rounded to 6 decimals.

    NaN and infinities stay what they are, so that whoever asks can refuse them.
    """
    if not math.isfinite(value):
        return float(value)
    return min(1.0, max(0.0, round(float(value), 6)))
