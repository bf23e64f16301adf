"""The database: its connections, its tables, and how one version becomes the next."""

import contextlib
import fcntl
import sqlite3
from pathlib import Path
from typing import IO

from sqlite_utils import Database

from agent.errors import DamagedDatabase, SchemaTooNew, StoreError, WriterBusy

FILE = "fieldgate.db"
LOCK = "writer.lock"

_MOST_PAGES = 1_073_741_823
"""SQLite's own limit."""

_LOG_BYTES = 4_194_304
"""What the write-ahead log keeps of its room once it is written back: as much as it usually takes."""

_FIRST = (
    """CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        epoch TEXT NOT NULL,
        seq INTEGER NOT NULL,
        sha256 TEXT NOT NULL
    )""",
    """CREATE TABLE messages (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        body BLOB NOT NULL,
        sha256 TEXT NOT NULL
    )""",
    "CREATE TABLE outbox (seq INTEGER PRIMARY KEY)",
    """CREATE TABLE records (
        id TEXT PRIMARY KEY,
        seq INTEGER,
        boot TEXT NOT NULL,
        camera TEXT NOT NULL,
        frame INTEGER NOT NULL,
        role TEXT NOT NULL,
        source TEXT,
        part TEXT,
        engine TEXT NOT NULL,
        mode TEXT NOT NULL,
        kept TEXT NOT NULL,
        outcome TEXT NOT NULL,
        disposition TEXT NOT NULL,
        reason TEXT NOT NULL,
        captured_at TEXT NOT NULL,
        evidence TEXT,
        UNIQUE (boot, camera, frame, role)
    )""",
    "CREATE INDEX records_by_source ON records (camera, source) WHERE source IS NOT NULL",
    """CREATE TABLE open_rollups (
        boot TEXT NOT NULL,
        camera TEXT NOT NULL,
        engine TEXT NOT NULL,
        engine_digest TEXT NOT NULL,
        runtime TEXT NOT NULL,
        role TEXT NOT NULL,
        minute INTEGER NOT NULL,
        kernel_boot TEXT NOT NULL,
        wall_minute TEXT NOT NULL,
        last TEXT NOT NULL,
        counts TEXT NOT NULL,
        PRIMARY KEY (boot, camera, engine_digest, role, minute)
    )""",
    """CREATE TABLE cursor_items (
        camera TEXT NOT NULL,
        root TEXT NOT NULL,
        item TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        PRIMARY KEY (camera, root, item)
    ) WITHOUT ROWID""",
    """CREATE TABLE cursor_positions (
        camera TEXT NOT NULL,
        root TEXT NOT NULL,
        upto INTEGER NOT NULL,
        beyond TEXT NOT NULL,
        PRIMARY KEY (camera, root)
    ) WITHOUT ROWID""",
    """CREATE TABLE commands (
        id TEXT PRIMARY KEY,
        verb TEXT NOT NULL,
        received_at TEXT NOT NULL,
        reply TEXT NOT NULL
    )""",
)

