"""Puts a repaired database in the place of a damaged one, which is kept, so that a crash at any point loses neither."""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from agent.errors import StoreError
from agent.store.schema import FILE
from agent.store.statefile import fsync_folder

REPAIRING: Final = f"{FILE}.repairing"
REPAIRED: Final = f"{FILE}.repaired"
ASIDE: Final = f"{FILE}.damaged-"

KEPT: Final = 3
KEPT_BYTES: Final = 1_000_000_000
"""Of damaged databases at most so many are kept, and at most so many bytes; the newest one always."""

PARTS: Final = ("", "-wal", "-shm")

_log = structlog.get_logger()


def aside_name(moment: datetime) -> str:
    """What a damaged database is called from now on."""
    return f"{ASIDE}{moment:%Y%m%dT%H%M%S}Z"


def finish(folder: Path, repaired: Path) -> None:
    """The repaired database is complete: make that durable.

    Raises:
        OSError: The disk refused.
    """
    handle = os.open(repaired, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    repaired.replace(folder / REPAIRED)
    fsync_folder(folder)


def swap(folder: Path, aside: str) -> None:
    """Move the damaged database aside and the repaired one in its place; goes on after a crash in the middle.

    Nothing happens where no repaired database waits.

    Raises:
        StoreError: The disk refused.
    """
    if not (folder / REPAIRED).exists():
        return
    try:
        for part in PARTS:
            if (folder / f"{FILE}{part}").exists():
                (folder / f"{FILE}{part}").replace(folder / f"{aside}{part}")
        (folder / REPAIRED).replace(folder / FILE)
        fsync_folder(folder)
    except OSError as error:
        raise StoreError(f"{folder}: the repaired database cannot be put in place: {error.strerror}") from None
    _log.warning("a damaged database is kept", path=str(folder / aside))
    _keep_few(folder)


def kept_aside(folder: Path) -> list[Path]:
    """The damaged databases that are kept, newest first, without their logs."""
    found = [path for path in folder.glob(f"{ASIDE}*") if not path.name.endswith(PARTS[1:])]
    return sorted(found, reverse=True)


def _keep_few(folder: Path) -> None:
    total = 0
    for place, path in enumerate(kept_aside(folder)):
        parts = [part for part in (path.with_name(f"{path.name}{one}") for one in PARTS) if part.exists()]
        total += sum(part.stat().st_size for part in parts)
        if place and (place >= KEPT or total > KEPT_BYTES):
            for part in parts:
                part.unlink(missing_ok=True)
            _log.warning("an older damaged database was removed", path=str(path))
