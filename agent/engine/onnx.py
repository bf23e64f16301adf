"""ONNX Runtime on the CPU behind the ``Model`` protocol."""

import os
from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from agent.engine.model import Shape, Tensor
from agent.errors import InferenceError, PackError

FATAL_ONLY = 4


def cpu_threads(wanted: int) -> int:
    """How many threads one model gets: as asked, or all cores less one, which capture needs."""
    return wanted or max(1, len(os.sched_getaffinity(0)) - 1)


class OnnxModel:
    """One ONNX file in a session of its own.

    Args:
        path: The file.
        threads: Of this session; at least 1.
        spinning: Whether idle threads spin.

    Raises:
        PackError: The file is no ONNX model that this runtime can load.
    """

    runtime = "onnx-cpu"

    def __init__(self, path: Path, *, threads: int, spinning: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL_ONLY  # what goes wrong is raised, and told once
        for scope in ("intra_op", "inter_op"):
            options.add_session_config_entry(f"session.{scope}.allow_spinning", "1" if spinning else "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - the runtime's errors have no common class of their own
            raise PackError(f"{path}: ONNX Runtime cannot load it: {_first_line(error)}") from None
        self._path = path
        self.inputs = {one.name: _shape(one.shape) for one in self._session.get_inputs()}
        self.outputs = {one.name: _shape(one.shape) for one in self._session.get_outputs()}
        self._names = list(self.outputs)

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All outputs by name.

        Raises:
            InferenceError: The runtime refused or failed.
        """
        try:
            values = self._session.run(self._names, dict(inputs))
        except Exception as error:  # noqa: BLE001 - as above
            raise InferenceError(f"{self._path.name}: the model failed: {_first_line(error)}") from None
        return dict(zip(self._names, values, strict=True))


def _shape(sizes: list[object]) -> Shape:
    return tuple(size if isinstance(size, int) else None for size in sizes)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
