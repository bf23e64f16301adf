"""A wall clock that lies to one process: libfaketime, steered by a file. Monotonic time and files keep the truth."""

from pathlib import Path

import pytest

LIBRARIES = sorted(Path("/usr").glob("lib*/**/libfaketimeMT.so.1"))

needs_faketime = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")


class FalseClock:
    """What the process under it takes for the time.

    Args:
        folder: Where the file lies that says by how much the clock is wrong.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock.txt"
        self.set("+0")

    def set(self, wrong: str) -> None:
        """Jump: ``+3d``, ``-1y``, ``-5`` (seconds), or ``@1970-01-01 00:00:10`` for an absolute time from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(wrong, encoding="ascii")
        new.replace(self._file)

    def settings(self) -> dict[str, str]:
        """The environment of a process that believes it."""
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
