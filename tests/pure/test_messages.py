import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger.messages import FrameGap, alert_body, audit_body, frame_gap_body
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


@given(st.lists(st.integers(1, 1000), min_size=1, unique=True))
def test_a_gap_grows_to_hold_every_frame(numbers):
    """Frames joined one by one, in any order, give the gap from the lowest to the highest with their count."""
    gap = FrameGap("top", "b", numbers[0], numbers[0], 1)
    for number in numbers[1:]:
        gap = gap.joined(number)
    assert gap == FrameGap("top", "b", min(numbers), max(numbers), len(numbers))


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


@given(st.sets(st.integers(1, 1000), min_size=2), st.data())
def test_two_gaps_make_one(numbers, data):
    """Two gaps of one camera and boot merge into the gap that all their frames together would have made."""
    ordered = sorted(numbers)
    cut = data.draw(st.integers(1, len(ordered) - 1))
    one, other = (FrameGap("top", "b", part[0], part[-1], len(part)) for part in (ordered[:cut], ordered[cut:]))
    assert one.merged(other) == other.merged(one) == FrameGap("top", "b", ordered[0], ordered[-1], len(ordered))
