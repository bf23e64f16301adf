import json
import os
import resource
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.batch.annotate import annotated, compared
from agent.batch.files import inspect_files
from agent.batch.summary import Summary
from agent.errors import StoreError, UsageError
from agent.inspection.screening import Screening
from daemon import FIELDGATE, environment
from samples import a_detection, a_record
from tiny_models import a_pack, one_box, quiet_heads
from waiting import until

FIELDS = {
    "file",
    *("schema", "captured_at", "clock", "monotonic_ns", "camera", "frame", "source", "trigger", "subject"),
    *("engine", "engine_digest", "runtime", "agent", "role", "mode", "screening", "detections"),
    *("outcome", "disposition", "reason", "latency_ms", "evidence_reason"),
}
DARK, BRIGHT = 20, 220
MAGENTA = (180, 95, 255)


def picture(path: Path, grey: int, *, size: int = 64) -> Path:
    """A PNG of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size, 3), grey, np.uint8))
    return path


def batch(pack: Path, source: Path, **wanted) -> tuple[list[dict], Summary]:
    """Inspect in this process; the lines, and the summary."""
    output = source.parent / "lines.jsonl"
    known = {"output": output, "pictures": None, "threads": 1, "on_image": lambda *_: None, "stopped": lambda: False}
    summary = inspect_files(pack, source, **{**known, **wanted})
    return lines_of(output), summary


def lines_of(path: Path) -> list[dict]:
    """Every line of a file; each must be whole."""
    text = path.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def command(*arguments: object, **more) -> subprocess.CompletedProcess[str]:
    """Run ``fieldgate inspect`` as its user does."""
    called = [FIELDGATE, "inspect", *map(str, arguments)]
    return subprocess.run(called, capture_output=True, text=True, env=environment(), timeout=60, check=False, **more)


@pytest.fixture
def folder(tmp_path):
    """Four images in two folders that share names, and one that cannot be decoded."""
    root = tmp_path / "parts"
    for name in ("left", "right"):
        picture(root / name / "1.png", DARK)
        picture(root / name / "2.png", BRIGHT)
    (root / "left" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    return root


def test_every_image_has_one_line_with_the_records_fields(tmp_path, folder):
    """Each image has one line with file and the record's fields, less those of device, ledger and store."""
    lines, summary = batch(a_pack(tmp_path / "pack"), folder)
    assert [line["source"] for line in lines] == [
        "left/1.png",
        "left/2.png",
        "left/3.png",
        "right/1.png",
        "right/2.png",
    ]
    assert all(set(line) == FIELDS for line in lines)
    assert [line["frame"] for line in lines] == [1, 2, 3, 4, 5]
    assert summary.images == 5


def test_a_line_names_its_file_as_the_caller_can_open_it(tmp_path, folder):
    """The field file is the path through the folder that was given, so that it opens from where one stands."""
    lines, _ = batch(a_pack(tmp_path / "pack"), folder)
    assert all(Path(line["file"]).is_file() for line in lines)
    assert len({line["file"] for line in lines}) == 5


def test_what_screening_cleared_was_not_verified(tmp_path):
    """A cleared image passes with reason cleared, no detections and no time in verification."""
    (line,), _ = batch(a_pack(tmp_path / "pack", raw=one_box(0.9)), picture(tmp_path / "in" / "dark.png", DARK))
    assert (line["outcome"], line["disposition"], line["reason"]["code"]) == ("pass", "none", "cleared")
    assert line["detections"] == []
    assert line["latency_ms"]["verify"] is None
    assert not line["screening"]["suspicious"]


def test_suspicious_and_unconfirmed_goes_to_the_archive_with_everything_above_the_floor(tmp_path):
    """A suspicious image in which nothing is confirmed passes to the archive and keeps its weak detections."""
    (line,), _ = batch(a_pack(tmp_path / "pack", raw=one_box(0.4)), picture(tmp_path / "in" / "bright.png", BRIGHT))
    assert (line["outcome"], line["disposition"], line["reason"]["code"]) == ("pass", "archive", "unconfirmed")
    assert [one["label"] for one in line["detections"]] == ["short"]
    assert line["detections"][0]["score"] == pytest.approx(0.4, abs=1e-4)
    assert line["latency_ms"]["verify"] > 0


def test_a_detection_below_the_floor_is_not_written(tmp_path):
    """What scores below the pack's floor is in no line."""
    (line,), _ = batch(a_pack(tmp_path / "pack", raw=one_box(0.04)), picture(tmp_path / "in" / "bright.png", BRIGHT))
    assert line["detections"] == []
    assert line["reason"]["code"] == "unconfirmed"


