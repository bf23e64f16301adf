import math

import numpy as np
import pytest
from onnx import helper

from agent.config.sections import InferenceSection
from agent.engine.loading import Engine, load_engine
from agent.engine.onnx import OnnxModel
from agent.inspection.frame import Image
from tiny_models import HEADS, LABELS, a_pack, brightness_model, input_table, manifest, one_box, save, tensor

ONE_THREAD = InferenceSection(threads=1)


def flat(value: int, *, width: int = 64, height: int = 64) -> Image:
    """A picture of one grey."""
    return np.full((height, width, 3), value, np.uint8)


def noise(seed: int, *, width: int = 64, height: int = 64) -> Image:
    """A picture of noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def verification(**facts) -> dict:
    """The verification table of the tiny pack with other facts."""
    return {**manifest()["verification"], **facts}


def screening(**facts) -> dict:
    """The screening table of the tiny pack with other facts."""
    return {**manifest()["screening"], **facts}


def sigmoid(value: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-value))


def overlap(one, other) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both) if both else 0.0


def boxes_by_loops(engine: Engine, image: Image, *, floor: float, limit: float) -> list[tuple[str, float, tuple]]:
    """The same heads decoded cell by cell, and suppressed pair by pair, for a 64 x 64 picture."""
    model = OnnxModel(engine.pack.folder / "verify.onnx", threads=1, spinning=False)
    planes = (image[..., ::-1].astype(np.float32) / 255).transpose(2, 0, 1)[None]
    answer = model.run({"image": np.ascontiguousarray(planes)})
    found = []
    for head in HEADS:
        raw, stride = answer[head["output"]][0], head["stride"]
        for a, (aw, ah) in enumerate(head["anchors"]):
            block = raw[a * (5 + len(LABELS)) : (a + 1) * (5 + len(LABELS))]
            for y in range(raw.shape[1]):
                for x in range(raw.shape[2]):
                    tx, ty, tw, th, to, *classes = (float(v) for v in block[:, y, x])
                    cx, cy = (sigmoid(tx) + x) * stride, (sigmoid(ty) + y) * stride
                    w, h = aw * math.exp(tw), ah * math.exp(th)
                    box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                    for label, value in zip(LABELS, classes, strict=True):
                        if sigmoid(to) * sigmoid(value) >= floor:
                            found.append((label, sigmoid(to) * sigmoid(value), box))
    found.sort(key=lambda one: -one[1])
    kept: list = []
    for one in found:
        if all(one[0] != other[0] or overlap(one[2], other[2]) <= limit for other in kept):
            kept.append(one)
    return [(label, score, tuple(min(64.0, max(0.0, side)) for side in box)) for label, score, box in kept]


@pytest.mark.parametrize("seed", range(5))
def test_yolo_heads_of_a_real_model_are_decoded_as_the_paper_says(tmp_path, seed):
    """Boxes, scores and labels of a model with two raw heads are those of a decoding written in plain loops."""
    engine = load_engine(a_pack(tmp_path / "pack", screening=None), ONE_THREAD)
    image = noise(seed)
    expected = boxes_by_loops(engine, image, floor=0.05, limit=0.45)
    found = engine.verification.verify(image, None)
    assert len(found) == len(expected) > 10
    for one, (label, score, box) in zip(found, expected, strict=True):
        assert one.label == label
        assert one.score == pytest.approx(score, abs=1e-5)
        assert one.box == pytest.approx(box, abs=0.02)


def test_boxes_of_a_region_lie_in_the_whole_frame(tmp_path):
    """An engine that looks at a region of a frame says where its boxes are in the frame."""
    engine = load_engine(a_pack(tmp_path / "pack", raw=one_box(0.9)), ONE_THREAD)
    frame = flat(200, width=300, height=200)
    # One cell of 32 network pixels, its middle at 48, 48 of 64 x 64; the anchor is 20 x 30.
    (whole,) = engine.verification.verify(frame, None)
    assert whole.box == pytest.approx((38 * 300 / 64, 33 * 200 / 64, 58 * 300 / 64, 63 * 200 / 64), abs=0.02)
    (part,) = engine.verification.verify(frame, (100, 50, 228, 114))
    assert part.box == pytest.approx((100 + 38 * 2, 50 + 33, 100 + 58 * 2, 50 + 63), abs=0.02)
    assert part.label == "short"
    assert part.score == pytest.approx(0.9, abs=1e-6)


def test_a_region_is_all_that_an_engine_sees(tmp_path):
    """What lies outside a camera's region changes no score."""
    engine = load_engine(a_pack(tmp_path / "pack"), ONE_THREAD)
    frame = flat(255, width=100, height=100)
    frame[20:60, 30:70] = 0
    assert engine.screening is not None
    assert engine.screening.screen(frame, (30, 20, 70, 60)).score == 0
    assert engine.screening.screen(frame, None).score > 0.5


