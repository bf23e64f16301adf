"""Small files of the kernel, read so that a missing or failing one is a value and never an error."""

import os
import re
from pathlib import Path
from typing import Final

_LIMIT: Final = 1 << 16  # a sysfs file is one page; nvpmodel.conf is the longest that is read
_DIGITS: Final = re.compile(r"(\d+)")


def read_text(path: Path) -> str | None:
    """Read a small file.

    Returns:
        Its text without surrounding white space and NULs (device-tree strings end in one), or None
        if it is absent, may not be read, or the driver behind it fails.
    """
    # Not Path.read_text: a thermal zone that is powered down answers EAGAIN, and Python's text layer
    # turns that into a TypeError ("can't concat NoneType to bytes"). One plain read has no such layer.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = os.read(handle, _LIMIT)
    except OSError:
        return None
    finally:
        os.close(handle)
    return content.decode("utf-8", "replace").strip("\0 \t\r\n")


def read_int(path: Path) -> int | None:
    """Read a file that holds one whole number; None if there is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def entries(folder: Path, prefix: str = "") -> list[Path]:
    """List a folder's entries that begin with a prefix, `zone2` before `zone10`; [] if it is absent."""
    try:
        found = [entry for entry in folder.iterdir() if entry.name.startswith(prefix)]
    except OSError:
        return []
    return sorted(found, key=_natural)


def _natural(entry: Path) -> list[str]:
    """Sort key that compares runs of digits by their value."""
    return [part.zfill(20) if part.isdigit() else part for part in _DIGITS.split(entry.name)]
