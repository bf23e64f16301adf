"""What a family of detectors is to verification."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agent.engine.manifest import VerificationTable
from agent.engine.model import Tensor
from agent.errors import PackError
from agent.inspection.detections import Detections

_NUMBERS = "fiu"

Decode = Callable[[Mapping[str, Tensor]], Detections]
"""From all outputs to detections in network pixels, at or above the floor and already suppressed."""


@dataclass(frozen=True, slots=True)
class Family:
    """One family.

    Attributes:
        prepare: Checks the manifest against the outputs of one real run and gives the decoder.
    """

    prepare: Callable[[VerificationTable, Mapping[str, Tensor]], Decode]


def output_of(outputs: Mapping[str, Tensor], name: str, *, key: str) -> Tensor:
    """The output that the manifest names.

    Raises:
        PackError: The model has no such output (the message lists those it has), or it is no tensor of numbers.
    """
    if name not in outputs:
        raise PackError(f"{key}: the model has no output '{name}'; it has {', '.join(sorted(outputs))}")
    output: object = outputs[name]  # ONNX has sequences and maps too
    if not isinstance(output, np.ndarray) or output.dtype.kind not in _NUMBERS:
        raise PackError(f"{key}: '{name}' is not a tensor of numbers")
    return output
