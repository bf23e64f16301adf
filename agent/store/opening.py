"""Opens the one database that this process writes: finds out whether it is ours, and remembers where it was."""

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog
from sqlite_utils import Database

from agent.errors import StoreError
from agent.inspection.frame import Moment, utc_text
from agent.ledger.sealing import Origin
from agent.store.beginning import TEXTS, Beginning, begin_epoch, ended_epoch
from agent.store.identity import (
    Identity,
    Known,
    LastKnown,
    Row,
    fingerprint,
    latest,
    read_identity,
    renewed,
    stranger,
)
from agent.store.numbers import n_of, seq_of
from agent.store.schema import open_writer
from agent.store.transaction import Transaction

SYNC_NS: Final = 60 * 10**9
"""How old the note of the last known number may be after a power cut, beyond what the kernel does by itself."""

_log = structlog.get_logger()


class Opening:
    """The database of one device, opened by the one process that holds its lock.

    Args:
        folder: The store's folder; the caller holds the write lock.
        origin: This device and process.
        now: The clock.
        new_id: Makes a UUIDv7.
        hardware: This device's fingerprint.
        limit: Bytes beyond which the file does not grow; 0: none.

    Attributes:
        db: The one read-write connection.
        beginning: Why a new epoch began at this opening; None where the old one goes on.

    Raises:
        SchemaTooNew: A newer agent wrote this database.
        StoreError: It cannot be opened, or not be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        origin: Origin,
        now: Callable[[], Moment],
        new_id: Callable[[], str],
        hardware: str | None = None,
        limit: int = 0,
    ) -> None:
        self._folder = folder
        self._origin = origin
        self._now = now
        self._new_id = new_id
        self._hardware = fingerprint() if hardware is None else hardware
        self._name = f"{origin.site}/{origin.device}"
        self._note = LastKnown(folder)
        self._synced_ns = now().monotonic_ns
        self.beginning: Beginning | None = None
        self.db = open_writer(folder, limit=limit)
        try:
            self._recognise()
        except sqlite3.Error as error:
            self.db.conn.close()
            raise StoreError(f"the database cannot be written: {error}. Check the disk that store.dir is on.") from None
        except BaseException:
            self.db.conn.close()
            raise

    def _recognise(self) -> None:
        """Find out whether this is the database that this device wrote last, and give both a new token."""
        identity, row = self._identity(), _row(self.db)
        self.beginning = self._judged(identity, row)
        if self.beginning is not None:
            _log.warning("a new epoch begins", code=self.beginning.code, reason=self.beginning.text)
        own = renewed(
            identity,
            token=secrets.token_hex(16),
            previous=None if self.beginning else row.token,
            fingerprint=self._hardware,
            name=self._name,
        )
        own = self._written(own, row.token)
        moment = self._now()
        first = begin_epoch(self.db, self.beginning, own, origin=self._origin, moment=moment, new_id=self._new_id)
        # Both have the new token now; the one before it belongs to backups only.
        self._own, self._number, self._known = replace(own, previous=None), first.epoch_number, _known(first)
        self._note.write(self._known)
        self._keep(running=True)

    def _identity(self) -> Identity | None:
        try:
            return read_identity(self._folder)
        except StoreError as error:
            _log.error("the database cannot be recognised by its file", reason=str(error))
            return None

    def _judged(self, identity: Identity | None, row: Row) -> Beginning | None:
        note, kept = self._note.read(), identity.known if identity else None
        head = self.db.execute("SELECT epoch, seq FROM head").fetchone()
        if head is None:
            lost = kept or note
            if lost is None:
                return None  # the first start
            ended = [ended_epoch(lost.epoch, None, latest(lost.epoch, note, kept))]
            return Beginning(
                "database-lost", TEXTS["database-lost"], tuple(ended), identity.number + 1 if identity else 0
            )
        epoch, seq = head
        known = latest(epoch, note, kept)
        code = stranger(row, identity, fingerprint=self._hardware, name=self._name)
        if code is None and known is not None and known.seq > seq:
            code = "database-behind"
        if code is None:
            return None
        ended = [ended_epoch(epoch, seq, known)]
        if kept is not None and not _holds(self.db, kept.epoch):  # ours is gone, and this one came in its place
            ended.append(ended_epoch(kept.epoch, None, latest(kept.epoch, note, kept)))
        return Beginning(code, TEXTS[code], tuple(ended), _last_number(self.db) + 1)

    def _written(self, own: Identity, token: str | None) -> Identity:
        """Write the file; where the disk refuses, both keep the token that they have."""
        try:
            own.write(self._folder)
        except StoreError as error:
            if token is None:
                raise
            _log.warning("the database gets no new token", reason=str(error))
            return replace(own, token=token)
        return own

    def committed(self, transaction: Transaction) -> None:
        """Note where the ledger is now; after each commit of the journal, on its thread."""
        self._known = _known(transaction)
        self._note.write(self._known)
        if transaction.moment.monotonic_ns - self._synced_ns >= SYNC_NS:
            self._synced_ns = transaction.moment.monotonic_ns
            self._note.sync()

    def close(self) -> None:
        """The orderly end: nothing more will be written, and the next start need not look for damage."""
        self.db.close()
        self._note.close()
        self._keep(running=False)

    def _keep(self, *, running: bool) -> None:
        """Bring the file up to date; where the disk refuses, it says less, and nothing wrong."""
        self._own = replace(self._own, known=self._known, number=self._number, running=running)
        try:
            self._own.write(self._folder)
        except StoreError as error:
            _log.warning("the database's file is not up to date", reason=str(error))


def _row(db: Database) -> Row:
    row = db.execute("SELECT token, fingerprint, name FROM identity").fetchone()
    return Row(*row) if row else Row(None, None, None)


def _holds(db: Database, epoch: str) -> bool:
    return db.execute("SELECT 1 FROM epochs WHERE id = ?", [epoch]).fetchone() is not None


def _last_number(db: Database) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) FROM epochs").fetchone()[0])


def _known(transaction: Transaction) -> Known:
    first = n_of(transaction.epoch_number, 0)
    waiting = transaction.db.execute("SELECT min(n) FROM outbox WHERE n >= ?", [first]).fetchone()[0]
    settled = transaction.seq if waiting is None else seq_of(waiting) - 1
    return Known(transaction.epoch, transaction.seq, transaction.sha256, settled, utc_text(transaction.moment.wall))
