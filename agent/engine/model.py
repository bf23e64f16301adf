"""What a model is to the rest of the agent, whatever runs it."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

Tensor = npt.NDArray[Any]
Shape = tuple[int | None, ...]
"""Sizes of each axis; None where the model leaves it open."""


class Model(Protocol):
    """One network that is loaded and can be run. Used by one thread at a time."""

    @property
    def runtime(self) -> str:
        """What runs it, as records name it: ``onnx-cpu``."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """Shape by input name."""

    @property
    def outputs(self) -> Mapping[str, Shape]:
        """Shape by output name."""

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All outputs by name. The caller may keep them.

        Raises:
            InferenceError: The runtime refused or failed.
        """