def test_a_confirmed_detection_fails_the_image(tmp_path):
    """A detection at or above its threshold fails the image, flagged, and is counted by its label."""
    pack = a_pack(tmp_path / "pack", raw=one_box(0.9))
    (line,), summary = batch(pack, picture(tmp_path / "in" / "bright.png", BRIGHT))
    assert (line["outcome"], line["disposition"], line["reason"]["code"]) == ("fail", "flagged", "confirmed")
    assert dict(summary.confirmed) == {"short": 1}


def test_a_single_stage_pack_has_no_screening(tmp_path):
    """With a single-stage pack every image is verified, and screening is null."""
    pack = a_pack(tmp_path / "pack", raw=quiet_heads(), screening=None)
    (line,), _ = batch(pack, picture(tmp_path / "in" / "dark.png", DARK))
    assert line["screening"] is None
    assert (line["outcome"], line["disposition"], line["reason"]["code"]) == ("pass", "none", "nothing-confirmed")


def test_a_corrupt_file_gets_its_line_and_ends_nothing(tmp_path, folder):
    """A file that cannot be decoded is inconclusive, and those behind it are inspected."""
    lines, summary = batch(a_pack(tmp_path / "pack"), folder)
    corrupt = lines[2]
    assert (corrupt["outcome"], corrupt["disposition"], corrupt["reason"]["code"]) == (
        "inconclusive",
        "none",
        "corrupt-file",
    )
    assert "left/3.png" in corrupt["reason"]["text"]
    assert len(lines) == 5
    assert len(summary.latency_ms) == 4


def test_progress_ends_where_the_images_end(tmp_path, folder):
    """Whoever shows the progress hears of each image and of all of them."""
    heard: list[tuple[int, int]] = []
    batch(a_pack(tmp_path / "pack"), folder, on_image=lambda done, count: heard.append((done, count)))
    assert heard == [(done, 5) for done in range(6)]


def test_a_stop_comes_between_two_images(tmp_path, folder):
    """Asked to stop, a batch ends after the image in hand, whose line is written."""
    lines, summary = batch(a_pack(tmp_path / "pack"), folder, stopped=lambda: True)
    assert [line["source"] for line in lines] == ["left/1.png"]
    assert summary.images == 1


def test_annotated_pictures_stand_beside_each_other_like_their_images(tmp_path, folder):
    """Each image that could be decoded has its annotated picture under its relative path, with a strip below."""
    batch(a_pack(tmp_path / "pack"), folder, pictures=tmp_path / "seen")
    seen = sorted(path.relative_to(tmp_path / "seen").as_posix() for path in (tmp_path / "seen").rglob("*.*"))
    assert seen == ["left/1.png.jpg", "left/2.png.jpg", "right/1.png.jpg", "right/2.png.jpg"]
    drawn = cv2.imread(str(tmp_path / "seen" / seen[0]))
    assert drawn is not None
    assert drawn.shape[0] > drawn.shape[1] == 512  # a small picture is enlarged by whole pixels


