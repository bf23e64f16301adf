"""One image with where and when it was taken, what asked for it, and what is on it."""

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

TRIGGERED = frozenset({"mqtt", "gpio", "http", "manual"})
"""Trigger kinds that ask for one frame of one part; ``continuous`` and ``interval`` do not."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is on the picture; None where nobody said."""

    part: str | None = None
    batch: str | None = None
    serial: str | None = None
    asset: str | None = None
    location: str | None = None
    recipe: str | None = None

    def overridden(self, other: "Subject") -> "Subject":
        """This subject with every field that ``other`` knows taken from ``other``."""
        pairs = ((name, getattr(other, name) or getattr(self, name)) for name in SUBJECT_FIELDS)
        return Subject(**dict(pairs))

    def to_json(self) -> dict[str, str | None]:
        """The record's ``subject``."""
        return {name: getattr(self, name) for name in SUBJECT_FIELDS}


SUBJECT_FIELDS = ("part", "batch", "serial", "asset", "location", "recipe")


@dataclass(frozen=True, slots=True)
class Trigger:
    """What asked for a frame.

    Attributes:
        kind: ``continuous``, ``interval``, ``mqtt``, ``gpio``, ``http`` or ``manual``.
        metadata: Whatever the asker wants to find in the record again; JSON values.
        arrived_ns: Monotonic time at which the trigger arrived; None where nothing asked.
        token: Whose question this is, so that the answer can be sent; not part of the record.
    """

    kind: str
    metadata: dict[str, Any] = field(default_factory=dict)
    arrived_ns: int | None = None
    token: str | None = None

    @property
    def triggered(self) -> bool:
        """Whether one part stands behind this frame, so that it may not vanish unseen."""
        return self.kind in TRIGGERED


@dataclass(frozen=True, slots=True)
class Moment:
    """When a fact arose, on both clocks.

    Attributes:
        wall: Wall clock, UTC.
        monotonic_ns: The same moment on the monotonic clock.
        state: How far the wall clock can be trusted: ``synced``, ``holdover`` or ``unset``.
    """

    wall: datetime
    monotonic_ns: int
    state: str

    def to_json(self) -> dict[str, str | int]:
        """The time fields of a ledger message that is not a record."""
        return {"at": utc_text(self.wall), "clock": self.state, "monotonic_ns": self.monotonic_ns}


def utc_text(moment: datetime) -> str:
    """A UTC moment as every message writes it: ``2026-11-22T09:00:00.123456Z``."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Mark:
    """One step of a source's cursor, committed together with the frame's verdict.

    A folder's step names the file and what it looked like, since files arrive in any order; a stream's step
    is its position.

    Attributes:
        root: Which folder or file is being read.
        item: Path relative to the folder; None for a stream.
        fingerprint: Size and time of change of the file; empty for a stream.
        position: 1, 2, 3, ... in a stream; 0 for a folder.
    """

    root: str
    item: str | None = None
    fingerprint: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a frame has no image, or no verdict: a reason code and a sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image on its way through the line.

    Attributes:
        image: Shape (h, w, 3), uint8, BGR; None when ``fault`` says why there is none.
        camera: The camera's name.
        number: 1, 2, 3, ... per boot and camera, given at capture.
        source: Path relative to the folder, or the stream position; None for a live camera.
        captured: When.
        trigger: What asked for it.
        subject: What is on it.
        fault: Why there is no image.
        mark: How far this frame takes its source; None for a live camera.
    """

    image: Image | None
    camera: str
    number: int
    source: str | None
    captured: Moment
    trigger: Trigger
    subject: Subject
    fault: Fault | None = None
    mark: Mark | None = None
