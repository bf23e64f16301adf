"""An outside list of what was recorded, for proofs: one record id a line, written only after the commit."""

from collections.abc import Sequence
from pathlib import Path

import structlog

_log = structlog.get_logger()


class RecordedLog:
    """Appends ids to a file. For the journal's thread alone; the file survives a kill, not a power cut of its own disk.

    Args:
        path: The file, best on another disk than the store; None: nothing is written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failing = False

    def add(self, ids: Sequence[str]) -> None:
        """Append ids, all at once. A disk that refuses is logged: a list for proofs never holds the line."""
        if self._path is None or not ids:
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write("".join(f"{one}\n" for one in ids).encode())
            self._failing = False
        except OSError as error:
            if not self._failing:
                _log.error("recorded_log cannot be written; ids are missing in it", reason=str(error))
            self._failing = True
