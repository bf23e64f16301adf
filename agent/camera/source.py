"""What a source of frames is, and what it yields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agent.inspection.frame import Fault, Image, Mark


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What one read of a source yields: an image, or why there is none.

    Attributes:
        image: Shape (h, w, 3), uint8, BGR; None when ``fault`` says why.
        source: Path relative to the folder, or the stream position; None for a live camera.
        mark: How far it takes the source's cursor; None for a live camera.
        fault: Why there is no image.
    """

    image: Image | None
    source: str | None = None
    mark: Mark | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What of a folder or video file is committed already, so that a restart goes on behind it.

    Attributes:
        items: Of a folder: the fingerprint of each committed file by its path relative to the folder.
        upto: Of a stream: every position up to this one is committed.
        beyond: Of a stream: the positions after ``upto`` that are committed too.
    """

    items: Mapping[str, str] = field(default_factory=dict)
    upto: int = 0
    beyond: frozenset[int] = frozenset()


class Note(Protocol):
    """Where the file in hand is noted, so that a crash cannot take that along."""

    def take(self, item: str) -> bool:
        """Note that ``item`` is about to be touched; False when it has ended the process too often."""

    def put_down(self) -> None:
        """Note that nothing is in hand."""


class FrameSource(Protocol):
    """One camera, opened, read and closed by one thread; ``close`` may also come from another.

    ``open`` is called before the first ``read`` and again after every ``CameraError``. After ``close`` a
    blocked ``read`` returns or raises as soon as the source can.

    Attributes:
        live: Whether frames that nobody takes are lost; files wait instead.
    """

    live: bool

    def open(self) -> None:
        """Get ready to read.

        Raises:
            CameraError: The camera or file cannot be opened now.
        """

    def read(self) -> Shot | None:
        """The next shot, or None when the source has ended for good.

        Raises:
            CameraError: No frame came within the source's own time limit, or the camera has gone.
        """

    def close(self) -> None:
        """Let go of the camera; safe to call twice and from another thread."""
