import os

import numpy as np
import pytest
from onnx import helper

from agent.engine.onnx import OnnxModel, cpu_threads
from tiny_models import brightness_model, save, tensor


def test_an_axis_that_the_model_leaves_open_is_none(tmp_path):
    """Shapes carry None where a size is a name."""
    nodes = [helper.make_node("Identity", ["image"], ["same"])]
    shape = ("batch", 3, "height", 8)
    path = save(tmp_path / "m.onnx", nodes, [tensor("image", shape)], [tensor("same", shape)])
    model = OnnxModel(path, threads=1, spinning=False)
    assert model.inputs == {"image": (None, 3, None, 8)}
    assert model.outputs == {"same": (None, 3, None, 8)}


@pytest.mark.parametrize("spinning", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_spinning_change_no_answer(tmp_path, threads, spinning):
    """How a model runs is a matter of speed only."""
    model = OnnxModel(brightness_model(tmp_path / "m.onnx"), threads=threads, spinning=spinning)
    answer = model.run({"image": np.full((1, 3, 32, 32), 0.5, np.float32)})
    assert answer["probabilities"].tolist() == [[0.5, 0.5]]


def test_threads_are_as_asked_or_what_capture_leaves():
    """Zero means the cores that this process may use less one, never none."""
    assert cpu_threads(3) == 3
    assert cpu_threads(0) == max(1, len(os.sched_getaffinity(0)) - 1)


def test_a_damaged_model_prints_nothing(tmp_path, capfd):
    """What is wrong is raised, told once, and not printed by the runtime as well."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"m\.onnx"):
        OnnxModel(path, threads=1, spinning=False)
    assert capfd.readouterr() == ("", "")
