"""Which database this is: what tells it from a copy, from an older state of itself, and from another device's.

At each start a fresh random token goes to a small file beside the database and then into the database. So a database
that was put back from a backup, or brought along from elsewhere, does not know the token that the file knows. The
file also says where the ledger was, for the day on which the database is gone.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from agent.errors import StoreError
from agent.store.schema import MIGRATIONS
from agent.store.statefile import read_state, write_state

FILE: Final = "identity.json"
NOTE: Final = "last-known.json"

_ROOM: Final = 512
_HARDWARE: Final = ("proc/device-tree/serial-number", "etc/machine-id")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """Where a ledger was at some moment: everything up to ``seq`` was committed then.

    Attributes:
        epoch: Its epoch.
        seq: Number of the last message.
        sha256: Of that message's bytes.
        settled: Every number up to this one was settled.
        at: Wall clock, as messages write it.
    """

    epoch: str
    seq: int
    sha256: str
    settled: int
    at: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What the file beside the database says.

    Attributes:
        token: Given to the database at the last start.
        previous: The database's token before that, until the database has the new one.
        number: The epoch's number in the database.
        known: Where the ledger was when the file was written; None before the first commit.
        fingerprint: Of the device.
        name: The device's name, ``site/device``.
        tables: Version of the database's tables.
        running: Whether a process has the database open, so that at a start it ended without a last word.
        unchecked: Whether the database is still to be checked since such an end.
    """

    token: str
    previous: str | None
    number: int
    known: Known | None
    fingerprint: str
    name: str
    tables: int = len(MIGRATIONS)
    running: bool = False
    unchecked: bool = False

    def write(self, folder: Path) -> None:
        """Replace the file.

        Raises:
            StoreError: The disk refused; the old file stands.
        """
        write_state(folder / FILE, asdict(self))


def read_identity(folder: Path) -> Identity | None:
    """What the file says; None where there is none.

    Raises:
        StoreError: It is there and cannot be believed.
    """
    path = folder / FILE
    state = read_state(path)
    if state is None:
        return None
    known = state.get("known")
    try:
        identity = Identity(**{**state, "known": None if known is None else Known(**known)})
    except TypeError as error:
        raise StoreError(f"{path}: does not hold an identity: {error}") from None
    if not (_typed(identity) and _typed(identity.known)):
        raise StoreError(f"{path}: does not hold an identity")
    return identity


def _typed(read: Identity | Known | None) -> bool:
    """Whether what was read has the numbers and names that others count on."""
    if read is None:
        return True
    numbers, names = (
        (("number", "tables"), ("token",)) if isinstance(read, Identity) else (("seq", "settled"), ("epoch", "sha256"))
    )
    return all(isinstance(getattr(read, name), int) for name in numbers) and all(
        isinstance(getattr(read, name), str) for name in names
    )


class LastKnown:
    """A note of where the ledger is, brought up to date after each commit. Used by the journal thread only.

    It is written in place without fsync, which costs microseconds: after the death of the process it is exact, after
    a power cut it is as old as the kernel's patience with unwritten pages, and at most a minute, since ``sync`` is
    called that often. It never runs ahead of what is committed.

    Args:
        folder: The store's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NOTE
        self._file: int | None = None
        self._told = False

    def read(self) -> Known | None:
        """What it says; None where there is none, or a torn one."""
        try:
            note = json.loads(self._path.read_bytes())
            check = note.pop("check")
            known = Known(**note)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return None
        return known if check == _check(note) and _typed(known) else None

    def write(self, known: Known) -> None:
        """Note it. A disk that refuses leaves an older note, which is still true."""
        note = asdict(known)
        body = json.dumps({**note, "check": _check(note)}).encode()
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o640)
            os.pwrite(self._file, body.ljust(_ROOM), 0)
        except OSError as error:
            self._refused(error)

    def sync(self) -> None:
        """Make it survive a power cut."""
        try:
            if self._file is not None:
                os.fdatasync(self._file)
        except OSError as error:
            self._refused(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _refused(self, error: OSError) -> None:
        if not self._told:
            _log.warning("where the ledger is cannot be noted", path=str(self._path), reason=str(error))
        self._told = True
        self.close()


def _check(note: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(note).encode())


def latest(epoch: str | None, *candidates: Known | None) -> Known | None:
    """The furthest of several notes of one epoch."""
    of_it = [one for one in candidates if one is not None and one.epoch == epoch]
    return max(of_it, key=lambda one: one.seq, default=None)


def fingerprint(root: Path = Path("/")) -> str:
    """Names this device's hardware and installation: sha256 over its serial number and machine id.

    What a device does not have counts as empty. Network addresses are left out on purpose: docks, bonds and late
    drivers change them.
    """
    found = hashlib.sha256()
    for name in _HARDWARE:
        try:
            text = (root / name).read_bytes().strip(b"\0 \n")
        except OSError:
            text = b""
        found.update(b"%d:%s" % (len(text), text))
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """What the database itself says of who it is.

    Attributes:
        token: Its token; None in a database that never had one.
        fingerprint: Of the device that wrote it.
        name: That device's name.
    """

    token: str | None
    fingerprint: str | None
    name: str | None


def stranger(row: Row, identity: Identity | None, *, fingerprint: str, name: str) -> str | None:
    """Why the database is not the one that this device wrote last, as a code of ``GAPS``; None where it is.

    Args:
        row: What the database says; its ledger has begun.
        identity: What the file says; None where there is none or it cannot be believed.
        fingerprint: Of this device, now.
        name: This device's name, now.
    """
    if row.token is None:
        # A database from before there were tokens is taken as ours, unless a file knows one that had a token.
        return "database-copied" if identity is not None and identity.known is not None else None
    if identity is None or row.token not in {identity.token, identity.previous}:
        return "database-copied"
    if row.fingerprint != fingerprint:
        return "device-changed"
    return "device-renamed" if row.name != name else None


def renewed(
    identity: Identity | None, *, token: str, previous: str | None, fingerprint: str, name: str, unchecked: bool
) -> Identity:
    """The file's content for a start: a new token, and the ledger as it was known until now."""
    before = identity or Identity(token, None, 0, None, fingerprint, name)
    return replace(
        before,
        token=token,
        previous=previous,
        fingerprint=fingerprint,
        name=name,
        tables=len(MIGRATIONS),
        running=True,
        unchecked=unchecked,
    )
