"""What will never come, and why: frames that could not be written, and what was written and had to go again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent.inspection.frame import Moment

GAPS: Final[Mapping[str, str]] = {
    "journal-full": "These frames were inspected and the disk did not keep up, so their verdicts will never come.",
    "evidence-evicted": "These pictures had to make room before they were sent anywhere.",
    "evidence-expired": "These pictures reached the age up to which their class is kept, and were never sent.",
    "evidence-missing": "The files of these pictures are gone from the disk, and the agent did not remove them.",
    "ledger-evicted": "These messages were never acknowledged and had to make room for newer ones.",
    "database-copied": "The database is a copy or a backup; what the original said later is not in it.",
    "database-behind": "The database is older than what had been committed; what came after it is gone.",
    "database-unsure": "The note of the last number is gone or damaged, so the database may lack what came last.",
    "database-lost": "The database is gone, with everything that was not settled.",
    "database-damaged": "The database was damaged; what could be read from it was kept.",
    "device-changed": "The database was brought along from another device, or this device's hardware changed.",
    "device-renamed": "The site or the device has another name now.",
    "given-up": "The broker refused these messages for good, and a person gave them up.",
}
"""Every reason code of a gap, and what it means."""


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


@dataclass(frozen=True, slots=True)
class NumberGap:
    """A contiguous run of ledger messages that were evicted before anybody had them; both ends belong to it.

    Attributes:
        epoch: Whose numbers these are; not always the one in which the gap is told.
        first: ``seq`` of the first one.
        last: ``seq`` of the last one.
        last_sha256: Of the last one's bytes, so that the chain goes on behind the gap.
    """

    epoch: str
    first: int
    last: int
    last_sha256: str

    @property
    def count(self) -> int:
        """How many messages."""
        return self.last - self.first + 1


def number_gaps(evicted: Iterable[tuple[str, int, str]]) -> list[NumberGap]:
    """What touches makes one gap.

    Args:
        evicted: Epoch, ``seq`` and sha256 of each message that goes, in the ledger's order.
    """
    gaps: list[NumberGap] = []
    for epoch, seq, sha256 in evicted:
        before = gaps[-1] if gaps else None
        if before is not None and (before.epoch, before.last + 1) == (epoch, seq):
            gaps[-1] = replace(before, last=seq, last_sha256=sha256)
        else:
            gaps.append(NumberGap(epoch, seq, seq, sha256))
    return gaps


def number_gap_body(moment: Moment, gap: NumberGap, *, code: str, text: str) -> dict[str, Any]:
    """Says that the messages with these numbers will never come, and why."""
    seqs = {
        "epoch": gap.epoch,
        "from": gap.first,
        "to": gap.last,
        "count": gap.count,
        "last_sha256": gap.last_sha256,
    }
    return {**moment.to_json(), "seqs": seqs, "reason": {"code": code, "text": text}}


@dataclass(frozen=True, slots=True)
class EndedEpoch:
    """A ledger that is not gone on with; what this device still has of it is still sent.

    Attributes:
        epoch: Its name.
        after: The last number that is known to have been given; later ones, if there were any, will never come. None
            where no number is known.
        holes: Numbers up to that one that will not come either.
    """

    epoch: str
    after: int | None
    holes: tuple[NumberGap, ...] = ()


def ledger_gap_body(moment: Moment, ended: EndedEpoch, *, code: str, text: str) -> dict[str, Any]:
    """Says that an epoch has ended, and why: the first message of the next one."""
    told = {"epoch": ended.epoch, "after": ended.after}
    return {**moment.to_json(), "ledger": told, "reason": {"code": code, "text": text}}


def evidence_gap_body(moment: Moment, records: Sequence[str], *, code: str, text: str) -> dict[str, Any]:
    """Says that the pictures of these records are gone, and why."""
    return {**moment.to_json(), "evidence": list(records), "reason": {"code": code, "text": text}}
