import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from agent.config.sections import InferenceSection
from agent.engine.loading import load_engine
from agent.engine.pack import digest_of, read_pack
from agent.errors import PackError
from tiny_models import HEADS, a_pack, brightness_model, input_table, manifest, save, tensor, write_manifest, yolo_model

ONE_THREAD = InferenceSection(threads=1)
REMOVED = object()


def changed(key: str, value: object) -> dict[str, Any]:
    """The tiny pack's manifest with one key set to ``value``, or taken away."""
    tables = manifest()
    *path, last = key.split(".")
    table = tables
    for part in path:
        table = table.setdefault(part, {})
    if value is REMOVED:
        del table[last]
    else:
        table[last] = value
    return tables


def complaint(folder: Path) -> str:
    """What is wrong with a pack: one line that names the pack."""
    with pytest.raises(PackError) as told:
        load_engine(folder, ONE_THREAD)
    message = str(told.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.fixture
def folder(tmp_path):
    """A pack that is fine."""
    pack = a_pack(tmp_path / "tiny-trace-v1.0")
    load_engine(pack, ONE_THREAD)
    return pack


def test_a_pack_knows_its_names(folder):
    """The engine's name is the pack's name without its version."""
    pack = read_pack(folder)
    assert (pack.engine, pack.name) == ("tiny-trace", "tiny-trace-v1.0")


def test_the_digest_is_that_of_the_canonical_list(folder):
    """One line of hash and path per file but SIGNATURE, sorted by path bytes; the digest is the sha256 of the list."""
    (folder / "golden").mkdir()
    for name in ("golden/b.jpg", "golden/B.jpg", "golden.txt", "SIGNATURE", "golden/SIGNATURE", "ä.txt"):
        (folder / name).write_bytes(name.encode())
    paths = ["golden.txt", "golden/B.jpg", "golden/SIGNATURE", "golden/b.jpg"]
    paths += ["pack.toml", "screen.onnx", "verify.onnx", "ä.txt"]
    lines = [f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n" for path in paths]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert digest_of(folder) == read_pack(folder).digest == expected


def test_a_signature_changes_no_digest_and_anything_else_does(folder):
    """The digest names the release: any changed, added or renamed file is another one."""
    digests = [digest_of(folder)]
    (folder / "SIGNATURE").write_text("[]")
    assert digest_of(folder) == digests[0]
    with (folder / "pack.toml").open("a") as file:
        file.write("\n")
    digests.append(digest_of(folder))
    (folder / "notes.txt").touch()
    digests.append(digest_of(folder))
    (folder / "notes.txt").rename(folder / "note.txt")
    digests.append(digest_of(folder))
    assert len(set(digests)) == 4


def test_a_name_that_is_not_utf8_has_its_place_in_the_list(folder):
    """A file's name is bytes to the digest."""
    before = digest_of(folder)
    (folder / os.fsdecode(b"odd-\xff.txt")).touch()
    assert digest_of(folder) != before


def test_defaults_are_the_documented_ones(folder):
    """Screening passes on from 0.30, verification confirms from 0.70, keeps from 0.05 and suppresses at 0.45."""
    rules, table = read_pack(folder).rules, read_pack(folder).manifest.verification
    assert (rules.screening, rules.threshold, rules.floor, rules.action_default) == (0.30, 0.70, 0.05, 0.95)
    assert (table.nms_iou, table.nms, table.input.pad) == (0.45, "per-class", 114)


def test_each_class_may_have_its_own_rules(tmp_path):
    """Threshold, action threshold and severity of a class stand before those of the pack."""
    classes = {"open": {"threshold": 0.55, "action_threshold": 0.99, "severity": "critical", "rationale": "safety"}}
    table = {**manifest()["verification"], "threshold": 0.6, "classes": classes}
    rules = read_pack(a_pack(tmp_path / "pack", verification=table)).rules
    assert (rules.threshold_of("open"), rules.threshold_of("short")) == (0.55, 0.6)
    assert (rules.action, rules.severity) == ({"open": 0.99}, {"open": "critical"})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("verification.treshold", 0.7, "unknown key 'verification.treshold'; did you mean 'threshold'?"),
        ("screening.input.widht", 3, "unknown key 'screening.input.widht'; did you mean 'width'?"),
        ("verfication", {}, "unknown key 'verfication'; did you mean 'verification'?"),
        ("verification.yolo.heads", [{**HEADS[0], "strides": 1}], "did you mean 'stride'?"),
        ("verification.classes.open", {"treshold": 0.5}, "did you mean 'threshold'?"),
        ("verification", REMOVED, "'verification' is missing"),
        ("pack.version", REMOVED, "'pack.version' is missing"),
        ("screening.input.mean", REMOVED, "'screening.input.mean' is missing"),
        ("pack.version", "1", "'pack.version'"),
        ("pack.project", "pcb-x", "'pack.project': use letters, digits and '_'"),
        ("pack.created", "yesterday", "'pack.created'"),
        ("screening.threshold", 1.3, "'screening.threshold': must be at most 1.0 (found 1.3)"),
        ("screening.threshold", -0.1, "'screening.threshold': must be at least 0.0 (found -0.1)"),
        ("screening.threshold", float("nan"), "'screening.threshold'"),
        ("screening.threshold", "high", "'screening.threshold': must be a number (found 'high')"),
        ("verification.threshold", 7, "'verification.threshold': must be at most 1.0 (found 7)"),
        ("verification.classes.open", {"threshold": 1.5}, "'verification.classes.open.threshold': must be at most 1"),
        ("verification.threshold", 0.01, "the threshold 0.01 lies below the floor 0.05"),
        ("verification.classes.open", {"threshold": 0.01}, "the threshold of 'open', 0.01, lies below the floor 0.05"),
        ("verification.classes.opne", {"threshold": 0.5}, "classes names 'opne', which is not one of labels"),
        ("verification.labels", ["open", "open"], "a label stands twice"),
        ("verification.labels", [], "'verification.labels'"),
        ("screening.defect_labels", ["defects"], "defect_labels names 'defects', which is not one of labels"),
        ("screening.family", "yolo-v3", "'screening.family': must be 'classifier'"),
        ("screening.activation", "relu", "'screening.activation'"),
        ("screening.input.layout", "CHW", "'screening.input.layout'"),
        ("screening.input.std", [1, 0, 1], "std must not hold 0"),
        ("screening.input.mean", [0], "mean has 1 values and RGB needs 3"),
        ("screening.input.width", 0, "'screening.input.width': must be more than 0 (found 0)"),
        ("screening.file", "../screen.onnx", "name a file inside the pack"),
        ("screening.file", "/screen.onnx", "name a file inside the pack"),
        ("screening.file", "other.onnx", "names the file 'other.onnx', which is not in"),
        ("verification.yolo.heads", [{**HEADS[0], "anchors": [[0, 4]]}], "an anchor is width and height"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(folder, key, value, sentence):
    """The message names the key, what was found and what is right; an unknown key names the nearest known one."""
    write_manifest(folder, changed(key, value))
    message = complaint(folder)
    assert sentence in message
    assert "pack.toml" in message


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("screening.labels", ["clear", "defect", "dust"], "'probabilities' gives 2 values and there are 3 labels"),
        ("screening.output", "scores", "the model has no output 'scores'; it has probabilities"),
        ("screening.input.name", "picture", "screening.input.name: the model has no input 'picture'; it has image"),
        ("screening.input.width", 48, "the manifest makes [1, 3, 32, 48] and the model takes [1, 3, 32, 32]"),
        ("screening.input.layout", "NHWC", "the manifest makes [1, 32, 32, 3] and the model takes [1, 3, 32, 32]"),
        (
            "verification.labels",
            ["open", "short", "spur"],
            "'head_32' has the shape [1, 21, 2, 2]; 3 anchors, 3 labels",
        ),
        ("verification.yolo.heads", [{**HEADS[0], "stride": 16}], "stride 16 need [1, 21, 4, 4]"),
        ("verification.yolo.heads", [{**HEADS[0], "anchors": [[9, 9]]}], "need [1, 7, 2, 2]"),
        ("verification.yolo.heads", [{**HEADS[0], "output": "head"}], "no output 'head'; it has head_16, head_32"),
        ("verification.yolo.layout", "NHWC", "need [1, 2, 2, 21]"),
        ("verification.yolo", REMOVED, "the table [verification.yolo] is missing: tiny-yolo-v3 needs its heads"),
        ("verification.input.height", 96, "the manifest makes [1, 3, 96, 64] and the model takes [1, 3, 64, 64]"),
        ("verification.family", "yolo-v9", "'yolo-v9' is none of classifier, yolo-v3, tiny-yolo-v3"),
        ("verification.family", "classifier", "verification.output is missing"),
    ],
)
def test_a_manifest_that_does_not_fit_its_model_says_how(folder, key, value, sentence):
    """Names, sizes and numbers of labels are held against the real model before the first frame."""
    write_manifest(folder, changed(key, value))
    assert sentence in complaint(folder)


def test_a_model_that_leaves_its_size_open_takes_that_of_the_manifest(folder):
    """A dynamic axis fits any size."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["m"], ["d"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["d", "d"], ["probabilities"], axis=1),
    ]
    shape = ("batch", 3, "height", "width")
    save(folder / "screen.onnx", nodes, [tensor("image", shape)], [tensor("probabilities", ("batch", 2))])
    write_manifest(folder, changed("screening.input", input_table(48)))
    engine = load_engine(folder, ONE_THREAD)
    assert engine.screening is not None
    assert engine.screening.screen(np.full((9, 9, 3), 51, np.uint8), None).score == pytest.approx(0.2, abs=2e-6)


@pytest.mark.parametrize("file", ["screen.onnx", "verify.onnx"])
@pytest.mark.parametrize("damage", ["empty", "random", "truncated", "bit"])
def test_a_corrupt_model_is_named(folder, file, damage):
    """A damaged ONNX file is told with its path, whichever stage it belongs to."""
    body = (folder / file).read_bytes()
    bodies = {"empty": b"", "random": os.urandom(5_000), "truncated": body[:-40], "bit": b"\xff" + body[1:]}
    (folder / file).write_bytes(bodies[damage])
    message = complaint(folder)
    assert file in message
    assert "cannot load it" in message


def test_a_model_that_needs_more_than_a_picture_is_refused(folder):
    """A second input that nobody can fill is told when the pack is loaded."""
    nodes = [helper.make_node("Add", ["image", "more"], ["probabilities"])]
    shape = (1, 3, 32, 32)
    save(
        folder / "screen.onnx", nodes, [tensor("image", shape), tensor("more", shape)], [tensor("probabilities", shape)]
    )
    assert "screening: the model does not run" in complaint(folder)


def test_a_model_that_wants_bytes_is_refused(folder):
    """A model that takes no float32 is told when the pack is loaded."""
    bytes_in = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 3, 32, 32])
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["probabilities"], axes=[1, 2, 3], keepdims=0),
    ]
    save(folder / "screen.onnx", nodes, [bytes_in], [tensor("probabilities", (1,))])
    assert "screening: the model does not run" in complaint(folder)


def test_an_output_that_is_no_tensor_of_numbers_is_refused(folder):
    """Outputs that are sequences or text cannot be decoded, and the pack says so."""
    words = helper.make_tensor_value_info("probabilities", TensorProto.STRING, [1, 3, 32, 32])
    nodes = [helper.make_node("Cast", ["image"], ["probabilities"], to=TensorProto.STRING)]
    save(folder / "screen.onnx", nodes, [tensor("image", (1, 3, 32, 32))], [words])
    assert "'probabilities' is not a tensor of numbers" in complaint(folder)


@pytest.mark.parametrize("text", ["[pack", "pack = ", "a = 1\na = 2", "\0"])
def test_a_manifest_that_is_no_toml_says_where(folder, text):
    """The message says what TOML stumbled over."""
    (folder / "pack.toml").write_text(text)
    assert "pack.toml: is not valid TOML" in complaint(folder)


def test_a_manifest_that_is_no_text_is_refused(folder):
    """Bytes that are not UTF-8 are no manifest."""
    (folder / "pack.toml").write_bytes(b"\xff\xfe\x00")
    assert "pack.toml: cannot be read" in complaint(folder)


def test_a_missing_folder_is_told_from_a_folder_that_is_no_pack(tmp_path):
    """A wrong path and a wrong folder are two mistakes."""
    assert "there is no such folder" in complaint(tmp_path / "nowhere")
    assert "has no pack.toml, so it is no engine pack" in complaint(tmp_path)


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    """A pack is a folder."""
    brightness_model(tmp_path / "screen.onnx")
    assert "cannot be read" in complaint(tmp_path / "screen.onnx")


def test_unknown_facts_about_the_release_are_refused_and_known_ones_kept(folder):
    """Optional tables are read: metrics, limits, serial, expiry."""
    metrics = {"images": 500, "source": "synthetic", "map": 0.9}
    tables = manifest(metrics=metrics, limits={"latency_ms": 100.0, "memory_mb": 200.0})
    tables["pack"] |= {"serial": 7, "expires": "2027-01-01T00:00:00Z", "minimum_agent": "0.1.0"}
    write_manifest(folder, tables)
    read = read_pack(folder).manifest
    assert read.metrics is not None
    assert read.limits is not None
    assert (read.metrics.map, read.limits.latency_ms, read.pack.serial) == (0.9, 100.0, 7)


def test_a_pack_of_one_stage_needs_no_screening_file(tmp_path):
    """Leaving out the table makes a single-stage pack."""
    folder = a_pack(tmp_path / "pack", screening=None)
    yolo_model(folder / "verify.onnx")
    assert not (folder / "screen.onnx").exists()
    assert load_engine(folder, ONE_THREAD).screening is None
