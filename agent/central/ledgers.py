"""The collector's file: every byte that devices said, and what is known about their ledgers. SQLite, one writer."""

import fcntl
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Final

from agent.central.proof import Explained, Link, Missing
from agent.central.reading import Head, Message, Strange
from agent.errors import StoreError
from agent.inspection.frame import utc_text

MOST_STRANGE: Final = 10_000
"""Rows of ``strange`` that are kept; more are only counted, so that nobody can fill the disk with rubbish."""

_MARK: Final = 0x46474C31  # "FGL1": this file is a collector's
_TABLES: Final = (
    """CREATE TABLE ledgers (
        number INTEGER PRIMARY KEY,
        site TEXT NOT NULL,
        device TEXT NOT NULL,
        epoch TEXT NOT NULL,
        head INTEGER NOT NULL DEFAULT 0,
        after INTEGER,
        duplicates INTEGER NOT NULL DEFAULT 0,
        frames_lost INTEGER NOT NULL DEFAULT 0,
        UNIQUE (site, device, epoch)
    )""",
    """CREATE TABLE messages (
        ledger INTEGER NOT NULL REFERENCES ledgers (number),
        seq INTEGER NOT NULL,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        prev TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        at TEXT NOT NULL,
        received_at TEXT NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (ledger, seq)
    )""",
    """CREATE TABLE gaps (
        ledger INTEGER NOT NULL REFERENCES ledgers (number),
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        last_sha256 TEXT NOT NULL,
        told_by TEXT NOT NULL,
        PRIMARY KEY (ledger, first, last, last_sha256)
    ) WITHOUT ROWID""",
    """CREATE TABLE conflicts (
        ledger INTEGER NOT NULL REFERENCES ledgers (number),
        seq INTEGER NOT NULL,
        id TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        received_at TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (sha256, ledger, seq)
    )""",
    """CREATE TABLE strange (
        sha256 TEXT PRIMARY KEY,
        topic TEXT NOT NULL,
        why TEXT NOT NULL,
        times INTEGER NOT NULL DEFAULT 1,
        received_at TEXT NOT NULL,
        body BLOB NOT NULL
    )""",
    "CREATE TABLE not_kept (name TEXT PRIMARY KEY, times INTEGER NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Ledger:
    """One ledger of the file.

    Attributes:
        number: Its row.
        site: Where the device stands.
        device: Its name.
        epoch: Which of its ledgers.
        head: The highest number that the device has published; 0 where none is known.
        after: The last number that the device knew of it when it could not carry it on; None while it is.
        duplicates: How often a message came again.
        frames_lost: Frames whose verdicts the device says were lost.
    """

    number: int
    site: str
    device: str
    epoch: str
    head: int
    after: int | None
    duplicates: int
    frames_lost: int


class LedgerFile:
    """Where a collector keeps what it receives.

    Args:
        path: The file; made where there is none.
        writing: Whether this process collects into it; only one at a time may.

    Raises:
        StoreError: It cannot be opened, is no collector's file, or another process collects into it.
    """

    def __init__(self, path: Path, *, writing: bool) -> None:
        self.path = path
        self._lock = path.with_name(f"{path.name}.lock").open("a") if writing else None
        try:
            self._claim()
            self._db = self._opened(writing=writing)
        except StoreError:
            self._release()
            raise
        except sqlite3.Error as fault:
            self._release()
            raise StoreError(
                f"{path} cannot be opened: {fault}. Name a file that fieldgate collect has made"
            ) from fault

    def __enter__(self) -> "LedgerFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was not committed is gone, and its sender has not been told that it was stored."""
        self._db.close()
        self._release()

    def begin(self) -> None:
        """Begin a transaction."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make everything since ``begin`` durable.

        Raises:
            StoreError: The disk refused; nothing of it may be acknowledged.
        """
        try:
            self._db.commit()
        except sqlite3.Error as fault:
            raise StoreError(f"{self.path} cannot be written: {fault}") from fault

    def keep(self, message: Message) -> bool:
        """Store a message once; False where it is here already, or contradicts one that is."""
        ledger = self.ledger(message.site, message.device, message.epoch)
        now = _now()
        row = (ledger.number, message.seq, message.id, message.kind, message.prev, message.sha256, message.at, now)
        done = self._db.execute(
            "INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, message.body)
        )
        if done.rowcount:
            self._note(message, ledger)
            return True
        same = self._db.execute(
            "SELECT 1 FROM messages WHERE id = ? AND ledger = ? AND seq = ? AND sha256 = ?",
            (message.id, ledger.number, message.seq, message.sha256),
        ).fetchone()
        if same:
            self._db.execute("UPDATE ledgers SET duplicates = duplicates + 1 WHERE number = ?", (ledger.number,))
        else:
            conflict = (ledger.number, message.seq, message.id, message.sha256, now, message.body)
            self._db.execute("INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?, ?, ?, ?)", conflict)
        return False

    def keep_strange(self, topic: str, strange: Strange, sha256: str) -> None:
        """Store what is no message; beyond ``MOST_STRANGE`` different ones they are only counted."""
        again = self._db.execute("UPDATE strange SET times = times + 1 WHERE sha256 = ?", (sha256,))
        if again.rowcount:
            return
        (rows,) = self._db.execute("SELECT count(*) FROM strange").fetchone()
        if rows < MOST_STRANGE:
            row = (sha256, topic, strange.why, 1, _now(), strange.body)
            self._db.execute("INSERT INTO strange VALUES (?, ?, ?, ?, ?, ?)", row)
        else:
            self._db.execute(
                "INSERT INTO not_kept VALUES ('strange', 1) ON CONFLICT (name) DO UPDATE SET times = times + 1"
            )

    def keep_head(self, head: Head) -> None:
        """Note how far a device says that its ledger reaches."""
        ledger = self.ledger(head.site, head.device, head.epoch)
        self._db.execute("UPDATE ledgers SET head = max(head, ?) WHERE number = ?", (head.head, ledger.number))

    def ledger(self, site: str, device: str, epoch: str) -> Ledger:
        """The ledger of a device and epoch; made where it is new."""
        key = (site, device, epoch)
        asked = "SELECT * FROM ledgers WHERE site = ? AND device = ? AND epoch = ?"
        row = self._db.execute(asked, key).fetchone()
        if row is None:
            self._db.execute("INSERT INTO ledgers (site, device, epoch) VALUES (?, ?, ?)", key)
            row = self._db.execute(asked, key).fetchone()
        return Ledger(*row)

    def ledgers(self) -> list[Ledger]:
        """Every ledger, by site and device, in the order in which they were first heard of."""
        return [Ledger(*row) for row in self._db.execute("SELECT * FROM ledgers ORDER BY site, device, number")]

    def ledgers_of(self, site: str, device: str) -> list[Ledger]:
        """The ledgers of one device, in the order in which they were first heard of."""
        asked = "SELECT * FROM ledgers WHERE site = ? AND device = ? ORDER BY number"
        return [Ledger(*row) for row in self._db.execute(asked, (site, device))]

    def links(self, ledger: int, after: int = 0) -> Iterator[Link]:
        """The chain of a ledger above a number, as it was noted at arrival."""
        asked = "SELECT seq, prev, sha256 FROM messages WHERE ledger = ? AND seq > ? ORDER BY seq"
        return (Link(*row) for row in self._db.execute(asked, (ledger, after)))

    def bodies(self, ledger: int) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each message of a ledger, numbers rising."""
        return iter(self._db.execute("SELECT seq, body FROM messages WHERE ledger = ? ORDER BY seq", (ledger,)))

    def explained(self, ledger: Ledger) -> Explained:
        """What gaps say about a ledger."""
        rows = self._db.execute("SELECT first, last, last_sha256 FROM gaps WHERE ledger = ?", (ledger.number,))
        return Explained((Missing(*row) for row in rows), ledger.after)

    def gap_bodies(self, site: str, device: str) -> Iterator[bytes]:
        """The bytes of every gap that a device has told, in any of its ledgers."""
        asked = (
            "SELECT m.body FROM messages m JOIN ledgers l ON l.number = m.ledger "
            "WHERE m.kind = 'gap' AND l.site = ? AND l.device = ?"
        )
        return (body for (body,) in self._db.execute(asked, (site, device)))

    def at(self, ledger: int, upto: int) -> str:
        """When the last message up to a number was made, as text; empty where there is none."""
        asked = "SELECT at FROM messages WHERE ledger = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"
        row = self._db.execute(asked, (ledger, upto)).fetchone()
        return str(row[0]) if row else ""

    def conflicts(self, ledger: int) -> list[tuple[int, str]]:
        """Number and id of each message that contradicts one that was there before."""
        return list(self._db.execute("SELECT seq, id FROM conflicts WHERE ledger = ? ORDER BY seq", (ledger,)))

    def strange(self) -> list[tuple[str, str, int]]:
        """Topic, why and how often, of what was no message."""
        return list(self._db.execute("SELECT topic, why, times FROM strange ORDER BY received_at"))

    def not_kept(self) -> int:
        """How many strange ones were not kept."""
        row = self._db.execute("SELECT times FROM not_kept WHERE name = 'strange'").fetchone()
        return int(row[0]) if row else 0

    def _note(self, message: Message, ledger: Ledger) -> None:
        """What a new message says about numbers that never come."""
        if message.frames:
            asked = "UPDATE ledgers SET frames_lost = frames_lost + ? WHERE number = ?"
            self._db.execute(asked, (message.frames, ledger.number))
        if message.told is None:
            return
        about = self.ledger(message.site, message.device, message.told.epoch).number
        if message.told.gap is not None:
            gap = message.told.gap
            row = (about, gap.first, gap.last, gap.last_sha256, message.id)
            self._db.execute("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?)", row)
        else:
            asked = "UPDATE ledgers SET after = min(coalesce(after, ?1), ?1) WHERE number = ?2"
            self._db.execute(asked, (message.told.after, about))

    def _claim(self) -> None:
        if self._lock is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise StoreError(
                f"another process collects into {self.path}; give each collector a file of its own"
            ) from fault

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _opened(self, *, writing: bool) -> sqlite3.Connection:
        if not writing and not self.path.is_file():
            raise StoreError(f"there is no file {self.path}; fieldgate collect --to {self.path} makes it")
        where = self.path if writing else f"{self.path.resolve().as_uri()}?mode=ro"
        db = sqlite3.connect(where, uri=not writing, isolation_level=None)
        mark = db.execute("PRAGMA application_id").fetchone()[0]
        empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if mark != _MARK and not (writing and empty):
            db.close()
            raise StoreError(f"{self.path} was not made by fieldgate collect; name another file")
        if writing:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            if empty:
                db.execute("BEGIN IMMEDIATE")
                for statement in _TABLES:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {_MARK}")
                db.commit()
        return db


def _now() -> str:
    return utc_text(datetime.now(timezone.utc))
