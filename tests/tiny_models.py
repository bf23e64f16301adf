"""Small real ONNX models and packs around them, made where a test needs them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

HEADS: tuple[dict[str, Any], ...] = (
    {"output": "head_32", "stride": 32, "anchors": [[20.0, 30.0], [40.0, 20.0], [50.0, 50.0]]},
    {"output": "head_16", "stride": 16, "anchors": [[10.0, 12.0], [16.0, 10.0], [24.0, 24.0]]},
)
LABELS = ("open", "short")


def save(path: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Any = ()) -> Path:
    """Write a checked model in an IR version and opset that old runtimes read too."""
    made = [numpy_helper.from_array(value, name) for name, value in dict(constants).items()]
    graph = helper.make_graph(list(nodes), "tiny", list(inputs), list(outputs), made)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def tensor(name: str, shape: Sequence[int | str]) -> Any:
    """A float32 input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def brightness_model(
    path: Path, *, size: int = 32, channels: int = 3, layout: str = "NCHW", factor: float = 1.0
) -> Path:
    """A classifier whose defect probability is the mean of its input: a dark picture is clear, a bright one not.

    Output ``probabilities`` (1, 2), clear first. With a ``factor`` of NaN it answers NaN.
    """
    shape = (1, channels, size, size) if layout == "NCHW" else (1, size, size, channels)
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "row"], ["defect"]),
        helper.make_node("Sub", ["one", "defect"], ["clear"]),
        helper.make_node("Concat", ["clear", "defect"], ["probabilities"], axis=1),
    ]
    constants = {
        "row": np.array([1, 1], np.int64),
        "one": np.ones((1, 1), np.float32),
        "factor": np.array(factor, np.float32),
    }
    return save(path, nodes, [tensor("image", shape)], [tensor("probabilities", (1, 2))], constants)


def fails_when_white(path: Path, *, size: int = 32) -> Path:
    """A classifier that the runtime cannot run on a white picture: it looks up a row that is not there.

    Output ``logits`` (1, 2), both 0.1 to 0.3 otherwise.
    """
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "three"], ["place"]),
        helper.make_node("Cast", ["place"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["rows", "row"], ["logits"], axis=0),
    ]
    rows = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]], np.float32)
    constants = {"three": np.array(3.001, np.float32), "rows": rows}
    return save(path, nodes, [tensor("image", (1, 3, size, size))], [tensor("logits", (1, 2))], constants)


def yolo_model(
    path: Path, *, size: int = 64, labels: int = 2, seed: int = 0, raw: Mapping[str, npt.NDArray[Any]] | None = None
) -> Path:
    """A network with two raw YOLO heads, each a convolution with random weights, or always the values ``raw``."""
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    constants: dict[str, npt.NDArray[Any]] = {}
    outputs = []
    for head in HEADS:
        name, stride = head["output"], head["stride"]
        channels, cells = 3 * (5 + labels), size // stride
        outputs.append(tensor(name, (1, channels, cells, cells)))
        constants[f"w_{name}"] = np.zeros((channels, 3, stride, stride), np.float32)
        if raw is None:
            constants[f"w_{name}"] = rng.normal(0, 2 / stride, (channels, 3, stride, stride)).astype(np.float32)
        nodes.append(helper.make_node("Conv", ["image", f"w_{name}"], [f"c_{name}"], strides=[stride, stride]))
        constants[f"b_{name}"] = np.zeros((1,), np.float32) if raw is None else raw[name].astype(np.float32)
        nodes.append(helper.make_node("Add", [f"c_{name}", f"b_{name}"], [name]))
    return save(path, nodes, [tensor("image", (1, 3, size, size))], outputs, constants)


def quiet_heads(*, size: int = 64, labels: int = 2) -> dict[str, npt.NDArray[np.float32]]:
    """Raw heads that find nothing: every objectness is far below any floor."""
    heads = {}
    for head in HEADS:
        cells = size // head["stride"]
        heads[head["output"]] = np.full((1, 3 * (5 + labels), cells, cells), -20, np.float32)
    return heads


def one_box(score: float, *, label: int = 1, cell: int = 1) -> dict[str, npt.NDArray[np.float32]]:
    """Raw heads whose only box sits in the middle of one coarse cell and has this score; 32 network pixels a cell."""
    heads = quiet_heads()
    row = heads["head_32"][0]
    row[0:4, cell, cell] = 0  # the cell's middle, the first anchor's size
    row[4, cell, cell] = 20  # objectness 1 within 1e-8
    row[5 + label, cell, cell] = np.log(score / (1 - score))
    return heads


def input_table(size: int, **facts: Any) -> dict[str, Any]:
    """An ``input`` table for a square RGB picture."""
    channels = 1 if facts.get("channels") == "GRAY" else 3
    known = {
        "name": "image",
        "width": size,
        "height": size,
        "layout": "NCHW",
        "channels": "RGB",
        "scale": 1 / 255,
        "mean": [0.0] * channels,
        "std": [1.0] * channels,
        "resize": "stretch",
        "interpolation": "area",
    }
    return {**known, **facts}


def manifest(**stages: Any) -> dict[str, Any]:
    """A two-stage manifest: ``brightness_model`` before ``yolo_model``. A stage given as None is left out."""
    known: dict[str, Any] = {
        "pack": {
            "project": "tiny",
            "defect_type": "trace",
            "version": "1.0",
            "created": "2026-11-22T09:00:00Z",
            "change": "Made for a test",
        },
        "screening": {
            "family": "classifier",
            "file": "screen.onnx",
            "labels": ["clear", "defect"],
            "defect_labels": ["defect"],
            "output": "probabilities",
            "input": input_table(32),
        },
        "verification": {
            "family": "tiny-yolo-v3",
            "file": "verify.onnx",
            "labels": list(LABELS),
            "input": input_table(64),
            "yolo": {"heads": [dict(head) for head in HEADS]},
        },
    }
    return {key: value for key, value in {**known, **stages}.items() if value is not None}


def write_manifest(folder: Path, tables: Mapping[str, Any]) -> Path:
    """Write ``pack.toml``."""
    path = folder / "pack.toml"
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in tables.items()), encoding="utf-8")
    return path


def a_pack(folder: Path, *, raw: Mapping[str, npt.NDArray[Any]] | None = None, **stages: Any) -> Path:
    """A pack that runs: screening by brightness, then two YOLO heads."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = manifest(**stages)
    write_manifest(folder, tables)
    if "screening" in tables:
        size = tables["screening"]["input"]["width"]
        layout, gray = (tables["screening"]["input"][key] for key in ("layout", "channels"))
        brightness_model(folder / "screen.onnx", size=size, channels=1 if gray == "GRAY" else 3, layout=layout)
    if tables["verification"]["family"] != "classifier":
        yolo_model(folder / "verify.onnx", raw=raw)
    return folder


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, str) and value.endswith("Z") and value[:4].isdigit():
        return value
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return "nan"
    return json.dumps(value)
