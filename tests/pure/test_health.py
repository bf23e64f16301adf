import json
import math
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.monitor.health import (
    Latency,
    LineTotals,
    health_body,
    line_figures,
    quantile,
)

BOUNDS = (10.0, 20.0, 50.0, 100.0)


def counted(values: list[float], bounds: tuple[float, ...] = BOUNDS) -> tuple[int, ...]:
    """Count values into buckets as the ledger's rollups do."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return tuple(counts)


def totals(
    *,
    at_s: float = 0,
    frames: int = 0,
    errors: int = 0,
    drops: tuple[int, int, int] = (0, 0, 0),
    latency: dict[str, Latency] | None = None,
) -> LineTotals:
    """Totals of a line of which only the named figures matter."""
    return LineTotals(
        monotonic_ns=round(at_s * 1e9),
        frames=frames,
        errors=errors,
        replaced=drops[0],
        skipped=drops[1],
        overflow=drops[2],
        latency=latency or {},
    )


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        pytest.param((0, 0, 0, 0, 0), 0.5, None, id="nothing counted"),
        pytest.param((10, 0, 0, 0, 0), 0.5, 5.0, id="half of the first bucket, from 0"),
        pytest.param((10, 0, 0, 0, 0), 1.0, 10.0, id="the end of a bucket is its bound"),
        pytest.param((5, 5, 0, 0, 0), 0.95, 19.0, id="nine tenths of the second bucket"),
        pytest.param((1, 0, 0, 1, 0), 0.5, 10.0, id="exactly between two buckets"),
        pytest.param((0, 0, 0, 4, 0), 0.0, 50.0, id="the lowest begins at its bucket"),
        pytest.param((99, 0, 0, 0, 1), 0.995, 100.0, id="above the last bound: at least that"),
        pytest.param((0, 0, 0, 0, 3), 0.5, 100.0, id="everything above the last bound"),
    ],
)
def test_quantile(counts: tuple[int, ...], q: float, expected: float | None) -> None:
    """A quantile is interpolated inside the bucket that holds its rank."""
    assert quantile(BOUNDS, counts, q) == pytest.approx(expected)


@given(
    values=st.lists(st.floats(0.001, 100), min_size=1, max_size=200),
    q=st.floats(0, 1),
)
def test_quantile_is_off_by_less_than_a_bucket(values: list[float], q: float) -> None:
    """The estimate lies in the bucket of the true value of that rank, whatever the values."""
    true = sorted(values)[max(math.ceil(q * len(values)), 1) - 1]
    bucket = bisect_left(BOUNDS, true)
    low = BOUNDS[bucket - 1] if bucket else 0.0
    estimate = quantile(BOUNDS, counted(values), q)
    assert estimate is not None
    assert low - 1e-9 <= estimate <= BOUNDS[bucket] + 1e-9


@given(
    counts=st.lists(st.integers(0, 1000), min_size=5, max_size=5),
    qs=st.lists(st.floats(0, 1), min_size=2, max_size=5),
)
def test_quantiles_never_fall(counts: list[int], qs: list[float]) -> None:
    """A higher quantile is never a shorter time."""
    estimates = [quantile(BOUNDS, counts, q) for q in sorted(qs)]
    known = [estimate for estimate in estimates if estimate is not None]
    assert len(known) in {0, len(qs)}
    assert all(low <= high + 1e-9 for low, high in pairwise(known))


@pytest.mark.parametrize(
    ("bounds", "counts", "q", "says"),
    [
        (BOUNDS, (1, 2, 3, 4), 0.5, "4 bounds make 5 buckets; got 4"),
        (BOUNDS, (1, 2, 3, 4, 5), 1.5, "between 0 and 1; got 1.5"),
        (BOUNDS, (1, 2, 3, 4, 5), math.nan, "between 0 and 1; got nan"),
    ],
)
def test_quantile_refuses(bounds: tuple[float, ...], counts: tuple[int, ...], q: float, says: str) -> None:
    """Counts that do not fit the bounds, and a quantile that is none, are refused with both values."""
    with pytest.raises(ValueError, match=says):
        quantile(bounds, counts, q)


def test_a_window_lies_between_two_totals() -> None:
    """Rate and latency are of the window; frames, errors and drops since the start; backlog now."""
    first, second = [5.0] * 10, [15.0] * 19 + [80.0]
    before = totals(at_s=100, frames=10, latency={"total": Latency(counted(first), sum(first))})
    now = totals(
        at_s=110,
        frames=30,
        errors=2,
        drops=(7, 1, 3),
        latency={"total": Latency(counted(first + second), sum(first + second))},
    )
    assert line_figures(before, now, bounds=BOUNDS, backlog={"outbox": 5}) == {
        "window_s": 10.0,
        "images_per_s": 2.0,
        "latency_ms": {"total": {"frames": 20, "average": 18.25, "p95": 20.0, "p99": 90.0}},
        "frames": 30,
        "errors": 2,
        "drops": {"replaced": 7, "skipped": 1, "overflow": 3},
        "backlog": {"outbox": 5},
    }


def test_a_window_without_frames() -> None:
    """A window in which nothing was inspected has the rate 0 and no latency."""
    latency = {"screen": Latency(counted([5.0]), 5.0)}
    before, now = totals(frames=1, latency=latency), totals(at_s=30, frames=1, latency=latency)
    figures = line_figures(before, now, bounds=BOUNDS, backlog={})
    assert figures["images_per_s"] == 0.0
    assert figures["latency_ms"] == {"screen": {"frames": 0, "average": None, "p95": None, "p99": None}}


def test_a_window_without_length() -> None:
    """Two totals of the same moment have no rate."""
    figures = line_figures(totals(), totals(frames=1), bounds=BOUNDS, backlog={})
    assert figures["images_per_s"] is None


def test_a_stage_that_begins_within_the_window() -> None:
    """A stage that had never run before counts from nothing (verification, before the first defect)."""
    now = totals(at_s=1, frames=1, latency={"verify": Latency(counted([30.0]), 30.0)})
    figures = line_figures(totals(), now, bounds=BOUNDS, backlog={})
    assert figures["latency_ms"] == {"verify": {"frames": 1, "average": 30.0, "p95": 48.5, "p99": 49.7}}


def test_the_body() -> None:
    """The body names its schema, who says it, the host, the line, the ledger and the budget, and is JSON."""
    body = health_body(
        envelope={"site": "plant-a", "device": "cam-7", "schema": "else"},
        host={"clock": "synced"},
        line=line_figures(totals(), totals(at_s=30), bounds=BOUNDS, backlog={}),
        ledger={"epoch": "e", "head": 12, "settled": 10, "oldest_kept": 1},
        budget={"ballast": "held"},
    )
    assert list(body) == ["schema", "site", "device", "host", "line", "ledger", "budget"]
    assert body["schema"] == "fieldgate.health/1"
    assert json.loads(json.dumps(body, allow_nan=False)) == body