def test_a_box_that_leaves_the_region_is_cut_at_its_edge(tmp_path):
    """No box reaches out of what the engine looked at."""
    raw = one_box(0.9)
    raw["head_32"][0, 2:4, 1, 1] = 3  # e**3 times the anchor: 400 x 600 network pixels
    engine = load_engine(a_pack(tmp_path / "pack", raw=raw), ONE_THREAD)
    (one,) = engine.verification.verify(flat(0, width=300, height=200), (100, 50, 228, 114))
    assert one.box == (100, 50, 228, 114)


def test_letterboxed_boxes_are_mapped_back(tmp_path):
    """A pack that keeps the aspect ratio pads the rest, and its boxes come back without the padding."""
    table = verification(input=input_table(64, resize="letterbox", pad=0))
    engine = load_engine(a_pack(tmp_path / "pack", raw=one_box(0.9, cell=0), verification=table), ONE_THREAD)
    (one,) = engine.verification.verify(flat(0, width=128, height=96), None)
    # 128 x 96 becomes 64 x 48 with 8 rows above; the box is 6..26 x 1..31 in the network.
    assert one.box == pytest.approx((6 * 2, 0, 26 * 2, (31 - 8) * 2), abs=0.02)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"channels": "RGB"}, (10 + 20 + 40) / 3 / 255),
        ({"channels": "BGR", "layout": "NHWC"}, (10 + 20 + 40) / 3 / 255),
        ({"channels": "GRAY"}, round(0.114 * 10 + 0.587 * 20 + 0.299 * 40) / 255),
        ({"resize": "letterbox", "pad": 0}, (10 + 20 + 40) / 3 / 255 / 2),  # half the input is padding
        ({"resize": "letterbox", "pad": 255}, ((10 + 20 + 40) / 3 / 255 + 1) / 2),
        ({"interpolation": "linear"}, (10 + 20 + 40) / 3 / 255),
        ({"scale": 1 / 255, "mean": [0.02] * 3, "std": [0.5] * 3}, ((10 + 20 + 40) / 3 / 255 - 0.02) / 0.5),
        ({"mean": [0.04, 0.0, 0.0], "std": [0.25, 0.5, 1.0]}, ((40 / 255 - 0.04) * 4 + 20 / 255 * 2 + 10 / 255) / 3),
    ],
    ids=["rgb", "bgr-nhwc", "gray", "pad-0", "pad-255", "linear", "mean-std", "per-channel"],
)
def test_a_picture_is_prepared_as_the_manifest_says(tmp_path, facts, expected):
    """Layout, channels, padding, scale, mean and standard deviation of the manifest reach a real model."""
    table = screening(input=input_table(32, **facts))
    engine = load_engine(a_pack(tmp_path / "pack", screening=table), ONE_THREAD)
    image = np.empty((40, 80, 3), np.uint8)
    image[...] = (10, 20, 40)  # blue, green, red
    assert engine.screening is not None
    assert engine.screening.screen(image, None).score == pytest.approx(expected, abs=2e-6)


def test_screening_adds_up_its_defect_labels(tmp_path):
    """The defect probability is the sum over the defect labels, by default suspicious from 0.30 on."""
    table = screening(labels=["scratch", "dent"], defect_labels=["scratch", "dent"])
    engine = load_engine(a_pack(tmp_path / "pack", screening=table), ONE_THREAD)
    assert engine.screening is not None
    word = engine.screening.screen(flat(77), None)
    assert (word.score, word.threshold, word.suspicious) == (1.0, 0.30, True)


def logits_model(path, values: list[float]) -> None:
    """A classifier that always answers these values."""
    constants = {"zero": np.zeros((1,), np.float32), "values": np.array([values], np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["logits"]),
    ]
    save(path, nodes, [tensor("image", (1, 3, 32, 32))], [tensor("logits", (1, len(values)))], constants)


