"""Measures what is used of the disk: from SQLite's own counts, and from the file system."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from sqlite_utils import Database

from agent.ledger.worth import ON_DISK
from agent.store.budget import Usage
from agent.store.reader import Reader


def measure(folder: Path, reader: Reader, *, packs: int) -> Usage:
    """What is used now.

    Args:
        folder: The store's folder.
        reader: Its database.
        packs: Bytes of the engine packs, measured more rarely.

    Raises:
        StoreError: The database cannot be read now.
        OSError: The folder cannot be looked at.
    """
    database, unused, sums = reader.ask(_counts)
    here = os.statvfs(folder)
    evidence = folder / "evidence"
    pictures = os.statvfs(evidence) if evidence.is_dir() else here
    classes: dict[str, int] = {}
    for kept, _held, size in sums:
        classes[kept] = classes.get(kept, 0) + size
    return Usage(
        database=database,
        unused=unused,
        evidence=sum(classes.values()),
        held=sum(size for _kept, held, size in sums if held),
        classes=classes,
        packs=packs,
        free=here.f_bavail * here.f_frsize,
        evidence_free=pictures.f_bavail * pictures.f_frsize,
        together=not evidence.is_dir() or evidence.stat().st_dev == folder.stat().st_dev,
    )


def _counts(db: Database) -> tuple[int, int, list[tuple[str, int, int]]]:
    pages, unused, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    sums = db.execute(
        "SELECT kept, held, sum(bytes) FROM evidence_sums "
        "WHERE state IN (?, ?, ?) AND pictures > 0 GROUP BY kept, held",
        ON_DISK,
    )
    return (pages - unused) * size, unused * size, [(kept, held, size) for kept, held, size in sums.fetchall()]


def folder_bytes(folders: Sequence[Path]) -> int:
    """What files below folders take; what cannot be looked at counts nothing."""
    return sum(_bytes_below(folder) for folder in folders)


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total
