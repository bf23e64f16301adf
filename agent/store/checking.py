"""Looks for damage in a database: in its structure, and in the bytes of its messages."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlite_utils import Database

from agent.errors import StoreError
from agent.ledger.sealing import place_of, sha256_hex
from agent.store.identity import Known
from agent.store.numbers import n_of
from agent.store.reader import Reader

_INSTRUCTIONS: Final = 20_000
_MESSAGES: Final = 200
_PERMITTED: Final = ("interrupted", "locked", "busy")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at the database showed.

    Attributes:
        fault: What is damaged; None where nothing was found.
        finished: Whether all of it was looked at.
    """

    fault: str | None
    finished: bool


def look(db: Database, go_on: Callable[[], bool]) -> Finding:
    """Run SQLite's quick check, then compare each message with its hash.

    The quick check is one read transaction; the messages are read in short ones.

    Args:
        db: A connection outside any transaction.
        go_on: Whether there is time; asked often.
    """
    db.conn.set_progress_handler(lambda: not go_on(), _INSTRUCTIONS)
    try:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            return Finding(str(found).splitlines()[-1], finished=True)
        return _messages(db, go_on)
    except sqlite3.DatabaseError as error:
        if any(word in str(error) for word in _PERMITTED):
            return Finding(None, finished=False)
        return Finding(str(error), finished=True)
    finally:
        db.conn.set_progress_handler(None, 0)


def _messages(db: Database, go_on: Callable[[], bool]) -> Finding:
    place = -1
    while go_on():
        sql = "SELECT n, CAST(body AS BLOB), sha256 FROM messages WHERE n > ? ORDER BY n LIMIT ?"
        rows = db.execute(sql, [place, _MESSAGES]).fetchall()
        for n, body, sha256 in rows:
            if sha256_hex(body) != sha256:
                return Finding(f"the message at {n} does not have the bytes that were sealed", finished=True)
            place = n
        if not rows:
            return Finding(None, finished=True)
    return Finding(None, finished=False)


def head_fault(db: Database, known: Known | None) -> str | None:
    """Why the ledger's end cannot be gone on from; None where it can.

    Args:
        db: The database.
        known: The furthest that is known of its epoch from outside.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    row = db.execute("SELECT epoch, seq, sha256, number FROM head").fetchone()
    if row is None:
        return None
    epoch, seq, sha256, number = row
    if not (isinstance(seq, int) and isinstance(number, int) and isinstance(sha256, str)):
        return "the ledger's end does not hold a number and a hash"
    if db.execute("SELECT id FROM epochs WHERE number = ?", [number]).fetchone() != (epoch,):
        return "the ledger's end names an epoch that is not in the list of epochs"
    if known is not None and known.epoch == epoch and known.seq == seq and known.sha256 != sha256:
        return "the ledger's end is not the one that was committed"
    if db.execute("SELECT 1 FROM messages WHERE n > ? LIMIT 1", [n_of(number, seq)]).fetchone() is not None:
        return "there are messages behind the ledger's end"
    last = db.execute("SELECT CAST(body AS BLOB) FROM messages WHERE n = ?", [n_of(number, seq)]).fetchone()
    if last is None:
        return None
    place = place_of(last[0])
    if sha256_hex(last[0]) != sha256 or place is None or (place.epoch, place.seq) != (epoch, seq):
        return "the ledger's end does not fit its last message"
    return None


class Checker:
    """The thread ``check``: goes on with a look that did not end before the start, beside the line.

    Args:
        reader: The database.
        stop: Ends it.
        sound: Called when everything was looked at and nothing found.
        damaged: Called with what was found.
    """

    def __init__(
        self, reader: Reader, *, stop: threading.Event, sound: Callable[[], None], damaged: Callable[[str], None]
    ) -> None:
        self._reader = reader
        self._stop = stop
        self._sound = sound
        self._damaged = damaged

    def run(self) -> None:
        """The thread's body: one look."""
        try:
            finding = self._reader.ask(lambda db: look(db, lambda: not self._stop.is_set()))
        except StoreError as error:
            _log.warning("the database could not be checked", reason=str(error))
            return
        if finding.fault is not None:
            self._damaged(finding.fault)
        elif finding.finished:
            _log.info("the database is sound")
            self._sound()
