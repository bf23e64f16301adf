import json
import math
from typing import Any

import numpy as np
import pytest

from agent.inspection.frame import Moment, Subject, Trigger, utc_text
from agent.inspection.record import (
    Evidence,
    Latency,
    audit_draw,
    kept_as,
)
from agent.inspection.screening import Screening
from agent.inspection.verdict import REASONS, Verdict, inconclusive
from agent.ledger.sealing import FIRST_PREV, Draft, seal
from samples import MOMENT, ORIGIN, a_detection, a_frame, a_record

TOLD = Trigger("mqtt", {"shift": "B"}, arrived_ns=7, token="secret-of-the-asker")
PART = Subject(part="A-17", batch="221", asset="press-4", location="hall 2")


def test_a_record_has_the_documented_shape():
    """A sealed record carries the documented fields, in the documented order, and nothing else."""
    record = a_record(
        Screening(0.93, 0.3), [a_detection()], policy="notable", number=88123, trigger=TOLD, subject=PART
    ).with_evidence(Evidence("ab" * 32, 18211, 640, 640))
    draft = Draft("inspections", "0193", ORIGIN, record.to_json())
    message = json.loads(seal(draft, epoch="e", seq=10482, prev=FIRST_PREV).body)
    expected = {
        "schema": "fieldgate.inspection/1", "id": "0193", "site": "plant-a", "device": "cam-7",
        "boot": ORIGIN.boot, "kernel_boot": ORIGIN.kernel_boot, "epoch": "e", "seq": 10482,
        "prev": FIRST_PREV, "captured_at": "2026-11-22T09:00:00.123456Z", "clock": "synced",
        "monotonic_ns": 81230011, "camera": "top", "frame": 88123, "source": None,
        "trigger": {"kind": "mqtt", "metadata": {"shift": "B"}},
        "subject": {"part": "A-17", "batch": "221", "serial": None, "asset": "press-4",
                    "location": "hall 2", "recipe": None},
        "engine": "pcb-trace-v1.0", "engine_digest": "4be1", "runtime": "onnx-cpu", "agent": "0.1.0",
        "role": "active", "mode": "shadow", "kept": "fail", "audit_rate": 0.001,
        "screening": {"score": 0.93, "threshold": 0.3, "suspicious": True},
        "detections": [
            {"label": "short", "score": 0.91, "threshold": 0.7, "box": [11.0, 20.5, 42.0, 55.0]}
        ],
        "outcome": "fail", "disposition": "flagged",
        "reason": {"code": "confirmed", "text": "short 0.91 >= 0.70"},
        "latency_ms": {"wait": 1.2, "screen": 6.1, "verify": 19.8, "total": 27.6},
        "evidence": {"sha256": "ab" * 32, "bytes": 18211, "width": 640, "height": 640},
        "evidence_reason": None,
    }  # fmt: skip
    assert message == expected
    assert list(message) == list(expected)


def test_whose_question_it_was_stays_inside():
    """The token that routes an answer back to its asker is not part of the record."""
    assert "secret-of-the-asker" not in json.dumps(a_record(trigger=TOLD).to_json())


def test_a_record_lets_go_of_the_picture():
    """A record without pixels says the same as the one with them."""
    record = a_record(image=np.zeros((4, 4, 3), np.uint8))
    light = record.without_pixels()
    assert light.frame.image is None
    assert light.to_json() == record.to_json()


@pytest.mark.parametrize("reason", ["not-wanted", "queue-full", "failed"])
def test_missing_evidence_has_a_reason(reason):
    """A record without a JPEG says why there is none."""
    body = a_record().with_evidence(Evidence("ab", 1, 2, 3)).without_evidence(reason).to_json()
    assert body["evidence"] is None
    assert body["evidence_reason"] == reason


def test_latency_has_microseconds_and_says_what_did_not_run():
    """Latencies are rounded to microseconds; a stage that did not run is null, not zero."""
    body = Latency(wait=1.23456, screen=2.0, verify=None, total=3.9999999).to_json()
    assert body == {"wait": 1.235, "screen": 2.0, "verify": None, "total": 4.0}


