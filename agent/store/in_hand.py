"""Which file a camera's line has in hand, noted where a crash cannot take it along.

A file that ends the process each time it is inspected would stop the line for ever. So the line notes the
file before it inspects it and takes the note away afterwards. A note found at the start is a crash; a file
in hand at two crashes in a row is not tried a third time.
"""

import json
import os
from pathlib import Path

import structlog

_log = structlog.get_logger()

CRASHES = 2
_ROOM = 4096


class InHand:
    """The note of one camera. Used by the line thread only.

    The note is a plain write without fsync: it has to survive the process, not the power. Writing costs
    microseconds, on purpose, since it happens for each file. A disk that refuses costs the note, not the line: then a
    crash is not counted, and the journal holds files back as long as it cannot write either.

    Args:
        path: The note's file; its folder is made.

    Raises:
        OSError: The disk refused.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._failing = False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        self._item, self._crashes = self._found()
        if self._item is not None:
            self._crashes += 1
            self._write(self._item, self._crashes, held=False)

    def _found(self) -> tuple[str | None, int]:
        """The file that was in hand, and how often before; the note of an orderly end counts as none."""
        try:
            note = json.loads(os.pread(self._file, _ROOM, 0) or b"{}")
            item, crashes, held = note.get("item"), note.get("crashes", 0), note.get("held", False)
        except (ValueError, AttributeError):
            return None, 0  # a torn note: the power went, not the process
        if not held or not isinstance(item, str) or not isinstance(crashes, int):
            return None, 0
        return item, crashes

    def take(self, item: str) -> bool:
        """Note that ``item`` is about to be inspected; False when it has ended the process too often."""
        crashes = self._crashes if item == self._item else 0
        if crashes >= CRASHES:
            return False
        self._write(item, crashes, held=True)
        return True

    def put_down(self) -> None:
        """Note that nothing is in hand."""
        self._write("", 0, held=False)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _write(self, item: str, crashes: int, *, held: bool) -> None:
        note = json.dumps({"held": held, "crashes": crashes, "item": item}).encode()
        try:
            os.pwrite(self._file, note[:_ROOM].ljust(_ROOM), 0)
        except OSError as error:
            if not self._failing:
                _log.warning("the file in hand cannot be noted", path=str(self._path), reason=str(error))
            self._failing = True
        else:
            self._failing = False
