import json
import math

import numpy as np
import pytest

from agent.config.sections import InferenceSection
from agent.engine.loading import load_engine
from agent.inspection.frame import Fault, Frame, Image, Trigger
from agent.inspector import Inspector
from samples import a_frame
from tiny_models import a_pack, brightness_model, fails_when_white, input_table, one_box, yolo_model

ONE_THREAD = InferenceSection(threads=1)
DARK, BRIGHT = 20, 230
"""The tiny pack's screening takes brightness for a defect."""


def seen(value: int, **facts) -> Frame:
    """A frame of one grey."""
    image: Image = np.full((64, 64, 3), value, np.uint8)
    return a_frame(image=image, **facts)


def an_inspector(folder, **facts) -> Inspector:
    """An inspector with a tiny pack."""
    return Inspector(load_engine(a_pack(folder, **facts), ONE_THREAD))


def test_what_screening_clears_is_not_verified(tmp_path):
    """Below the screening threshold: pass, none, reason cleared, no detections, stage 2 did not run."""
    found = an_inspector(tmp_path, raw=one_box(0.99)).inspect(seen(DARK))
    assert (found.verdict.outcome, found.verdict.disposition, found.verdict.code) == ("pass", "none", "cleared")
    assert found.detections == ()
    assert found.verify_ms is None
    assert found.screen_ms is not None
    assert found.screen_ms > 0
    assert found.screening is not None
    assert found.screening.score == pytest.approx(DARK / 255, abs=2e-6)


def test_what_verification_does_not_confirm_is_archived(tmp_path):
    """Suspicious, nothing at its threshold: pass, archive, reason unconfirmed, with every detection above the floor."""
    found = an_inspector(tmp_path, raw=one_box(0.6)).inspect(seen(BRIGHT))
    assert (found.verdict.outcome, found.verdict.disposition, found.verdict.code) == ("pass", "archive", "unconfirmed")
    assert [one.label for one in found.detections] == ["short"]
    assert found.verify_ms is not None


def test_what_is_below_the_floor_is_not_kept(tmp_path):
    """A detection below the floor is no detection."""
    found = an_inspector(tmp_path, raw=one_box(0.04)).inspect(seen(BRIGHT))
    assert (found.verdict.code, found.detections) == ("unconfirmed", ())


def test_what_verification_confirms_fails(tmp_path):
    """At or above its threshold: fail, flagged, reason confirmed."""
    found = an_inspector(tmp_path, raw=one_box(0.91)).inspect(seen(BRIGHT))
    assert (found.verdict.outcome, found.verdict.disposition, found.verdict.code) == ("fail", "flagged", "confirmed")
    assert found.verdict.text == "short 0.91 >= 0.70"


@pytest.mark.parametrize(("score", "expected"), [(0.6, ("fail", "flagged")), (0.4, ("pass", "none"))])
def test_a_single_stage_engine_looks_at_every_frame(tmp_path, score, expected):
    """Without screening there is no suspicion: confirmed fails, anything else passes without being archived."""
    found = an_inspector(tmp_path, raw=one_box(score), screening=None).inspect(seen(DARK))
    assert (found.verdict.outcome, found.verdict.disposition) == expected
    assert found.verdict.code == ("confirmed" if score >= 0.5 else "nothing-confirmed")
    assert (found.screening, found.screen_ms) == (None, None)
    assert len(found.detections) == 1


@pytest.mark.parametrize(
    ("kind", "disposition"), [("continuous", "none"), ("interval", "none"), ("mqtt", "flagged"), ("manual", "flagged")]
)
@pytest.mark.parametrize("stage", ["screening", "verification"])
def test_a_model_that_answers_nan_is_inconclusive(tmp_path, kind, disposition, stage):
    """Not a number, from either stage: inconclusive, flagged where a part stands behind it, and JSON can hold it."""
    a_pack(tmp_path, raw=one_box(0.99))
    if stage == "screening":
        brightness_model(tmp_path / "screen.onnx", factor=math.nan)
    else:
        yolo_model(tmp_path / "verify.onnx", raw={k: v * math.nan for k, v in one_box(0.99).items()})
    inspector = Inspector(load_engine(tmp_path, ONE_THREAD))
    found = inspector.inspect(seen(BRIGHT, trigger=Trigger(kind)))
    assert (found.verdict.outcome, found.verdict.code) == ("inconclusive", "not-a-number")
    assert found.verdict.disposition == disposition
    assert found.detections == ()
    assert (found.screening is None) == (stage == "screening")
    if found.screening is not None:
        json.dumps(found.screening.to_json(), allow_nan=False)


