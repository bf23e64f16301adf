"""From two stages' scores to an outcome, a disposition and the reason for both.

``judge`` compares only numbers that the record stores, so that a replay of the record gives the same
verdict bit for bit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.inspection.frame import Fault
from agent.inspection.screening import Screening

OUTCOMES = ("pass", "fail", "inconclusive")
DISPOSITIONS = ("none", "archive", "flagged")

REASONS: Mapping[str, str] = {
    "cleared": "screening was below its threshold, so verification did not look",
    "unconfirmed": "screening was suspicious and verification confirmed nothing",
    "confirmed": "at least one detection was at or above its class's threshold",
    "nothing-confirmed": "single-stage engine: no detection reached its class's threshold",
    "manual": "the engine's mode is manual: a person decides, nothing was computed",
    "late": "no verdict within the camera's deadline after the trigger",
    "overflow": "triggers came faster than they could be inspected and this one found no room",
    "no-image": "the trigger got no image from the camera",
    "corrupt-file": "the file cannot be decoded as an image",
    "region-outside": "the camera's region lies outside this picture",
    "crashed-twice": "the agent ended twice in a row while it had this file in hand",
    "inference-fault": "a model failed on this frame",
    "not-a-number": "a model answered with something that is not a finite number",
}
"""Every reason code of a record, and what it means."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a pack says about its scores.

    Attributes:
        screening: The screening threshold; None in a single-stage pack.
        threshold: For classes without their own.
        floor: Detections below it are not kept at all.
        per_class: Thresholds by label.
        action: Action thresholds by label; ``action_default`` for the rest.
        severity: By label; ``major`` for the rest.
    """

    screening: float | None
    threshold: float
    floor: float
    per_class: Mapping[str, float] = field(default_factory=dict)
    action: Mapping[str, float] = field(default_factory=dict)
    action_default: float = 0.95
    severity: Mapping[str, str] = field(default_factory=dict)

    def threshold_of(self, label: str) -> float:
        """At or above it a detection of this label is confirmed."""
        return self.per_class.get(label, self.threshold)


@dataclass(frozen=True, slots=True)
class Detection:
    """One detection as the record stores it.

    Attributes:
        label: The manifest's name for it.
        score: 0 to 1, rounded to 6 decimals.
        threshold: The label's threshold when it was judged.
        box: ``[x1, y1, x2, y2]`` in frame pixels, rounded to 2 decimals.
    """

    label: str
    score: float
    threshold: float
    box: tuple[float, float, float, float]

    @property
    def confirmed(self) -> bool:
        """Whether it counts."""
        return self.score >= self.threshold

    def to_json(self) -> dict[str, object]:
        """One entry of the record's ``detections``."""
        return {
            "label": self.label,
            "score": self.score,
            "threshold": self.threshold,
            "box": list(self.box),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about a frame.

    Attributes:
        outcome: ``pass``, ``fail`` or ``inconclusive``.
        disposition: ``none``, ``archive`` or ``flagged``.
        code: One of ``REASONS``.
        text: The reason as a sentence with its figures.
    """

    outcome: str
    disposition: str
    code: str
    text: str


def judge(screening: Screening | None, detections: Sequence[Detection], *, triggered: bool) -> Verdict:
    """Decide one frame from what its record stores.

    Args:
        screening: Stage 1's word; None in a single-stage pack.
        detections: Stage 2's, in frame pixels; empty when it did not look.
        triggered: Whether a part stands behind the frame; it decides who hears of an inconclusive one.
    """
    if not _finite(screening, detections):
        return inconclusive("not-a-number", REASONS["not-a-number"], triggered=triggered)
    if screening is not None and not screening.suspicious:
        text = f"screening {_compared(screening.score, '<', screening.threshold)}"
        return Verdict("pass", "none", "cleared", text)
    confirmed = [one for one in detections if one.confirmed]
    if confirmed:
        best = max(confirmed, key=lambda one: one.score)
        more = f" and {len(confirmed) - 1} more" if len(confirmed) > 1 else ""
        text = f"{best.label} {_compared(best.score, '>=', best.threshold)}{more}"
        return Verdict("fail", "flagged", "confirmed", text)
    if screening is None:
        return Verdict("pass", "none", "nothing-confirmed", _closest(detections))
    text = f"screening {_compared(screening.score, '>=', screening.threshold)}; {_closest(detections)}"
    return Verdict("pass", "archive", "unconfirmed", text)


def inconclusive(code: str, text: str, *, triggered: bool) -> Verdict:
    """The verdict on a frame that could not be judged: flagged where a part stands behind it."""
    return Verdict("inconclusive", "flagged" if triggered else "none", code, text)


def unjudged(fault: Fault, *, triggered: bool) -> Verdict:
    """The verdict on a frame that arrived without an image."""
    return inconclusive(fault.code, fault.text, triggered=triggered)


def _finite(screening: Screening | None, detections: Sequence[Detection]) -> bool:
    scores = [] if screening is None else [screening.score]
    scores += [value for one in detections for value in (one.score, *one.box)]
    return all(math.isfinite(value) for value in scores)


def _closest(detections: Sequence[Detection]) -> str:
    if not detections:
        return "nothing found"
    best = max(detections, key=lambda one: one.score - one.threshold)
    return f"closest is {best.label} {_compared(best.score, '<', best.threshold)}"


def _compared(score: float, sign: str, threshold: float) -> str:
    """Both figures with as many decimals as it takes for the sentence to read true."""
    for digits in range(2, 7):
        left, right = round(score, digits), round(threshold, digits)
        if (left >= right) == (sign == ">=") and (left != right or score == threshold):
            return f"{left:.{digits}f} {sign} {right:.{digits}f}"
    return f"{score} {sign} {threshold}"
