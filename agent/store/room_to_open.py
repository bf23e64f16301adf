"""A start on a full disk: the database cannot even be opened for writing until something goes."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

import structlog

from agent.store.ballast import Ballast
from agent.store.budget import TIGHT
from agent.store.eviction import least_valuable
from agent.store.schema import FILE

_WANTED: Final = 2 * TIGHT

_log = structlog.get_logger()


def make_room_to_open(folder: Path, *, ballast: int) -> list[str]:
    """Give up the ballast, or else the least valuable pictures, where the disk has no room for a first commit.

    Args:
        folder: The store's folder.
        ballast: Size of the ballast file in bytes.

    Returns:
        The records whose pictures went; they are to be told once the ledger can be written.
    """
    if _free(folder) >= TIGHT:
        return []
    there = Ballast(folder, ballast)
    if there.state == "held":
        there.release()
        return []
    gone = []
    for record, path in _pictures(folder):
        with contextlib.suppress(OSError):
            (folder / "evidence" / path).unlink()
            gone.append(record)
    if gone:
        _log.warning("pictures went to make room for a start on a full disk", count=len(gone))
    return gone


def _free(folder: Path) -> int:
    here = os.statvfs(folder)
    return here.f_bavail * here.f_frsize


def _pictures(folder: Path) -> list[tuple[str, str]]:
    """Records and files of the least valuable pictures, where that can be known and helps.

    A log beside the database may know better, of a legal hold for example; and where there is one, it has room.
    """
    log, evidence = folder / f"{FILE}-wal", folder / "evidence"
    if log.exists() or not evidence.is_dir() or evidence.stat().st_dev != folder.stat().st_dev:
        return []
    address = f"{(folder / FILE).absolute().as_uri()}?mode=ro&immutable=1"  # else SQLite would make files of its own
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            return [(one.record, one.path) for one in least_valuable(db, _WANTED)]
    except sqlite3.Error:  # no database, an old one, a damaged one: whoever opens it says so
        return []