def magenta(jpeg: bytes) -> int:
    """How many pixels of a picture's upper part, without the strip, are about the colour of a confirmed box."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return int((np.abs(image[: image.shape[1]].astype(int) - MAGENTA).max(axis=2) < 30).sum())


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_only_confirmed_boxes_are_solid_and_magenta(grey):
    """A confirmed box shows in magenta on dark and light alike; one below its threshold never does."""
    image = np.full((640, 640, 3), grey, np.uint8)
    suspicious = Screening(0.9, 0.3)
    box = (200.0, 200.0, 320.0, 300.0)
    confirmed = annotated(image, a_record(suspicious, [a_detection(score=0.9, box=box)]))
    weak = annotated(image, a_record(suspicious, [a_detection(score=0.4, box=box)]))
    clear = annotated(image, a_record(Screening(0.1, 0.3)))
    assert magenta(confirmed) > 800
    assert magenta(weak) == magenta(clear) == 0
    assert weak != clear
    assert image.min() == image.max() == grey


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 5.0, 5.0), (630.0, 630.0, 640.0, 640.0), (0.0, 300.0, 640.0, 310.0), (10.0, 10.0, 10.0, 10.0)]
)
def test_a_box_at_the_edge_can_be_drawn(box):
    """Boxes at the edges, one without area and many on one spot are drawn like any other."""
    image = np.full((640, 640, 3), 90, np.uint8)
    found = [a_detection("Kratzer/ä", box=box) for _ in range(9)]
    assert annotated(image, a_record(Screening(0.9, 0.3), found)) != annotated(image, a_record(Screening(0.9, 0.3)))


@pytest.mark.parametrize(
    ("score", "said"),
    [(0.93, "0.93 >= 0.70"), (0.46, "0.46 < 0.70"), (0.6996, "0.6996 < 0.7000"), (0.7, "0.70 >= 0.70")],
)
def test_a_label_reads_true(score, said):
    """Score and threshold are written with as many decimals as the comparison needs."""
    assert compared(score, 0.7) == said


def test_annotated_pictures_never_lie_among_the_images(tmp_path, folder):
    """A folder for annotated pictures that is, or lies in, the folder of images is refused."""
    pack = a_pack(tmp_path / "pack")
    for pictures in (folder, folder / "left", folder / "new"):
        with pytest.raises(UsageError, match="outside of it"):
            batch(pack, folder, pictures=pictures)


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path, folder):
    """When the output can take no more, the batch fails with a sentence and the file ends with a whole line."""
    output = tmp_path / "lines.jsonl"
    done = command(
        *("--engine", a_pack(tmp_path / "pack"), "--input", folder, "--output", output),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)),
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(lines_of(output)) < 5


def test_an_output_that_cannot_be_made_is_a_failure(tmp_path, folder):
    """An output in a folder that does not exist is told before anything is inspected."""
    with pytest.raises(StoreError, match="cannot be written"):
        batch(a_pack(tmp_path / "pack"), folder, output=tmp_path / "nowhere" / "lines.jsonl")


def test_without_output_the_lines_go_to_standard_output(tmp_path, folder):
    """Without --output standard output holds nothing but the lines; bar and table go to standard error."""
    done = command("--engine", a_pack(tmp_path / "pack"), "--input", folder, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 5
    assert "corrupt-file" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "code", "told"),
    [
        pytest.param({"--input": "nowhere"}, 2, "no such file or folder", id="missing input"),
        pytest.param({"--input": "empty"}, 2, "holds no images", id="folder without images"),
        pytest.param({"--input": "note.txt"}, 2, "is no image by its name", id="not an image"),
        pytest.param({"--engine": "nowhere"}, 1, "there is no such folder", id="missing pack"),
        pytest.param({"--engine": "empty"}, 1, "has no pack.toml", id="folder without a pack"),
        pytest.param({"--engine": "broken"}, 1, "ONNX Runtime cannot load it", id="corrupt model"),
        pytest.param({"--output": "nowhere/lines.jsonl"}, 1, "cannot be written", id="output in a missing folder"),
        pytest.param({"--save-annotated": "parts"}, 2, "outside of it", id="pictures over the images"),
    ],
)
def test_what_cannot_work_is_one_sentence(tmp_path, folder, wrong, code, told):
    """Wrong input is exit 2, a fault of pack, model or disk exit 1, each with one sentence and no traceback."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("no image", encoding="utf-8")
    (a_pack(tmp_path / "broken") / "verify.onnx").write_bytes(b"nothing of the kind")
    right = {"--engine": a_pack(tmp_path / "pack"), "--input": folder, "--output": tmp_path / "lines.jsonl"}
    given = {**right, **{key: tmp_path / value for key, value in wrong.items()}}
    done = command(*[word for pair in given.items() for word in pair])
    assert done.returncode == code, done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("fieldgate: ")
    assert told in sentence
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_whole_lines(tmp_path):
    """Ctrl-C ends a batch with exit code 130 and nothing but whole lines."""
    many = tmp_path / "many"
    first = picture(many / "00000.png", BRIGHT)
    for number in range(1, 20_000):
        os.link(first, many / f"{number:05d}.png")
    output = tmp_path / "lines.jsonl"
    called = [FIELDGATE, "inspect", "--engine", a_pack(tmp_path / "pack"), "--input", many, "--output", output]
    with subprocess.Popen(called, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert until(lambda: output.exists() and output.stat().st_size, within_s=30)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert 1 <= len(lines_of(output)) < 20_000
    assert "Traceback" not in told


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path, folder):
    """A pipe that is closed early, as by head, ends the batch without a traceback."""
    called = [FIELDGATE, "inspect", "--engine", str(a_pack(tmp_path / "pack")), "--input", str(folder)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(called, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(), timeout=60)  # noqa: PLW1510
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
