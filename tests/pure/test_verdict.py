import json
import math
import operator
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inspection.frame import Fault
from agent.inspection.record import detections_json
from agent.inspection.screening import Screening, score_of
from agent.inspection.verdict import (
    DISPOSITIONS,
    OUTCOMES,
    REASONS,
    Detection,
    Rules,
    Verdict,
    inconclusive,
    judge,
    unjudged,
)
from samples import a_detection, a_record

CLEARED = Screening(0.2, 0.3)
SUSPICIOUS = Screening(0.93, 0.3)
CONFIRMED = a_detection("short", 0.91)
DOUBTED = a_detection("open", 0.4)

scores = st.floats(0, 1).map(score_of)
labels = st.sampled_from(["open", "short", "spur"])
detections = st.lists(st.builds(a_detection, labels, scores, scores), max_size=5)
screenings = st.none() | st.builds(Screening, scores, scores)


@pytest.mark.parametrize(
    ("screening", "found", "outcome", "disposition", "code"),
    [
        (CLEARED, [], "pass", "none", "cleared"),
        (SUSPICIOUS, [], "pass", "archive", "unconfirmed"),
        (SUSPICIOUS, [DOUBTED], "pass", "archive", "unconfirmed"),
        (SUSPICIOUS, [CONFIRMED], "fail", "flagged", "confirmed"),
        (SUSPICIOUS, [DOUBTED, CONFIRMED], "fail", "flagged", "confirmed"),
        (None, [], "pass", "none", "nothing-confirmed"),  # single-stage pack
        (None, [DOUBTED], "pass", "none", "nothing-confirmed"),
        (None, [CONFIRMED], "fail", "flagged", "confirmed"),
    ],
)
@pytest.mark.parametrize("triggered", [False, True])
def test_the_outcome_table(screening, found, outcome, disposition, code, triggered):
    """What the two stages say decides outcome, disposition and reason, whatever asked for the frame."""
    verdict = judge(screening, found, triggered=triggered)
    assert (verdict.outcome, verdict.disposition, verdict.code) == (outcome, disposition, code)


@pytest.mark.parametrize(
    "code",
    [
        "manual",
        "late",
        "overflow",
        "no-image",
        "corrupt-file",
        "crashed-twice",
        "inference-fault",
        "not-a-number",
    ],
)
@pytest.mark.parametrize(("triggered", "disposition"), [(True, "flagged"), (False, "none")])
def test_what_could_not_be_judged_is_inconclusive(code, triggered, disposition):
    """A frame that cannot be judged is inconclusive, and flagged where a part stands behind it."""
    expected = Verdict("inconclusive", disposition, code, REASONS[code])
    assert inconclusive(code, REASONS[code], triggered=triggered) == expected
    assert unjudged(Fault(code, REASONS[code]), triggered=triggered) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("screening", "found"),
    [
        (lambda x: Screening(x, 0.3), lambda _: []),
        (lambda _: CLEARED, lambda x: [a_detection(score=x)]),
        (lambda _: None, lambda x: [CONFIRMED, a_detection(score=x)]),
        (lambda _: SUSPICIOUS, lambda x: [CONFIRMED, a_detection(box=(0.0, 0.0, x, 1.0))]),
    ],
    ids=["screening", "detection of a cleared frame", "beside a confirmed one", "box"],
)
def test_one_number_that_is_none_makes_the_frame_inconclusive(value, screening, found):
    """A NaN or an infinity anywhere, beside whatever else was found, leaves the frame inconclusive."""
    verdict = judge(screening(value), found(value), triggered=True)
    assert (verdict.outcome, verdict.disposition, verdict.code) == (
        "inconclusive",
        "flagged",
        "not-a-number",
    )


@pytest.mark.parametrize(
    ("score", "threshold", "confirmed"),
    [(0.7, 0.7, True), (0.699999, 0.7, False), (0.700001, 0.7, True), (1.0, 1.0, True), (0.0, 0.0, True)],
)
def test_at_the_threshold_is_confirmed(score, threshold, confirmed):
    """A detection at or above its class's threshold is confirmed; a millionth below it is not."""
    one = a_detection(score=score, threshold=threshold)
    assert one.confirmed is confirmed
    assert (judge(None, [one], triggered=False).outcome == "fail") is confirmed


