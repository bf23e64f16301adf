"""The body of `up/health`, from what the sensors read and what the line counted. Pure.

The line hands over totals that only ever grow; two of them make a window. So nobody has to reset a
counter, a lost health message (QoS 0) loses no count, and two readers do not disturb each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

SCHEMA: Final = "fieldgate.health/1"

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one stage took, since the process started.

    Attributes:
        counts: Frames per bucket. Bucket 0 reaches from 0 to the first bound, bucket i from above
            bound i - 1 to bound i, and one more bucket holds everything above the last bound.
        sum_ms: All those times added up, milliseconds.
    """

    counts: tuple[int, ...]
    sum_ms: float


@dataclass(frozen=True, slots=True)
class LineTotals:
    """What the line has counted since the process started, taken at one moment. Nothing here falls.

    Attributes:
        monotonic_ns: That moment, monotonic clock.
        frames: Frames that got a verdict.
        errors: Frames that could not be judged (faults of inference, corrupt files, NaN, late).
        replaced: Live frames that a newer one replaced before they were inspected.
        skipped: Frames the line passed over on purpose, to hold its pace.
        overflow: Triggered frames for which there was no room in the queue.
        latency: Per stage (`wait`, `screen`, `verify`, `total`); a stage that never ran may be missing.
    """

    monotonic_ns: int
    frames: int
    errors: int
    replaced: int
    skipped: int
    overflow: int
    latency: Mapping[str, Latency]


def quantile(bounds: Sequence[float], counts: Sequence[int], q: float) -> float | None:
    """Estimate a quantile of times that were only counted per bucket.

    Takes the bucket that holds the value of rank ceil(q * n) and interpolates linearly inside it (as
    Prometheus' histogram_quantile does). The value of that rank lies in the same bucket, so the
    estimate is wrong by less than the bucket's width. Above the last bound nothing is known but that:
    the last bound is returned and means "at least".

    Args:
        bounds: Upper bounds of all buckets but the last, rising, greater than 0, milliseconds.
        counts: Values per bucket, one more than bounds.
        q: 0 to 1.

    Returns:
        Milliseconds, or None if nothing was counted.

    Raises:
        ValueError: If the lengths do not fit or q is out of range.
    """
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"{len(bounds)} bounds make {len(bounds) + 1} buckets; got {len(counts)}")
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile lies between 0 and 1; got {q}")
    rank = q * sum(counts)
    for bucket, (count, reached) in enumerate(zip(counts, accumulate(counts), strict=True)):
        if count and reached >= rank:
            if bucket == len(bounds):
                return bounds[-1] if bounds else None
            low = bounds[bucket - 1] if bucket else 0.0
            return low + (bounds[bucket] - low) * (rank - (reached - count)) / count
    return None


def line_figures(
    before: LineTotals, now: LineTotals, *, bounds: Sequence[float], backlog: Mapping[str, int]
) -> dict[str, object]:
    """Turn two totals into the table `line` of the body.

    Args:
        before: The earlier totals; the window lasts from these to `now`.
        now: The later totals.
        bounds: The upper bounds of the latency buckets, milliseconds.
        backlog: What waits at this moment, by where it waits.

    Returns:
        `window_s`, `images_per_s` and `latency_ms` of the window; `frames`, `errors` and `drops` since
        the process started; `backlog` now. A figure that the window cannot give is None.
    """
    window_s = (now.monotonic_ns - before.monotonic_ns) / _NS
    frames = now.frames - before.frames
    return {
        "window_s": round(window_s, 3),
        "images_per_s": round(frames / window_s, 3) if window_s > 0 else None,
        "latency_ms": {
            stage: _stage(before.latency.get(stage), latency, bounds) for stage, latency in now.latency.items()
        },
        "frames": now.frames,
        "errors": now.errors,
        "drops": {
            "replaced": now.replaced,
            "skipped": now.skipped,
            "overflow": now.overflow,
        },
        "backlog": dict(backlog),
    }


def _stage(before: Latency | None, now: Latency, bounds: Sequence[float]) -> dict[str, object]:
    """Summarise one stage's window: how many frames, their average, p95 and p99."""
    earlier = before or Latency((0,) * len(now.counts), 0.0)
    counts = [new - old for new, old in zip(now.counts, earlier.counts, strict=True)]
    frames = sum(counts)
    return {
        "frames": frames,
        "average": _rounded((now.sum_ms - earlier.sum_ms) / frames) if frames else None,
        "p95": _rounded(quantile(bounds, counts, 0.95)),
        "p99": _rounded(quantile(bounds, counts, 0.99)),
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)


def health_body(
    *,
    envelope: Mapping[str, object],
    host: Mapping[str, object],
    line: Mapping[str, object],
    ledger: Mapping[str, object],
    budget: Mapping[str, object] | None,
) -> dict[str, object]:
    """Put the body of `up/health` together.

    Args:
        envelope: Who says it and when: `site`, `device`, `boot`, `at`, as the caller has them.
        host: What the sensors read.
        line: From `line_figures`.
        ledger: `epoch`, `head`, `settled`, `oldest_kept`, as in `up/status`.
        budget: What the store uses of the disk, with its limits; None where that is not known now.

    Returns:
        A dictionary for JSON; `schema` comes first and cannot be replaced by the envelope.
    """
    return {
        "schema": SCHEMA,
        **{key: value for key, value in envelope.items() if key != "schema"},
        "host": dict(host),
        "line": dict(line),
        "ledger": dict(ledger),
        "budget": budget,
    }