def test_one_score_that_is_not_a_number_spoils_the_frame(tmp_path):
    """A confirmed box beside a NaN is no verdict: the model is broken."""
    raw = one_box(0.99)
    raw["head_16"][0, 4, 0, 0] = math.nan
    assert an_inspector(tmp_path, raw=raw).inspect(seen(BRIGHT)).verdict.code == "not-a-number"


def test_a_box_that_is_not_a_number_spoils_the_frame(tmp_path):
    """A box that is nowhere is no detection to act on."""
    raw = one_box(0.99)
    raw["head_32"][0, 0, 1, 1] = math.nan
    assert an_inspector(tmp_path, raw=raw).inspect(seen(BRIGHT)).verdict.code == "not-a-number"


@pytest.mark.parametrize("kind", ["continuous", "mqtt"])
def test_a_model_that_fails_is_inconclusive(tmp_path, kind):
    """The frame is inconclusive with the runtime's sentence; what screening said is kept; the next frame is fine."""
    fails_when_white(tmp_path / "verify.onnx")
    table = {
        "family": "classifier",
        "file": "verify.onnx",
        "labels": ["a", "b"],
        "output": "logits",
        "input": input_table(32),
    }
    inspector = an_inspector(tmp_path, verification=table)
    found = inspector.inspect(seen(255, trigger=Trigger(kind)))
    assert (found.verdict.outcome, found.verdict.code) == ("inconclusive", "inference-fault")
    assert found.verdict.disposition == ("flagged" if kind == "mqtt" else "none")
    assert "verify.onnx: the model failed" in found.verdict.text
    assert found.screening is not None
    assert found.screening.score == pytest.approx(1, abs=2e-6)
    assert (found.screen_ms is not None, found.verify_ms) == (True, None)
    assert inspector.inspect(seen(100)).verdict.code == "unconfirmed"


@pytest.mark.parametrize(("code", "kind"), [("corrupt-file", "continuous"), ("no-image", "mqtt"), ("overflow", "mqtt")])
def test_a_frame_without_an_image_is_inconclusive(tmp_path, code, kind):
    """Its fault is the reason; no model runs."""
    fault = Fault(code, "clear/a.jpg: cannot be decoded")
    found = an_inspector(tmp_path).inspect(a_frame(fault=fault, trigger=Trigger(kind)))
    assert (found.verdict.outcome, found.verdict.code) == ("inconclusive", code)
    assert found.verdict.text == "clear/a.jpg: cannot be decoded"
    assert (found.screening, found.detections, found.screen_ms, found.verify_ms) == (None, (), None, None)


def test_a_frame_with_neither_image_nor_fault_is_a_mistake_of_ours(tmp_path):
    """Such a frame is refused, not judged."""
    with pytest.raises(ValueError, match="neither an image nor a fault"):
        an_inspector(tmp_path).inspect(a_frame())


def test_a_region_limits_both_stages(tmp_path):
    """Screening sees the region only, and boxes are in whole-frame pixels."""
    frame = seen(DARK)
    assert frame.image is not None
    frame.image[32:, 32:] = BRIGHT
    inspector = an_inspector(tmp_path, raw=one_box(0.91))
    assert inspector.inspect(frame, (0, 0, 32, 32)).verdict.code == "cleared"
    found = inspector.inspect(frame, (32, 32, 64, 64))
    assert found.verdict.code == "confirmed"
    assert found.detections[0].box == pytest.approx((32 + 19, 32 + 16.5, 32 + 29, 32 + 31.5), abs=0.02)
