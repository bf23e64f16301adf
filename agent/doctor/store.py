"""Checks of the store: its folder, its disk, its database, its lock."""

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import Final

from agent.doctor.check import Answer, Check, fail, ok, warn
from agent.doctor.installation import Installation
from agent.errors import StoreError
from agent.store.budget import MB
from agent.store.queries import examine
from agent.store.schema import FILE, LOCK
from agent.store.usage import folder_bytes

SPACE_NEEDED: Final = 50_000_000
"""Bytes below which the next hours of records may not fit."""

SPACE_WANTED: Final = 500_000_000
"""Bytes below which somebody should look at the disk."""


def _writable(installation: Installation, _about: str) -> Answer:
    folder = installation.config.store.dir
    there = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return fail(
            f"{there}: cannot be written: {error.strerror}",
            cause="it belongs to another user, is no folder, or the disk is mounted read-only",
            fix=f"ls -ld {there}; findmnt -T {there}; or set store.dir in {installation.path}",
        )
    return ok(f"{folder}: can be written" if there == folder else f"{folder}: can be made in {there}")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)


def _space(installation: Installation, _about: str) -> Answer:
    folder = installation.config.store.dir
    free, where = min((shutil.disk_usage(one).free, one) for one in (_existing(folder), _existing(folder / "evidence")))
    seen = f"{where}: {free / 1e6:,.0f} MB free"
    if free >= SPACE_WANTED:
        return ok(seen)
    say = fail if free < SPACE_NEEDED else warn
    return say(
        seen,
        cause="the disk is filled by evidence, or by something else",
        fix=f"du -xh {where} | sort -h | tail; then make room, or set store.evidence in {installation.path}",
    )


def _budget(installation: Installation, _about: str) -> Answer:
    store = installation.config.store
    there = _existing(store.dir)
    room = shutil.disk_usage(there).free + folder_bytes([store.dir])
    wanted = MB * (store.database_mb + store.evidence_mb + store.ballast_mb + store.free_mb)
    seen = f"{wanted / MB:,.0f} MB are granted by [store], {room / MB:,.0f} MB are there for them on {there}"
    if wanted > room:
        return warn(
            seen,
            cause="the quotas were made for a larger disk, or something else fills this one",
            fix=f"lower evidence_mb or database_mb in {installation.path}; else pictures go by free_mb",
        )
    unlimited = [key for key in ("database_mb", "evidence_mb") if not getattr(store, key)]
    if unlimited and not store.free_mb:
        return warn(
            f"{' and '.join(unlimited)} without a limit, and no free_mb",
            cause="nothing keeps the store from filling the disk",
            fix=f"set free_mb in {installation.path}",
        )
    return ok(seen)


def _database(installation: Installation, _about: str) -> Answer:
    folder = installation.config.store.dir
    path = folder / FILE
    if not path.exists():
        return ok(f"{path}: there is none yet; the daemon makes it")
    alone = installation.daemon is None and not _locked(folder)
    try:
        seen = examine(folder, thoroughly=alone)
    except StoreError as error:
        return _damaged(path, str(error))
    if seen.version > seen.known:
        return fail(
            f"{path}: version {seen.version} of the tables; this fieldgate knows {seen.known}",
            cause="a newer fieldgate has run on this store",
            fix=f"install that version again, or give another store.dir in {installation.path}",
        )
    if seen.faults:
        return _damaged(path, f"{path}: {'; '.join(seen.faults)}")
    how = "every page is sound" if alone else "pages not read while the daemon runs"
    return ok(f"{path}: version {seen.version}, {path.stat().st_size / 1e6:,.1f} MB, {how}")


def _damaged(path: Path, seen: str) -> Answer:
    return fail(
        seen,
        cause="the disk failed, or the file was copied while the daemon ran",
        fix=f"stop the daemon, keep the file for rescue: mv {path} {path}.damaged; a new one begins a new epoch",
    )


def _lock(installation: Installation, _about: str) -> Answer:
    folder = installation.config.store.dir
    if installation.daemon is not None:
        return ok(f"a daemon is running, for {installation.daemon['uptime_s']:.0f} s")
    if not _locked(folder):
        return ok("no daemon is running")
    return fail(
        f"{folder / LOCK} is held, and nobody answers at {installation.config.control_socket}",
        cause="the daemon hangs or is just starting, another program holds the store, or the socket was moved",
        fix=f"fuser -v {folder / LOCK} shows the process; wait, or end it and start the daemon again",
    )


def _locked(folder: Path) -> bool:
    """Whether some process holds the write lock; takes it for a moment, shared, to find out."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


CHECKS = (
    Check("store-writable", "The store's folder can be written", _writable, needs=("config-valid",)),
    Check("store-space", "The disk has room", _space, needs=("store-writable",)),
    Check("store-budget", "The disk holds what the store is granted", _budget, needs=("store-space",)),
    Check("store-database", "The database is sound and of a version we know", _database, needs=("store-writable",)),
    Check("store-lock", "The store is free, or held by a daemon that answers", _lock, needs=("store-writable",)),
)