# A message's place is one number over all epochs: see agent/store/numbers.py. The first epoch has the number 0, so
# the rows of version 1 are right as they are.
_SECOND = (
    "ALTER TABLE head ADD COLUMN number INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE epochs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        began_at TEXT NOT NULL,
        why TEXT NOT NULL
    )""",
    "INSERT INTO epochs (number, id, began_at, why) SELECT 0, epoch, '', 'first' FROM head",
    "ALTER TABLE messages RENAME COLUMN seq TO n",
    "ALTER TABLE records RENAME COLUMN seq TO n",
    "ALTER TABLE outbox RENAME COLUMN seq TO n",
    "ALTER TABLE outbox ADD COLUMN lane INTEGER NOT NULL DEFAULT 2",
    "ALTER TABLE outbox ADD COLUMN dead TEXT",
    """UPDATE outbox SET lane = (
        SELECT CASE kind WHEN 'inspections' THEN 2 WHEN 'rollups' THEN 3 ELSE 1 END
        FROM messages WHERE messages.n = outbox.n
    )""",
    "CREATE INDEX outbox_by_lane ON outbox (lane, n) WHERE dead IS NULL",
    "CREATE TABLE settled (n INTEGER PRIMARY KEY, at TEXT NOT NULL)",
    """CREATE TABLE receipts (
        consumer TEXT PRIMARY KEY,
        epoch TEXT NOT NULL,
        upto INTEGER NOT NULL,
        at TEXT NOT NULL
    )""",
    """CREATE TABLE evidence (
        record TEXT PRIMARY KEY,
        camera TEXT NOT NULL,
        kept TEXT NOT NULL,
        path TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        captured_at TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'kept',
        asked INTEGER NOT NULL DEFAULT 0,
        held INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        url TEXT,
        reason TEXT
    )""",
    "CREATE INDEX evidence_by_state ON evidence (state, asked, captured_at)",
    """CREATE TABLE clock_marks (
        kernel_boot TEXT PRIMARY KEY,
        monotonic_ns INTEGER NOT NULL,
        wall TEXT NOT NULL,
        source TEXT NOT NULL
    )""",
    """CREATE TABLE identity (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        token TEXT NOT NULL,
        fingerprint TEXT
    )""",
)

_SUM = """INSERT INTO evidence_sums (kept, state, held, bytes, pictures) VALUES ({row}.kept, {row}.state, {row}.held,
    {sign}{row}.bytes, {sign}1) ON CONFLICT (kept, state, held)
    DO UPDATE SET bytes = bytes + excluded.bytes, pictures = pictures + excluded.pictures;"""
_ADD, _TAKE = _SUM.format(row="new", sign=""), _SUM.format(row="old", sign="-")

# What the pictures take, kept by SQLite itself, whoever changes a row: the disk's budget asks every second.
_THIRD = (
    """CREATE TABLE evidence_sums (
        kept TEXT NOT NULL,
        state TEXT NOT NULL,
        held INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        pictures INTEGER NOT NULL,
        PRIMARY KEY (kept, state, held)
    ) WITHOUT ROWID""",
    """INSERT INTO evidence_sums (kept, state, held, bytes, pictures)
        SELECT kept, state, held, sum(bytes), count(*) FROM evidence GROUP BY kept, state, held""",
    f"CREATE TRIGGER evidence_added AFTER INSERT ON evidence BEGIN {_ADD} END",
    f"CREATE TRIGGER evidence_removed AFTER DELETE ON evidence BEGIN {_TAKE} END",
    f"CREATE TRIGGER evidence_changed AFTER UPDATE OF kept, state, held, bytes ON evidence BEGIN {_TAKE} {_ADD} END",
    "ALTER TABLE evidence ADD COLUMN reviewed INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX outbox_dead ON outbox (n) WHERE dead IS NOT NULL",
    "CREATE INDEX evidence_by_worth ON evidence (kept, reviewed, state, held, asked, captured_at)",
    "ALTER TABLE head ADD COLUMN commits INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE identity ADD COLUMN name TEXT",
    "CREATE INDEX evidence_to_send ON evidence (kept, captured_at) WHERE state = 'kept'",
    "CREATE INDEX evidence_asked ON evidence (captured_at) WHERE asked = 1",
    "CREATE INDEX evidence_to_erase ON evidence (record) WHERE state = 'erasing'",
    "CREATE TABLE uploads (day TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    "ALTER TABLE outbox ADD COLUMN acked TEXT",
    "DROP TABLE receipts",
    """CREATE TABLE receipts (
        consumer TEXT NOT NULL,
        epoch TEXT NOT NULL,
        upto INTEGER NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (consumer, epoch)
    ) WITHOUT ROWID""",
    "CREATE TABLE sent_bytes (day TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD)
"""The statements of each version, in order; an applied one is never edited."""


_PASSING = ("disk I/O error", "unable to open", "disk is full", "locked", "readonly", "locking protocol", "memory")
_DAMAGING = ("malformed", "not a database", "unsupported file format")
_SPOILING = ("disk I/O error", "unable to open", "readonly", "locking protocol", "closed database")
_WHAT_TO_DO = "Check the disk, or move the file away to begin anew."


def hold_write_lock(folder: Path) -> IO[str]:
    """Take the database's write lock for as long as the returned object is kept open.

    Raises:
        WriterBusy: Another process holds it.
        StoreError: The folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise StoreError(
            f"{folder}: the store cannot be used: {error.strerror}. Check store.dir and its owner."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise WriterBusy(
            f"{folder}: another fieldgate is running on this store. Stop it, or give another store.dir."
        ) from None
    except OSError as error:
        lock.close()
        raise StoreError(
            f"{folder}: the store cannot be locked: {error.strerror}. Give a store.dir on a local disk."
        ) from None
    return lock


def open_writer(folder: Path, *, limit: int = 0, known_tables: int | None = None) -> Database:
    """The one read-write connection; the caller holds the write lock. Brings the tables up to date.

    Args:
        folder: The store's folder.
        limit: Bytes beyond which the file does not grow; 0: none.
        known_tables: The version of the tables that the file beside the database names; None where none does.

    Raises:
        SchemaTooNew: A newer agent wrote this database.
        DamagedDatabase: The file is damaged, or no database.
        StoreError: It cannot be opened.
    """
    path = folder / FILE
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        db = Database(connection)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        with contextlib.suppress(sqlite3.OperationalError):  # written back, the log begins anew, also on a full disk
            db.execute("PRAGMA wal_checkpoint")
        db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        _migrate(db, path, known_tables)
        limit_pages(db, limit)
    except sqlite3.Error as error:
        _close(connection)
        kind = StoreError if passing(error) else DamagedDatabase
        raise kind(f"{path}: the database cannot be opened: {error}. {_WHAT_TO_DO}") from None
    except StoreError:
        _close(connection)
        raise
    return db


def limit_pages(db: Database, limit: int) -> None:
    """Let the file grow to so many bytes, or not at all where it is larger already; 0: without a limit."""
    size = int(db.execute("PRAGMA page_size").fetchone()[0])
    db.execute(f"PRAGMA max_page_count = {max(1, limit // size) if limit else _MOST_PAGES}")


def passing(error: sqlite3.Error) -> bool:
    """Whether the disk or another process may be the reason, rather than the database's content."""
    return any(word in str(error) for word in _PASSING)


def spoiling(error: sqlite3.Error) -> bool:
    """Whether the connection on which this happened may not be used any more: what it says may not be on the disk."""
    return any(word in str(error) for word in _SPOILING) or damaging(error)


def damaging(error: sqlite3.Error) -> bool:
    """Whether the database's content is the reason."""
    return any(word in str(error) for word in _DAMAGING)


def make_database(path: Path) -> Database:
    """A new database with its tables, to be filled quickly: nothing is durable until its file is synchronised.

    Raises:
        sqlite3.Error: The disk refused.
    """
    connection = sqlite3.connect(path.absolute().as_uri(), uri=True, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    db = Database(connection)
    db.execute("PRAGMA journal_mode = MEMORY")
    db.execute("PRAGMA synchronous = OFF")
    _migrate(db, path, None)
    return db


def _migrate(db: Database, path: Path, known_tables: int | None) -> None:
    """Apply what is missing, each version with its number in one transaction."""
    version = _version(db.conn, path, known_tables)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.conn.in_transaction:  # a full disk has ended it already
                db.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection, path: Path, known_tables: int | None) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if known_tables is not None and version > max(known_tables, len(MIGRATIONS)):
        raise DamagedDatabase(f"{path}: names version {version} of its tables, and nobody has written that")
    if version > len(MIGRATIONS):
        raise SchemaTooNew(
            f"{path}: was written by a newer fieldgate (version {version} of its tables; this one knows "
            f"{len(MIGRATIONS)}). Install that version again, or give another store.dir."
        )
    return version


def _refuse_older(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path, None) < len(MIGRATIONS):
        raise StoreError(f"{path}: was written by an older fieldgate. Start the daemon once: it brings it up to date.")


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def open_reader(folder: Path) -> Database:
    """A read-only connection for the calling thread.

    Raises:
        SchemaTooNew: A newer agent wrote this database.
        StoreError: There is no database, or it cannot be opened.
    """
    path = folder / FILE
    if not path.exists():
        raise StoreError(f"{path}: there is no database yet. Has the daemon run with this store.dir?")
    address = f"{path.absolute().as_uri()}?mode=ro"  # a folder's name may hold what an address may not
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=5)
        connection.execute("PRAGMA query_only = ON")
        _refuse_older(connection, path)
    except sqlite3.Error as error:
        _close(connection)
        raise StoreError(f"{path}: the database cannot be opened for reading: {error}") from None
    except StoreError:
        _close(connection)
        raise
    return Database(connection)
