import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inspection.record import STAGES, Latency, Record
from agent.inspection.screening import Screening, score_of
from agent.ledger.rollups import (
    LATENCY_BOUNDS_MS,
    SCORE_BINS,
    LatencyCounts,
    Rollup,
    RollupKey,
    added,
    rollup_body,
)
from samples import MOMENT, a_detection, a_record

scores = st.floats(0, 1).map(score_of)
milliseconds = st.floats(0, 20_000).map(lambda value: round(value, 3))
labels = st.sampled_from(["open", "short", "spur"])


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record with any scores, kept or not, of one or two stages."""
    latency = Latency(draw(milliseconds), draw(st.none() | milliseconds), None, draw(milliseconds))
    return a_record(
        draw(st.none() | st.builds(Screening, scores, scores)),
        draw(st.lists(st.builds(a_detection, labels, scores, scores), max_size=3)),
        policy=draw(st.sampled_from(["all", "notable"])),
        latency=latency,
    )


def counted(some: list[Record]) -> dict[str, Any]:
    """The body of one rollup of these records, as a consumer reads it."""
    rollup = Rollup()
    for record in some:
        rollup.add(record)
    return json.loads(json.dumps(rollup.to_json(), allow_nan=False))  # type: ignore[no-any-return]


@given(st.lists(records(), max_size=12), st.lists(st.integers(0, 12), max_size=4))
def test_rollups_add_up(some, cuts):
    """However records are split over minutes, the sum of the rollups is the rollup of them all."""
    edges = [0, *sorted(min(cut, len(some)) for cut in cuts), len(some)]
    parts = [counted(some[left:right]) for left, right in pairwise(edges)]
    together, at_once = added(parts), counted(some)
    for stage in STAGES:
        sums = (body["latency_ms"][stage].pop("sum") for body in (together, at_once))
        assert next(sums) == pytest.approx(next(sums), abs=1e-6 + 1e-3 * len(parts))
    assert together == at_once


@given(st.lists(records(), max_size=12))
def test_every_frame_is_counted_in_each_way_once(some):
    """Outcomes, dispositions and reasons each add up to the frames, histograms to the scores behind them."""
    body = counted(some)
    assert body["frames"] == len(some)
    for counts in ("outcomes", "dispositions", "reasons"):
        assert sum(body[counts].values()) == len(some)
    assert body["recorded"] == sum(record.kept is not None for record in some)
    assert sum(body["screening_histogram"]) == sum(record.screening is not None for record in some)
    found = [one for record in some for one in record.detections]
    for label, histogram in body["score_histograms"].items():
        assert sum(histogram) == sum(one.label == label for one in found)
    confirmed = [one.label for one in found if one.confirmed]
    assert body["classes"] == {label: confirmed.count(label) for label in set(confirmed)}


def test_what_never_reached_the_line_is_counted_apart():
    """Replaced and skipped frames are counted, and are not among the inspected ones."""
    rollup = Rollup()
    rollup.add(a_record(), replaced=3, skipped=2)
    body = rollup.to_json()
    assert (body["frames"], body["replaced"], body["skipped"]) == (1, 3, 2)


@pytest.mark.parametrize(
    ("score", "place"),
    [*((round(step * 0.05, 2), step) for step in range(SCORE_BINS)), (0.049999, 0), (0.949999, 18), (1.0, 19)],
)
def test_a_score_falls_into_its_bin(score, place):
    """Bins are 0.05 wide and hold their lower edge; the last one holds 1 too."""
    histogram = counted([a_record(Screening(score, 0.3))])["screening_histogram"]
    assert histogram == [int(bin_ == place) for bin_ in range(SCORE_BINS)]


def test_a_frame_without_screening_is_in_no_screening_bin():
    """A single-stage frame adds nothing to the screening histogram."""
    assert sum(counted([a_record(None)])["screening_histogram"]) == 0


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (0.0, 0),
        (0.1, 0),  # an upper bound belongs to its bucket
        (0.101, 1),
        (1.0, LATENCY_BOUNDS_MS.index(1.0)),
        (1.001, LATENCY_BOUNDS_MS.index(1.0) + 1),
        (10_000.0, len(LATENCY_BOUNDS_MS) - 1),
        (10_000.001, len(LATENCY_BOUNDS_MS)),
        (1e9, len(LATENCY_BOUNDS_MS)),
    ],
)
def test_a_latency_falls_into_its_bucket(value, place):
    """A latency counts in the first bucket whose upper bound it does not exceed, else in the one above all."""
    counts = LatencyCounts()
    counts.add(value)
    assert counts.counts.index(1) == place
    assert (counts.sum, counts.max) == (value, value)


def test_latency_bounds_are_the_documented_ones():
    """The bounds are R10 steps from 0.1 ms to 10 s, strictly rising."""
    assert LATENCY_BOUNDS_MS[:11] == (0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8, 1.0)
    assert LATENCY_BOUNDS_MS[-1] == 10_000.0
    assert len(LATENCY_BOUNDS_MS) == 51
    assert list(LATENCY_BOUNDS_MS) == sorted(set(LATENCY_BOUNDS_MS))


def test_nothing_adds_up_to_nothing():
    """The sum of no rollups is an empty one."""
    assert added([]) == Rollup().to_json()


def test_a_sealed_rollup_says_what_it_is_about():
    """The body names camera, engine, runtime, role, minute, and why it was closed, beside the counts."""
    key = RollupKey("b", "top", "pcb-trace-v1.0", "4be1", "onnx-cpu", "active", 17)
    minute = "2026-11-22T09:00:00.000000Z"
    body = rollup_body(MOMENT.to_json(), key, counted([a_record()]), minute=minute, closed="stop")
    about = {
        "camera": "top",
        "engine": "pcb-trace-v1.0",
        "engine_digest": "4be1",
        "runtime": "onnx-cpu",
        "role": "active",
        "minute": minute,
        "monotonic_minute": 17,
        "closed": "stop",
        "frames": 1,
    }
    assert {name: body[name] for name in about} == about
    assert list(body)[:3] == ["at", "clock", "monotonic_ns"]