def test_each_class_has_its_own_threshold():
    """A class without a threshold of its own takes the pack's."""
    rules = Rules(screening=0.3, threshold=0.7, floor=0.05, per_class={"open": 0.55})
    assert rules.threshold_of("open") == 0.55
    assert rules.threshold_of("short") == 0.7


@given(screenings, detections)
def test_every_verdict_is_made_of_known_words(screening, found):
    """Outcome, disposition and code are from the fixed lists, and every verdict has a text."""
    verdict = judge(screening, found, triggered=False)
    assert verdict.outcome in OUTCOMES
    assert verdict.disposition in DISPOSITIONS
    assert verdict.code in REASONS
    assert verdict.text


@given(screenings, detections.filter(bool), st.data())
def test_a_higher_score_never_turns_fail_into_pass(screening, found, data):
    """Raising any one score, of screening or of a detection, keeps a failed part failed."""
    before = judge(screening, found, triggered=False)
    place = data.draw(st.integers(0, len(found) - 1))
    higher = score_of(data.draw(st.floats(found[place].score, 1)))
    raised = [*found[:place], replace(found[place], score=higher), *found[place + 1 :]]
    surer = screening and replace(screening, score=score_of(data.draw(st.floats(screening.score, 1))))
    for after in (judge(screening, raised, triggered=False), judge(surer, found, triggered=False)):
        assert before.outcome != "fail" or after.outcome == "fail"


@given(screenings, detections, st.randoms(use_true_random=False))
def test_the_order_of_detections_decides_nothing(screening, found, random):
    """Outcome, disposition and code are the same for the detections in any order."""
    shuffled = list(found)
    random.shuffle(shuffled)
    one, other = (judge(screening, order, triggered=False) for order in (found, shuffled))
    assert (one.outcome, one.disposition, one.code) == (other.outcome, other.disposition, other.code)


@given(screenings, detections)
def test_the_reason_reads_true(screening, found):
    """Every comparison that a reason prints is true for the figures as printed."""
    text = judge(screening, found, triggered=False).text
    signs = {">=": operator.ge, "<": operator.lt}
    figures = re.findall(r"([\d.e-]+) (>=|<) ([\d.e-]+)", text)
    assert len(figures) >= (screening is not None)
    for left, sign, right in figures:
        assert signs[sign](float(left), float(right)), text


@pytest.mark.parametrize(
    ("screening", "found", "text"),
    [
        (SUSPICIOUS, [CONFIRMED], "short 0.91 >= 0.70"),
        (SUSPICIOUS, [DOUBTED, CONFIRMED, a_detection("open", 0.8)], "short 0.91 >= 0.70 and 1 more"),
        (CLEARED, [], "screening 0.20 < 0.30"),
        (Screening(0.299999, 0.3), [], "screening 0.299999 < 0.300000"),  # 0.30 < 0.30 would be false
        (Screening(0.3, 0.3), [], "screening 0.30 >= 0.30; nothing found"),
        (Screening(0.301, 0.3), [DOUBTED], "screening 0.301 >= 0.300; closest is open 0.40 < 0.70"),
        (None, [a_detection("spur", 0.65), DOUBTED], "closest is spur 0.65 < 0.70"),
        (None, [a_detection("spur", 0.5, 0.9), DOUBTED], "closest is open 0.40 < 0.70"),
        (None, [], "nothing found"),
    ],
)
def test_reasons_as_a_person_reads_them(screening, found, text):
    """A reason names the label and both figures, with as many decimals as it takes to be true."""
    assert judge(screening, found, triggered=False).text == text


def replayed(body: dict) -> Verdict:
    """The verdict again, from nothing but what the record stores."""
    stored = body["screening"]
    screening = stored and Screening(stored["score"], stored["threshold"])
    triggered = body["trigger"]["kind"] == "mqtt"
    return judge(screening, detections_json(body["detections"]), triggered=triggered)


@given(screenings, detections)
def test_a_replay_equals_the_live_decision(screening, found):
    """A record written as JSON and read again is judged the same bit for bit, text included."""
    record = a_record(screening, found)
    body = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert replayed(body) == record.verdict
    assert detections_json(body["detections"]) == record.detections


def test_every_detection_says_why_it_counts():
    """A detection in the record carries label, score, its own threshold and its box."""
    assert Detection("open", 0.5, 0.7, (1.0, 2.0, 3.0, 4.0)).to_json() == {
        "label": "open",
        "score": 0.5,
        "threshold": 0.7,
        "box": [1.0, 2.0, 3.0, 4.0],
    }