def classifier(labels: list[str], **facts) -> dict:
    """A verification table of the family classifier."""
    return {
        "family": "classifier",
        "file": "verify.onnx",
        "labels": labels,
        "output": "logits",
        "activation": "softmax",
        "input": input_table(32),
        **facts,
    }


def test_a_classifier_as_verification_gives_one_box(tmp_path):
    """It yields the whole region as one box, with its best defect label."""
    table = classifier(["fine", "dent", "scratch"], defect_labels=["dent", "scratch"])
    folder = a_pack(tmp_path / "pack", screening=None, verification=table)
    logits_model(folder / "verify.onnx", [3.0, 1.0, 2.0])
    engine = load_engine(folder, ONE_THREAD)
    shares = np.exp([3.0, 1.0, 2.0]) / np.exp([3.0, 1.0, 2.0]).sum()
    (one,) = engine.verification.verify(flat(0, width=90, height=50), (10, 5, 70, 45))
    assert (one.label, one.box) == ("scratch", (10, 5, 70, 45))
    assert one.score == pytest.approx(shares[2], abs=1e-6)


def test_a_classifier_below_the_floor_gives_no_box(tmp_path):
    """What no label reaches the floor of is not kept."""
    table = classifier(["fine", "dent"], defect_labels=["dent"], floor=0.2)
    folder = a_pack(tmp_path / "pack", screening=None, verification=table)
    logits_model(folder / "verify.onnx", [3.0, 1.0])
    assert load_engine(folder, ONE_THREAD).verification.verify(flat(0), None) == ()


def test_a_single_stage_pack_has_thresholds_of_its_own(tmp_path):
    """Without screening the default threshold is 0.50, with it 0.70, and a class may have its own."""
    table = verification(classes={"open": {"threshold": 0.55}})
    single = load_engine(a_pack(tmp_path / "one", screening=None, raw=one_box(0.6)), ONE_THREAD)
    double = load_engine(a_pack(tmp_path / "two", raw=one_box(0.6), verification=table), ONE_THREAD)
    own = load_engine(a_pack(tmp_path / "own", raw=one_box(0.6, label=0), verification=table), ONE_THREAD)
    assert single.screening is None
    words = [engine.verification.verify(flat(0), None)[0] for engine in (single, double, own)]
    assert [(one.threshold, one.confirmed) for one in words] == [(0.50, True), (0.70, False), (0.55, True)]


def test_suppression_may_be_across_classes(tmp_path):
    """With nms = "agnostic" a box drops worse ones of other classes too; by default it does not."""
    raw = one_box(0.9)
    raw["head_32"][0, 5, 1, 1] = 1.0  # the other class, a little less sure, in the same place
    found = {}
    for nms in ("per-class", "agnostic"):
        folder = a_pack(tmp_path / nms, raw=raw, verification=verification(nms=nms))
        found[nms] = [one.label for one in load_engine(folder, ONE_THREAD).verification.verify(flat(0), None)]
    assert found == {"per-class": ["short", "open"], "agnostic": ["short"]}


def test_a_network_that_answers_nothing_but_nan_says_so_at_once(tmp_path):
    """One row with a score that is not a number stands for all of them."""
    raw = {name: np.full_like(values, np.nan) for name, values in one_box(0.9).items()}
    engine = load_engine(a_pack(tmp_path / "pack", raw=raw), ONE_THREAD)
    (one,) = engine.verification.verify(flat(0), None)
    assert math.isnan(one.score)


def test_an_engine_says_what_runs_it(tmp_path):
    """Records name the pack in full, its digest, and each runtime once."""
    engine = load_engine(a_pack(tmp_path / "pack"), ONE_THREAD)
    assert (engine.facts.name, engine.facts.runtime) == ("tiny-trace-v1.0", "onnx-cpu")
    assert engine.facts.digest == engine.pack.digest


def test_a_brightness_model_is_what_these_tests_take_it_for(tmp_path):
    """The classifier behind these tests answers (1 - mean, mean)."""
    model = OnnxModel(brightness_model(tmp_path / "m.onnx"), threads=1, spinning=False)
    answer = model.run({"image": np.full((1, 3, 32, 32), 0.25, np.float32)})
    assert answer["probabilities"].tolist() == [[0.75, 0.25]]
