import json

import pytest

from agent.ledger.gaps import FrameGap, frame_gap_body
from agent.ledger.messages import alert_body, audit_body
from agent.ledger.rollups import Rollup, RollupKey, rollup_body
from agent.ledger.sealing import FIRST_PREV, seal
from samples import MOMENT, a_draft, a_record

WHEN = {"at": "2026-11-22T09:00:00.123456Z", "clock": "synced", "monotonic_ns": 81_230_011}

ALERT = alert_body(
    MOMENT, code="disk-low", severity="warning", raised=True, about="store", text="x", figure=1.5, limit=2.0
)
AUDIT = audit_body(MOMENT, what="mode", old="shadow", new="production", by="ada", reason="go-live", way="cli")
GAP = frame_gap_body(MOMENT, FrameGap("top", "b", 3, 9, 5), code="disk-full", text="the disk was full")
ROLLUP = rollup_body(
    WHEN, RollupKey("b", "top", "e", "d", "r", "active", 1), Rollup().to_json(), minute="m", closed="stop"
)


def test_an_alert_says_what_where_and_how_far():
    """An alert carries its code, severity, state, what it is about, the figure and its limit, and a sentence."""
    expected = {
        **WHEN,
        "code": "disk-low",
        "severity": "warning",
        "state": "raised",
        "about": "store",
        "figure": 1.5,
        "limit": 2.0,
        "text": "x",
    }
    assert expected == ALERT


def test_an_alert_that_is_over_says_so():
    """The end of an alert is the state cleared; without a figure both figure and limit are null."""
    body = alert_body(MOMENT, code="c", severity="info", raised=False, about="top", text="x")
    assert (body["state"], body["figure"], body["limit"]) == ("cleared", None, None)


def test_an_audit_message_says_who_changed_what_and_why():
    """A change carries what it was, what it is, who made it, why, and by which way."""
    change = {"what": "mode", "old": "shadow", "new": "production"}
    assert {**WHEN, **change, "by": "ada", "reason": "go-live", "way": "cli"} == AUDIT


def test_a_gap_names_the_frames_that_will_never_come():
    """A gap of frames names camera, boot, the first and last number, how many, and the reason."""
    frames = {"camera": "top", "boot": "b", "from": 3, "to": 9, "count": 5}
    assert {
        **WHEN,
        "frames": frames,
        "reason": {"code": "disk-full", "text": "the disk was full"},
    } == GAP


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("alerts", ALERT),
        ("audit", AUDIT),
        ("gaps", GAP),
        ("rollups", ROLLUP),
        ("inspections", a_record().to_json()),
    ],
    ids=["alert", "audit", "gap", "rollup", "record"],
)
def test_no_body_touches_the_envelope(kind, body):
    """A body of any kind seals, and has no field of the envelope's names that would take its place."""
    message = json.loads(seal(a_draft({}, kind=kind), epoch="e", seq=1, prev=FIRST_PREV).body)
    assert not set(message) & set(body)
    sealed = json.loads(seal(a_draft(body, kind=kind), epoch="e", seq=1, prev=FIRST_PREV).body)
    assert sealed == {**message, **body}
