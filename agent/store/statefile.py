"""Small files that are either the old or the new, never half of each."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import StoreError, in_words


def write_atomically(path: Path, body: bytes) -> None:
    """Write a file so that a power cut leaves the old one or the new one: temp, fsync, rename, directory fsync.

    Raises:
        OSError: The disk refused; the old file stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state file.

    Raises:
        StoreError: The disk refused.
    """
    try:
        write_atomically(path, json.dumps(state, indent=1).encode())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}. Check the disk and its permissions.") from None


def read_state(path: Path) -> dict[str, Any] | None:
    """What a state file says; None where there is none.

    Raises:
        StoreError: It is there and unreadable, or not what a state file looks like.
    """
    try:
        state = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {in_words(error)}") from None
    if not isinstance(state, dict):
        raise StoreError(f"{path}: does not hold a table")
    return state
