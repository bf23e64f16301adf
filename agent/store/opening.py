"""Opens the one database that this process writes: recognises it, checks it, repairs it, remembers where it was."""

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog
from sqlite_utils import Database

from agent.errors import DamagedDatabase, StoreError
from agent.inspection.frame import Moment, utc_text
from agent.ledger.sealing import Origin
from agent.store.beginning import TEXTS, Beginning, begin_epoch, ended_epoch
from agent.store.checking import head_fault, look
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
from agent.store.repair import PARTS, REPAIRING, aside_name, finish, swap
from agent.store.salvage import Salvage, Salvaged
from agent.store.schema import FILE, damaging, make_database, open_writer
from agent.store.transaction import Transaction

SYNC_NS: Final = 60 * 10**9
"""How old the note of the last known number may be after a power cut, beyond what the kernel does by itself."""

CHECK_S: Final = 5.0
"""So long a start looks for damage after an end without a last word; the rest is done beside the line."""

SALVAGE_S: Final = 6.0
"""So long a repair looks for what can be read."""

_log = structlog.get_logger()


class Opening:
    """The database of one device, opened by the one process that holds its lock.

    The journal's thread owns it once the journal runs; ``checked`` may be called from any.

    Args:
        folder: The store's folder; the caller holds the write lock.
        origin: This device and process.
        now: The clock.
        new_id: Makes a UUIDv7.
        hardware: This device's fingerprint.
        limit: Bytes beyond which the file does not grow; 0: none.
        check_s: How long a start may look for damage.
        salvage_s: How long a repair may look for what can be read.

    Attributes:
        db: The one read-write connection.
        beginning: Why a new epoch began when it was last opened; None where the old one went on.
        unchecked: Whether the look for damage is still to be finished, beside the line.

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
        check_s: float = CHECK_S,
        salvage_s: float = SALVAGE_S,
    ) -> None:
        self._folder = folder
        self._origin = origin
        self._now = now
        self._new_id = new_id
        self._hardware = fingerprint() if hardware is None else hardware
        self._name = f"{origin.site}/{origin.device}"
        self._limit = limit
        self._check_s = check_s
        self._salvage_s = salvage_s
        self._note = LastKnown(folder)
        self._synced_ns = now().monotonic_ns
        self._lock = threading.Lock()
        self.beginning: Beginning | None = None
        self.unchecked = False
        self.db: Database
        self._open()

    def _open(self) -> None:
        swap(self._folder, self._aside())
        identity = self._identity()
        try:
            try:
                self._open_sound(identity)
            except DamagedDatabase as damage:
                self._repair(identity, str(damage))
            else:
                self._recognise(identity)
        except sqlite3.Error as error:
            self._hang_up()
            raise StoreError(f"the database cannot be written: {error}. Check the disk that store.dir is on.") from None
        except BaseException:
            self._hang_up()
            raise

    def reopen(self, fault: str | None) -> None:
        """A new connection in the place of one that can no longer be trusted; a damaged database is repaired first.

        Args:
            fault: What is damaged; None where only the disk refused.

        Raises:
            StoreError: The disk refuses still.
        """
        self._hang_up()
        self.beginning = None
        try:
            if fault is None:
                fault = self._opened_again()
            if fault is not None:
                self._repair(self._own, fault)
        except sqlite3.Error as error:
            self._hang_up()
            raise StoreError(f"the database cannot be written: {error}. Check the disk that store.dir is on.") from None

    def _opened_again(self) -> str | None:
        """Open the same database once more; what is damaged in it, if that shows."""
        try:
            self.db = open_writer(self._folder, limit=self._limit, known_tables=self._own.tables)
            # What a failed fsync left in the log may never have reached the disk: write it anew, to another place.
            busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise StoreError("the database's log cannot be emptied now: somebody reads it")
            return head_fault(self.db, self._known)
        except DamagedDatabase as damage:
            return str(damage)
        except sqlite3.DatabaseError as error:
            if damaging(error):
                return str(error)
            raise

    def _hang_up(self) -> None:
        with contextlib.suppress(sqlite3.Error, AttributeError):
            self.db.conn.close()

    def _identity(self) -> Identity | None:
        try:
            return read_identity(self._folder)
        except StoreError as error:
            _log.error("the database cannot be recognised by its file", reason=str(error))
            return None

    # -- damage

    def _open_sound(self, identity: Identity | None) -> None:
        """Open the database and, after an end without a last word, look for damage.

        Raises:
            DamagedDatabase: It is damaged.
            StoreError: It cannot be opened.
        """
        path = self._folder / FILE
        if (not path.exists() or path.stat().st_size == 0) and _size(path.with_name(f"{FILE}-wal")):
            raise DamagedDatabase("the file is gone or empty, and its log is there")
        known_tables = identity.tables if identity else None
        self.db = open_writer(self._folder, limit=self._limit, known_tables=known_tables)
        try:
            fault = self._fault(identity)
        except sqlite3.DatabaseError as error:
            if not damaging(error) and "no such" not in str(error):
                raise
            fault = str(error)
        if fault is not None:
            self._hang_up()
            raise DamagedDatabase(fault)

    def _fault(self, identity: Identity | None) -> str | None:
        self.unchecked = False
        if identity is None or identity.running or identity.unchecked:
            end = time.monotonic() + self._check_s
            finding = look(self.db, lambda: time.monotonic() < end)
            if finding.fault is not None:
                return finding.fault
            self.unchecked = not finding.finished
        head = self.db.execute("SELECT epoch FROM head").fetchone()
        return head_fault(self.db, self._furthest(head[0] if head else None, identity))

    def _repair(self, identity: Identity | None, fault: str) -> None:
        """Take what can be read into a new database, and put that in the place of the damaged one, which is kept."""
        _log.error("the database is damaged and is repaired", reason=fault)
        own = self._renewed(identity, previous=None)
        own.write(self._folder)
        repairing, aside = self._folder / REPAIRING, self._aside()
        for part in PARTS:
            repairing.with_name(f"{REPAIRING}{part}").unlink(missing_ok=True)
        db = make_database(repairing)
        try:
            salvaged = self._salvaged(db, identity)
            self.beginning = _after_damage(fault, salvaged, self._folder / aside)
            first = begin_epoch(db, self.beginning, own, origin=self._origin, moment=self._now(), new_id=self._new_id)
            last = _known(db, first)
        finally:
            db.conn.close()
        try:
            finish(self._folder, repairing)
        except OSError as error:
            raise StoreError(f"{repairing}: cannot be written: {error.strerror}. Make room on the disk.") from None
        swap(self._folder, aside)
        self.db = open_writer(self._folder, limit=self._limit)
        self.unchecked = False
        self._begun(own, first, last)
        _log.warning("a new epoch begins", code=self.beginning.code, reason=self.beginning.text)

    def _salvaged(self, db: Database, identity: Identity | None) -> Salvaged:
        note, kept = self._note.read(), identity.known if identity else None
        known = latest((kept or note).epoch, note, kept) if (kept or note) else None  # type: ignore[union-attr]
        end = time.monotonic() + self._salvage_s
        return Salvage(
            self._folder / FILE,
            db,
            known=known,
            number=identity.number if identity else 0,
            go_on=lambda: time.monotonic() < end,
        ).run()

    def _aside(self) -> str:
        return aside_name(self._now().wall)

    # -- whose database it is

    def _recognise(self, identity: Identity | None) -> None:
        """Find out whether this is the database that this device wrote last, and give both a new token."""
        row = _row(self.db)
        self.beginning = self._judged(identity, row)
        if self.beginning is not None:
            _log.warning("a new epoch begins", code=self.beginning.code, reason=self.beginning.text)
        own = self._renewed(identity, previous=None if self.beginning else row.token)
        own = self._written(own, row.token)
        first = begin_epoch(self.db, self.beginning, own, origin=self._origin, moment=self._now(), new_id=self._new_id)
        self._begun(own, first, _known(self.db, first))

    def _renewed(self, identity: Identity | None, *, previous: str | None) -> Identity:
        return renewed(
            identity,
            token=secrets.token_hex(16),
            previous=previous,
            fingerprint=self._hardware,
            name=self._name,
            unchecked=self.unchecked,
        )

    def _begun(self, own: Identity, first: Transaction, known: Known) -> None:
        """Both have the new token now; the one before it belongs to backups only."""
        self._own, self._number, self._known = replace(own, previous=None), first.epoch_number, known
        self._note.write(self._known)
        self._note.sync()  # from now on a missing note means trouble
        self._keep(running=True)

    def _furthest(self, epoch: str | None, identity: Identity | None) -> Known | None:
        """The furthest that is known of an epoch from outside the database."""
        return latest(epoch, self._note.read(), identity.known if identity else None)

    def _judged(self, identity: Identity | None, row: Row) -> Beginning | None:
        kept = identity.known if identity else None
        head = self.db.execute("SELECT epoch, seq FROM head").fetchone()
        if head is None:
            lost = kept or self._note.read()
            if lost is None:
                return None  # the first start
            ended = [ended_epoch(lost.epoch, None, self._furthest(lost.epoch, identity))]
            number = identity.number + 1 if identity else 0
            return Beginning("database-lost", TEXTS["database-lost"], tuple(ended), number)
        epoch, seq = head
        known = self._furthest(epoch, identity)
        code = stranger(row, identity, fingerprint=self._hardware, name=self._name)
        if code is None and known is not None and known.seq > seq:
            code = "database-behind"
        if code is None and identity is not None and identity.running and self._note.read() is None:
            code = "database-unsure"
        if code is None:
            return None
        ended = [ended_epoch(epoch, seq, known)]
        if kept is not None and not _holds(self.db, kept.epoch):  # ours is gone, and this one came in its place
            ended.append(ended_epoch(kept.epoch, None, self._furthest(kept.epoch, identity)))
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

    # -- while it is in use

    def committed(self, transaction: Transaction) -> None:
        """Note where the ledger is now; after each commit of the journal, on its thread."""
        self._known = _known(self.db, transaction)
        self._note.write(self._known)
        if transaction.moment.monotonic_ns - self._synced_ns >= SYNC_NS:
            self._synced_ns = transaction.moment.monotonic_ns
            self._note.sync()

    def checked(self) -> None:
        """The look for damage that this start left unfinished is over, and nothing was found."""
        self.unchecked = False
        self._keep(running=True)

    def close(self, *, sound: bool = True) -> None:
        """The orderly end: nothing more will be written.

        Args:
            sound: Whether the last commit succeeded, so that the next start need not look for damage.
        """
        self._hang_up()
        self._note.close()
        self._keep(running=not sound)

    def _keep(self, *, running: bool) -> None:
        """Bring the file up to date; where the disk refuses, it says less, and nothing wrong."""
        with self._lock:
            self._own = replace(
                self._own, known=self._known, number=self._number, running=running, unchecked=self.unchecked
            )
            try:
                self._own.write(self._folder)
            except StoreError as error:
                _log.warning("the database's file is not up to date", reason=str(error))


def _after_damage(fault: str, salvaged: Salvaged, aside: Path) -> Beginning:
    parts = [
        f"the database was damaged and is kept as {aside.name} ({fault})",
        f"{salvaged.kept} messages were recovered, {salvaged.waiting} of them are still to be sent",
    ]
    if salvaged.lost:
        parts.append(f"{salvaged.lost} numbers will not come unless they were received")
    if not salvaged.whole:
        parts.append("there was no time or room to look everywhere")
    return Beginning("database-damaged", "; ".join(parts), salvaged.ended, salvaged.number + 1)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _row(db: Database) -> Row:
    row = db.execute("SELECT token, fingerprint, name FROM identity").fetchone()
    return Row(*row) if row else Row(None, None, None)


def _holds(db: Database, epoch: str) -> bool:
    return db.execute("SELECT 1 FROM epochs WHERE id = ?", [epoch]).fetchone() is not None


def _last_number(db: Database) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) FROM epochs").fetchone()[0])


def _known(db: Database, transaction: Transaction) -> Known:
    first = n_of(transaction.epoch_number, 0)
    waiting = db.execute("SELECT min(n) FROM outbox WHERE n >= ?", [first]).fetchone()[0]
    settled = transaction.seq if waiting is None else seq_of(waiting) - 1
    return Known(transaction.epoch, transaction.seq, transaction.sha256, settled, utc_text(transaction.moment.wall))
