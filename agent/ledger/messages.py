"""The bodies of ledger messages that are not records or rollups: alerts, audit, gaps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.inspection.frame import Moment


def alert_body(
    moment: Moment,
    *,
    code: str,
    severity: str,
    raised: bool,
    about: str,
    text: str,
    figure: float | None = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """An alert, raised or cleared.

    Args:
        moment: When.
        code: What kind of trouble, such as ``mode-file``.
        severity: ``info``, ``warning`` or ``critical``.
        raised: True when it begins, False when it is over.
        about: The camera, engine or part of the agent it concerns.
        text: What happened and what to do, for a person.
        figure: The value that crossed a limit, where there is one.
        limit: That limit.
    """
    return {
        **moment.to_json(),
        "code": code,
        "severity": severity,
        "state": "raised" if raised else "cleared",
        "about": about,
        "figure": figure,
        "limit": limit,
        "text": text,
    }


def audit_body(
    moment: Moment, *, what: str, old: object, new: object, by: str, reason: str, way: str
) -> dict[str, Any]:
    """A change that somebody made: who, why, and by which way (``cli``, ``mqtt``, ``config``)."""
    return {
        **moment.to_json(),
        "what": what,
        "old": old,
        "new": new,
        "by": by,
        "reason": reason,
        "way": way,
    }


@dataclass(frozen=True, slots=True)
class FrameGap:
    """Frames of one camera that were inspected and never written; ``first`` and ``last`` included."""

    camera: str
    boot: str
    first: int
    last: int
    count: int

    def joined(self, number: int) -> "FrameGap":
        """This gap, grown by one frame."""
        last = max(self.last, number)
        return FrameGap(self.camera, self.boot, min(self.first, number), last, self.count + 1)


def frame_gap_body(moment: Moment, gap: FrameGap, *, code: str, text: str) -> dict[str, Any]:
    """Says that the verdicts of these frames will never come, and why."""
    frames: Mapping[str, Any] = {
        "camera": gap.camera,
        "boot": gap.boot,
        "from": gap.first,
        "to": gap.last,
        "count": gap.count,
    }
    return {**moment.to_json(), "frames": frames, "reason": {"code": code, "text": text}}
