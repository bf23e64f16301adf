"""A file that only takes room: on a full disk even deleting needs some, and this gives it back."""

import contextlib
import os
from pathlib import Path

import structlog

FILE = "ballast"

_log = structlog.get_logger()


class Ballast:
    """The ballast file of a store. Any thread.

    Args:
        folder: The store's folder.
        size: Bytes; 0: there is none.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._path = folder / FILE
        self._size = size

    @property
    def state(self) -> str:
        """``held``, ``released``, or ``none`` where there should be none."""
        if not self._size:
            return "none"
        return "held" if self._there() else "released"

    def _there(self) -> bool:
        try:
            return self._path.stat().st_size == self._size
        except OSError:
            return False

    def release(self) -> None:
        """Give its room back."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("ballast cannot be released", path=str(self._path), reason=str(error))

    def keep(self, free: int) -> None:
        """Make it where it is missing or of another size and twice its room is free."""
        if self._there():
            return
        self.release()
        if self._size and free >= 2 * self._size:
            with contextlib.suppress(OSError):  # no room after all: the next round tries again
                self._allocate()

    def _allocate(self) -> None:
        """Really take the room, which a file with a hole would not.

        Raises:
            OSError: There is none.
        """
        handle = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size)
        except OSError:
            self.release()
            raise
        finally:
            os.close(handle)
