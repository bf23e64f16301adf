from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.engine.model import Model
from agent.engine.onnx import OnnxModel
from agent.errors import InferenceError, PackError
from tiny_models import brightness_model, yolo_model


def _onnx_cpu(path: Path) -> Model:
    return OnnxModel(path, threads=1, spinning=False)


IMPLEMENTATIONS: Mapping[str, Callable[[Path], Model]] = {"onnx-cpu": _onnx_cpu}
"""Whatever can load an ONNX file; another backend joins here."""


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def implementation(request) -> str:
    """The name of one implementation."""
    return str(request.param)


@pytest.fixture
def load(implementation) -> Callable[[Path], Any]:
    """What loads a file with that implementation."""
    return IMPLEMENTATIONS[implementation]


def test_a_model_says_what_runs_it(load, implementation, tmp_path):
    """Records name the runtime."""
    assert load(brightness_model(tmp_path / "m.onnx")).runtime == implementation


def test_a_model_says_what_it_takes_and_gives(load, tmp_path):
    """Inputs and outputs are known by name with their shapes."""
    model = load(yolo_model(tmp_path / "m.onnx"))
    assert dict(model.inputs) == {"image": (1, 3, 64, 64)}
    assert dict(model.outputs) == {"head_32": (1, 21, 2, 2), "head_16": (1, 21, 4, 4)}


def test_a_model_computes(load, tmp_path):
    """All outputs come by name, float32, with the values that the network has."""
    model = load(brightness_model(tmp_path / "m.onnx"))
    image = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    answer = model.run({"image": image})
    assert list(answer) == ["probabilities"]
    assert answer["probabilities"].dtype == np.float32
    assert answer["probabilities"] == pytest.approx(np.array([[1 - image.mean(), image.mean()]]), abs=1e-5)


def test_answers_may_be_kept(load, tmp_path):
    """A later run changes no earlier answer, and none changes the input."""
    model = load(brightness_model(tmp_path / "m.onnx"))
    image = np.full((1, 3, 32, 32), 0.25, np.float32)
    first = model.run({"image": image})
    image[:] = 0.5
    model.run({"image": image})
    assert first["probabilities"].tolist() == [[0.75, 0.25]]
    assert float(image.min()) == float(image.max()) == 0.5


def test_the_same_input_gives_the_same_answer(load, tmp_path):
    """A model has no memory."""
    model = load(yolo_model(tmp_path / "m.onnx"))
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    one, other = model.run({"image": image}), model.run({"image": image.copy()})
    for name in model.outputs:
        np.testing.assert_array_equal(one[name], other[name])


def test_two_models_do_not_know_each_other(load, tmp_path):
    """Models of the same file and of others run side by side."""
    models = [load(yolo_model(tmp_path / f"{seed}.onnx", seed=seed)) for seed in (1, 2, 1)]
    image = np.ones((1, 3, 64, 64), np.float32)
    first, second, third = (model.run({"image": image})["head_32"] for model in models)
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"picture": np.zeros((1, 3, 32, 32), np.float32)},
        {"image": np.zeros((1, 3, 16, 16), np.float32)},
        {"image": np.zeros((1, 3, 32, 32), np.float64)},
        {"image": np.zeros((1, 3, 32, 32), np.float32), "more": np.zeros(1, np.float32)},
    ],
    ids=["nothing", "another-name", "another-size", "another-type", "too-much"],
)
def test_a_wrong_call_is_an_inference_error_and_not_the_end(load, tmp_path, inputs):
    """What the runtime refuses is told in one line, and the model goes on."""
    model = load(brightness_model(tmp_path / "m.onnx"))
    with pytest.raises(InferenceError, match=r"^[^\n]+$"):
        model.run(inputs)
    assert model.run({"image": np.zeros((1, 3, 32, 32), np.float32)})["probabilities"].tolist() == [[1, 0]]


@pytest.mark.parametrize("damage", ["empty", "random", "truncated", "missing", "folder", "text"])
def test_a_file_that_is_no_model_is_a_pack_error(load, tmp_path, damage):
    """A damaged file is told in one line that begins with its path."""
    path = brightness_model(tmp_path / "m.onnx")
    body = path.read_bytes()
    bodies = {
        "empty": b"",
        "random": np.random.default_rng(0).bytes(4096),
        "truncated": body[: len(body) // 2],
        "text": b"version https://git-lfs.github.com/spec/v1\n",
    }
    path.unlink()
    if damage in bodies:
        path.write_bytes(bodies[damage])
    if damage == "folder":
        path.mkdir()
    with pytest.raises(PackError, match=r"m\.onnx: [^\n]+$") as told:
        load(path)
    assert str(told.value).startswith(str(path))