FAIL = Verdict("fail", "flagged", "confirmed", "")
CLEARED = Verdict("pass", "none", "cleared", "")
ARCHIVE = Verdict("pass", "archive", "unconfirmed", "")
SINGLE = Verdict("pass", "none", "nothing-confirmed", "")
CORRUPT = inconclusive("corrupt-file", "", triggered=False)
MANUAL = inconclusive("manual", "", triggered=False)


@pytest.mark.parametrize(
    ("verdict", "policy", "triggered", "audited", "kept"),
    [
        (CLEARED, "all", False, False, "all"),
        (FAIL, "all", False, False, "all"),
        (CORRUPT, "all", False, True, "all"),
        (FAIL, "notable", False, False, "fail"),
        (FAIL, "notable", False, True, "fail"),  # it would have been kept without the sample
        (CORRUPT, "notable", False, False, "inconclusive"),
        (CORRUPT, "notable", True, False, "inconclusive"),
        (ARCHIVE, "notable", False, False, "archive"),
        (CLEARED, "notable", False, False, None),
        (CLEARED, "notable", False, True, "audit"),
        (SINGLE, "notable", False, False, None),
        (SINGLE, "notable", False, True, "audit"),
        (MANUAL, "notable", False, False, None),  # only counted
        (MANUAL, "notable", False, True, None),
        (MANUAL, "notable", True, False, "all"),
        (MANUAL, "all", False, False, "all"),
    ],
)
def test_what_becomes_a_record(verdict, policy, triggered, audited, kept):
    """The camera's policy, the verdict and the audit sample decide whether a record is kept, and as what."""
    assert kept_as(verdict, policy=policy, triggered=triggered, audited=audited) == kept


def test_the_audit_sample_is_as_large_as_asked():
    """Of 20,000 frames about one in a hundred is drawn at a rate of 0.01, within five standard deviations."""
    count, rate = 20_000, 0.01
    drawn = sum(audit_draw(seed=3, boot="b", camera="top", number=n) < rate for n in range(1, count + 1))
    assert abs(drawn - count * rate) <= 5 * math.sqrt(count * rate * (1 - rate))


def test_the_audit_sample_is_reproducible():
    """The draw follows from seed, boot, camera and number, and changes with each of them."""
    known: dict[str, Any] = {"seed": 1, "boot": "b", "camera": "top", "number": 7}
    first = audit_draw(**known)
    assert audit_draw(**known) == first
    others: list[dict[str, Any]] = [{"seed": 2}, {"boot": "c"}, {"camera": "left"}, {"number": 8}]
    assert len({first, *(audit_draw(**{**known, **other}) for other in others)}) == 5
    assert 0 <= first < 1


def test_a_trigger_overrides_what_the_camera_says():
    """What a trigger knows about the subject wins; what it does not say stays the camera's."""
    camera = Subject(asset="press-4", location="hall 2", batch="220")
    told = Subject(part="A-17", batch="221")
    assert camera.overridden(told) == PART
    assert camera.overridden(Subject()) == camera


@pytest.mark.parametrize(
    ("kind", "triggered"),
    [("continuous", False), ("interval", False), ("mqtt", True), ("gpio", True), ("http", True), ("manual", True)],
)
def test_which_triggers_stand_for_a_part(kind, triggered):
    """A frame that somebody asked for may not vanish; one of a free-running camera may."""
    assert a_frame(trigger=Trigger(kind)).trigger.triggered is triggered


def test_times_are_utc_with_microseconds():
    """Moments are written in UTC with six decimals and a Z, also on a full second."""
    assert utc_text(MOMENT.wall.replace(microsecond=0)) == "2026-11-22T09:00:00.000000Z"
    later = Moment(MOMENT.wall, 5, "unset")
    assert later.to_json() == {"at": "2026-11-22T09:00:00.123456Z", "clock": "unset", "monotonic_ns": 5}


def test_every_reason_code_is_explained():
    """Each reason code is a short lower-case word with hyphens, and has a sentence."""
    assert all(code == code.lower() and " " not in code for code in REASONS)
    assert all(len(text.split()) >= 4 for text in REASONS.values())
