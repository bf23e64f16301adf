import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.manifest import InputTable
from agent.engine.preparation import Preparation
from tiny_models import input_table


def prepared(image, region=None, **facts):
    """The tensor that a manifest's input table makes of an image, without its batch axis."""
    table = InputTable(**{**input_table(32), **facts})
    return Preparation(table)(image, region)[0][0]


def noise(height: int, width: int, seed: int = 0):
    """A picture of noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("interpolation", ["area", "linear"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (100, 60), (7, 9), (480, 640)])
def test_a_picture_is_stretched_with_the_interpolation_asked_for(interpolation, height, width):
    """The tensor is OpenCV's resize of the picture, scaled, channels first, red first."""
    image = noise(height, width)
    flag = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}[interpolation]
    resized = cv2.resize(image, (32, 32), interpolation=flag).astype(np.float64)
    expected = np.stack([resized[..., 2], resized[..., 1], resized[..., 0]]) / 255
    tensor = prepared(image, interpolation=interpolation)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, expected, atol=1e-6)


@given(
    st.sampled_from(["RGB", "BGR"]),
    st.sampled_from(["NCHW", "NHWC"]),
    st.floats(0.001, 2),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 2), min_size=3, max_size=3),
)
def test_scale_mean_and_deviation_are_applied_in_this_order(channels, layout, scale, mean, std):
    """Each value becomes (x * scale - mean) / std of its own channel, whatever order and layout the network wants."""
    image = noise(32, 32)
    planes = image[..., ::-1] if channels == "RGB" else image
    expected = (planes.astype(np.float64) * scale - mean) / std
    if layout == "NCHW":
        expected = expected.transpose(2, 0, 1)
    tensor = prepared(image, channels=channels, layout=layout, scale=scale, mean=mean, std=std)
    np.testing.assert_allclose(tensor, expected, rtol=1e-5, atol=1e-3)


def test_grey_is_the_luminance():
    """One channel is OpenCV's grey of the picture."""
    image = noise(32, 32)
    tensor = prepared(image, channels="GRAY", mean=[0.0], std=[1.0], scale=1.0)
    assert tensor.shape == (1, 32, 32)
    np.testing.assert_array_equal(tensor[0], cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32))


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"), [(40, 80, (8, 24), (0, 32)), (80, 40, (0, 32), (8, 24))]
)
def test_letterbox_pads_around_the_picture(height, width, rows, columns):
    """The picture keeps its aspect ratio in the middle; around it stands the padding's grey."""
    tensor = prepared(np.full((height, width, 3), 200, np.uint8), resize="letterbox", pad=114, scale=1.0)
    inside = np.zeros((32, 32), bool)
    inside[slice(*rows), slice(*columns)] = True
    assert (tensor[:, inside] == 200).all()
    assert (tensor[:, ~inside] == 114).all()


def test_padding_of_an_earlier_picture_is_never_left_over():
    """The buffer is used again, its content is not: wide after tall is as if nothing had been before."""
    table = InputTable(**input_table(32, resize="letterbox"))
    prepare = Preparation(table)
    tall, wide = noise(80, 40), noise(40, 80, seed=1)
    prepare(tall, None)
    again = prepare(wide, None)[0].copy()
    np.testing.assert_array_equal(again, Preparation(table)(wide, None)[0])


def test_only_the_region_is_seen():
    """The tensor of a region is that of the picture cut out."""
    image = noise(100, 120)
    np.testing.assert_array_equal(prepared(image, (10, 20, 70, 90)), prepared(image[20:90, 10:70].copy()))


def test_the_frame_is_left_as_it_was():
    """Preparing changes no pixel of the frame, which may become evidence."""
    image = noise(32, 32)
    before = image.copy()
    prepared(image, channels="RGB")
    np.testing.assert_array_equal(image, before)
