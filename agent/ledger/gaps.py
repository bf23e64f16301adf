"""What will never come, and why: which frames were inspected and could not be written."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from agent.inspection.frame import Moment


@dataclass(frozen=True, slots=True)
class FrameGap:
    """A run of inspected frames of one camera of which none was written; both ends belong to it.

    Attributes:
        camera: The camera.
        boot: The process that numbered them.
        first: Number of the first one.
        last: Number of the last one.
        count: How many were lost; frames in between that were never inspected are not counted.
    """

    camera: str
    boot: str
    first: int
    last: int
    count: int


class FrameGaps:
    """Gathers lost frames into gaps. A written frame ends a gap, so that a gap never covers one.

    Args:
        boot: This process.

    Attributes:
        lost: All frames ever lost.
    """

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._closed: list[FrameGap] = []
        self._growing: dict[str, FrameGap] = {}
        self.lost = 0

    @property
    def growing(self) -> bool:
        """Whether a gap may still grow, so that accepted frames must be reported."""
        return bool(self._growing)

    @property
    def pending(self) -> bool:
        """Whether there is a gap to announce."""
        return bool(self._growing or self._closed)

    def lose(self, camera: str, number: int) -> None:
        """Count a frame that found no room."""
        gap = self._growing.get(camera)
        if gap is None:
            self._growing[camera] = FrameGap(camera, self._boot, number, number, 1)
        else:
            self._growing[camera] = replace(gap, last=number, count=gap.count + 1)
        self.lost += 1

    def accept(self, camera: str) -> None:
        """A frame of this camera found room: what was lost before it is a gap of its own."""
        gap = self._growing.pop(camera, None)
        if gap is not None:
            self._closed.append(gap)

    def take(self) -> list[FrameGap]:
        """Take out all gaps, to announce them."""
        gaps = [*self._closed, *self._growing.values()]
        self._closed, self._growing = [], {}
        return gaps

    def put_back(self, gaps: Iterable[FrameGap]) -> None:
        """The announcement failed: they wait again."""
        self._closed = [*gaps, *self._closed]


def frame_gap_body(moment: Moment, gap: FrameGap, *, code: str, text: str) -> dict[str, Any]:
    """Says that the verdicts of these frames will never come, and why."""
    frames = {"camera": gap.camera, "boot": gap.boot, "from": gap.first, "to": gap.last, "count": gap.count}
    return {**moment.to_json(), "frames": frames, "reason": {"code": code, "text": text}}
