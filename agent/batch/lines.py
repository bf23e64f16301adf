"""One JSON line per image: the record's fields, without those that need a device, a ledger or a store."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from agent import __version__
from agent.batch.images import frame_of
from agent.camera.source import Shot
from agent.errors import StoreError
from agent.inspection.frame import Frame, Image, Moment
from agent.inspection.record import Latency, Record
from agent.inspector import Inspector
from agent.ledger.sealing import SINGULAR, canonical

LEFT_OUT = frozenset({"kept", "audit_rate", "evidence"})
"""Fields of a record's body that say nothing about an image inspected in batch; the envelope is left out too."""


def inspected(
    inspector: Inspector, shots: Iterable[Shot], *, now: Callable[[], Moment]
) -> Iterator[tuple[Image | None, Record]]:
    """Inspect one shot after the other: its pixels and its record, which holds none.

    Args:
        inspector: Ready.
        shots: Images, or why there are none.
        now: The clock.
    """
    for number, shot in enumerate(shots, start=1):
        yield shot.image, record_of(inspector, frame_of(shot, number, now()))


def record_of(inspector: Inspector, frame: Frame) -> Record:
    """Inspect one frame and write down what came of it. In batch nothing acts, so the mode is ``shadow``."""
    begun_ns = time.monotonic_ns()
    seen = inspector.inspect(frame)
    captured_ns, ended_ns = frame.captured.monotonic_ns, time.monotonic_ns()
    return Record(
        frame=frame,
        engine=inspector.facts,
        agent=__version__,
        role="active",
        mode="shadow",
        kept=None,
        audit_rate=0.0,
        screening=seen.screening,
        detections=seen.detections,
        verdict=seen.verdict,
        latency=Latency((begun_ns - captured_ns) / 1e6, seen.screen_ms, seen.verify_ms, (ended_ns - captured_ns) / 1e6),
    ).without_pixels()


def line_of(record: Record, file: str) -> dict[str, Any]:
    """What is written about one image.

    Args:
        record: Its record.
        file: Where it lies, as whoever reads the line can open it.
    """
    body = {key: value for key, value in record.to_json().items() if key not in LEFT_OUT}
    return {"schema": f"fieldgate.{SINGULAR['inspections']}/1", "file": file, **body}


class LineWriter:
    """Writes lines whole or not at all, to a file or to standard output. Use it in a ``with``.

    Args:
        path: The file, which is replaced; None is standard output.

    Raises:
        StoreError: The file cannot be made.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = _opened(path)
        self._length = 0

    def write(self, line: Mapping[str, Any]) -> None:
        """Add one line; it is in the file when this returns.

        Raises:
            StoreError: The disk refused; the file ends with the line before.
        """
        data = canonical(line) + b"\n"
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except BrokenPipeError:
            raise
        except OSError as error:
            self._cut()
            raise StoreError(f"{self._path or 'standard output'}: cannot be written: {error.strerror}") from None
        self._length += len(data)

    def _cut(self) -> None:
        """Take back the beginning of a line that did not fit."""
        if self._path is not None and self._path.is_file():
            os.ftruncate(self._file.fileno(), self._length)

    def __enter__(self) -> "LineWriter":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()


def _opened(path: Path | None) -> FileIO:
    if path is None:
        return FileIO(sys.stdout.fileno(), "wb", closefd=False)
    try:
        return FileIO(path, "wb")
    except OSError as error:
        raise StoreError(f"--output {path}: cannot be written: {error.strerror}") from None
