"""What happens to one frame: screen, verify where suspicious, judge. No threads, no storage."""

import math
import time
from dataclasses import dataclass

from agent.engine.loading import Engine
from agent.engine.preparation import Region
from agent.errors import InferenceError
from agent.inspection.frame import Frame
from agent.inspection.screening import Screening
from agent.inspection.verdict import Detection, Verdict, inconclusive, judge, unjudged


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspector found out about one frame.

    Attributes:
        screening: Stage 1's word; None when it did not run.
        detections: Stage 2's, in frame pixels; empty when it did not run.
        verdict: What follows.
        screen_ms: Time in stage 1; None when it did not run.
        verify_ms: Time in stage 2; None when it did not run.
    """

    screening: Screening | None
    detections: tuple[Detection, ...]
    verdict: Verdict
    screen_ms: float | None
    verify_ms: float | None


class Inspector:
    """Inspects frames with one engine, on one thread.

    Args:
        engine: Loaded and warm.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.facts = engine.facts

    def inspect(self, frame: Frame, region: Region | None = None) -> Inspection:
        """Decide one frame. A frame without an image, or a model that fails, is inconclusive."""
        triggered = frame.trigger.triggered
        if frame.fault is not None:
            return unlooked(unjudged(frame.fault, triggered=triggered))
        if frame.image is None:
            raise ValueError(f"frame {frame.number} of {frame.camera} has neither an image nor a fault")
        screening: Screening | None = None
        screen_ms: float | None = None
        start = time.perf_counter_ns()
        try:
            if self.engine.screening is not None:
                screening = self.engine.screening.screen(frame.image, region)
                start, screen_ms = _lap(start)
                if not screening.suspicious and screening.score >= 0:  # NaN goes on, to be judged as such
                    return Inspection(screening, (), judge(screening, (), triggered=triggered), screen_ms, None)
            detections = self.engine.verification.verify(frame.image, region)
        except InferenceError as error:
            verdict = inconclusive("inference-fault", str(error), triggered=triggered)
            return Inspection(_sayable(screening), (), verdict, screen_ms, None)
        verdict = judge(screening, detections, triggered=triggered)
        _, verify_ms = _lap(start)
        if verdict.code == "not-a-number":
            return Inspection(_sayable(screening), (), verdict, screen_ms, verify_ms)
        return Inspection(screening, detections, verdict, screen_ms, verify_ms)


def unlooked(verdict: Verdict) -> Inspection:
    """An inspection in which no model ran."""
    return Inspection(None, (), verdict, None, None)


def _sayable(screening: Screening | None) -> Screening | None:
    """A screening that a record can hold: JSON has no NaN, so what such a model said cannot be kept."""
    return screening if screening is not None and math.isfinite(screening.score) else None


def _lap(start_ns: int) -> tuple[int, float]:
    now = time.perf_counter_ns()
    return now, (now - start_ns) / 1e6
