"""Questions that people ask of the database, each with its own short read-only connection."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from agent.errors import StoreError
from agent.store.dead_letters import dead_letters
from agent.store.outbox import backlog, ledger_facts, outbox_by_kind
from agent.store.schema import FILE, MIGRATIONS, open_reader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Examined:
    """The state of a database file.

    Attributes:
        version: Of its tables.
        known: The newest version that this agent understands.
        faults: What SQLite's quick check found; empty where it is sound or was not asked.
    """

    version: int
    known: int
    faults: tuple[str, ...]


def ask_once(folder: Path, question: Callable[[Database], T]) -> T:
    """Ask one question of the database in a store's folder.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    db = open_reader(folder)
    try:
        return question(db)
    except sqlite3.Error as error:
        raise StoreError(f"{folder / FILE}: the database cannot be read: {error}") from None
    finally:
        with contextlib.suppress(sqlite3.Error):
            db.conn.close()


def standing(folder: Path, *, latest: int = 5) -> dict[str, Any]:
    """What a database tells without a daemon: the ledger, what waits by kind, the latest records.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """

    def question(db: Database) -> dict[str, Any]:
        return {
            "ledger": ledger_facts(db),
            "backlog": {"outbox": backlog(db)},
            "latest": list(
                db.query(
                    "SELECT captured_at, camera, frame, source, outcome, disposition, reason "
                    "FROM records ORDER BY rowid DESC LIMIT ?",
                    [latest],
                )
            ),
        }

    return ask_once(folder, question)


def waiting_by_kind(folder: Path) -> list[dict[str, Any]]:
    """Per kind: how many messages wait, their bytes, their lowest and highest number, since when.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """

    def question(db: Database) -> list[dict[str, Any]]:
        return [{**row, "oldest": _moment_of(db, row["first"])} for row in outbox_by_kind(db)]

    return ask_once(folder, question)


def dead_at(folder: Path) -> list[dict[str, Any]]:
    """Messages that the broker refuses for good: ``seq, epoch, kind, reason``, the first thousand.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    return [one.to_json() for one in ask_once(folder, dead_letters)]


def newest_message(folder: Path) -> tuple[str, bytes] | None:
    """Kind and sealed bytes of the ledger's last message; None in an empty ledger.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """

    def question(db: Database) -> tuple[str, bytes] | None:
        row = db.execute("SELECT kind, body FROM messages ORDER BY n DESC LIMIT 1").fetchone()
        return None if row is None else (str(row[0]), bytes(row[1]))

    return ask_once(folder, question)


def last_row(db: Database) -> int:
    """Where the records end now, to read on from there with ``records_after``; 0 where there are none."""
    return int(db.execute("SELECT coalesce(max(rowid), 0) FROM records").fetchone()[0])


def records_after(db: Database, row: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Sealed records that were stored behind a row, oldest first, each with its own row."""
    rows = db.execute(
        "SELECT r.rowid, m.body FROM records r JOIN messages m ON m.n = r.n WHERE r.rowid > ? ORDER BY r.rowid LIMIT ?",
        [row, limit],
    )
    return [(int(place), json.loads(body)) for place, body in rows.fetchall()]


def examine(folder: Path, *, thoroughly: bool) -> Examined:
    """Look at the database file itself.

    Args:
        folder: The store's folder.
        thoroughly: Also read every page of it; that takes long and holds a read transaction, so not
            beside a running daemon.

    Raises:
        StoreError: There is no database, or it is none.
    """

    def question(db: Database) -> Examined:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        found = db.execute("PRAGMA quick_check(3)").fetchall() if thoroughly else [("ok",)]
        faults = tuple(str(row[0]) for row in found if row[0] != "ok")
        return Examined(version, len(MIGRATIONS), faults)

    return ask_once(folder, question)


def _moment_of(db: Database, n: int) -> str | None:
    row = db.execute("SELECT body FROM messages WHERE n = ?", [n]).fetchone()
    told = json.loads(row[0]) if row else {}
    return told.get("captured_at") or told.get("at")
