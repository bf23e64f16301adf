"""What goes, in the order of its worth, and how the ledger tells it: entries for the journal.

What the centre has already goes without a word. What it does not have is told by a gap in the same transaction, so
that a consumer knows what will never come.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from agent.inspection.frame import utc_text
from agent.ledger.gaps import GAPS, evidence_gap_body, number_gap_body, number_gaps
from agent.ledger.lanes import AGAIN
from agent.ledger.worth import LANES, NEVER, ON_DISK, PICTURES
from agent.store.numbers import epoch_number, seq_of
from agent.store.schema import limit_pages
from agent.store.transaction import Transaction

TOGETHER: Final = 500
"""At most so many pictures or messages go in one transaction."""

ROW_BYTES: Final = 500
"""About what a message takes beside its body: its rows in other tables and in indexes."""

REPLIES_KEPT: Final = 100_000
"""So many last words on commands are kept, whatever the clock says."""

_PLAUSIBLE: Final = "2025"
"""Older pictures were taken while the clock was not set: nobody knows their age."""

_NOT_HELD: Final = "NOT EXISTS (SELECT 1 FROM evidence e WHERE e.record = m.id AND e.held = 1)"


@dataclass(slots=True)
class Evicted:
    """What one transaction let go.

    Attributes:
        paths: Files below the evidence folder that nothing names any more.
        bytes: Their sizes, or about what the messages took.
        settled: How many pictures or messages somebody else has.
        unsettled: How many nobody else has; gaps tell them.
    """

    paths: list[str] = field(default_factory=list)
    bytes: int = 0
    settled: int = 0
    unsettled: int = 0


Done = Callable[[Evicted], None]
"""Hears after the commit, on the journal's thread, what went; must not wait."""


@dataclass(frozen=True, slots=True)
class Eviction(ABC):
    """What all of these entries have in common: they count what went and tell it after the commit.

    Attributes:
        done: Hears what went.
        went: Counted anew by each ``write``.
    """

    done: Done
    went: Evicted = field(default_factory=Evicted, init=False)

    @property
    def urgent(self) -> bool:
        """Nobody waits for a verdict here."""
        return False

    def write(self, transaction: Transaction) -> None:
        """Choose what goes, take it out and tell it."""
        self.went.paths.clear()
        self.went.bytes = self.went.settled = self.went.unsettled = 0
        self._evict(transaction)

    @abstractmethod
    def _evict(self, transaction: Transaction) -> None:
        """Choose, take out, tell."""

    def committed(self) -> None:
        """Now the files may go too."""
        self.done(self.went)

    def _count_messages(self, chosen: "Sequence[_Message]") -> None:
        self.went.bytes += sum(one.bytes for one in chosen)
        self.went.settled += sum(one.settled for one in chosen)
        self.went.unsettled += sum(not one.settled for one in chosen)

    def _let_pictures_go(self, transaction: Transaction, chosen: "Sequence[Picture]", code: str) -> None:
        db = transaction.db.conn
        for one in chosen:
            db.execute("UPDATE evidence SET state = 'evicted', reason = ? WHERE record = ?", (code, one.record))
            db.execute(
                "DELETE FROM evidence WHERE record = ? AND record NOT IN (SELECT id FROM records)", (one.record,)
            )
        self.went.paths.extend(one.path for one in chosen)
        self.went.bytes += sum(one.bytes for one in chosen)
        lost = [one.record for one in chosen if one.state != "stored"]
        self.went.settled += len(chosen) - len(lost)
        self.went.unsettled += len(lost)
        if lost:
            transaction.message("gaps", evidence_gap_body(transaction.moment, lost, code=code, text=GAPS[code]))


@dataclass(frozen=True, slots=True)
class EvictPictures(Eviction):
    """Let the least valuable pictures go until so many bytes are free, or as many as go in one transaction.

    Attributes:
        wanted: Bytes.
    """

    wanted: int

    def _evict(self, transaction: Transaction) -> None:
        chosen = least_valuable(transaction.db.conn, self.wanted)
        self._let_pictures_go(transaction, chosen, "evidence-evicted")


@dataclass(frozen=True, slots=True)
class ExpirePictures(Eviction):
    """Let pictures go whose class is kept for so long and no longer. Ages count only while the clock is synced.

    Attributes:
        days: By ``kept``; what is not in it, or 0, may have any age.
    """

    days: Mapping[str, float]

    def _evict(self, transaction: Transaction) -> None:
        if transaction.moment.state != "synced":
            return
        for kept, days in self.days.items():
            before = utc_text(transaction.moment.wall - timedelta(days=days)) if days else ""
            chosen = _older(transaction.db.conn, kept, before, TOGETHER - len(self.went.paths))
            self._let_pictures_go(transaction, chosen, "evidence-expired")


@dataclass(frozen=True, slots=True)
class ForgetPictures(Eviction):
    """Say of pictures that their files are gone, unless they went in order meanwhile.

    Attributes:
        records: Their records.
        code: Why: ``evidence-missing``, or ``evidence-evicted`` where it was the agent.
    """

    records: Sequence[str]
    code: str = "evidence-missing"

    def _evict(self, transaction: Transaction) -> None:
        marks = ", ".join("?" * len(self.records))
        rows = transaction.db.conn.execute(
            f"SELECT record, path, 0, state FROM evidence WHERE record IN ({marks}) AND state IN (?, ?, ?)",  # noqa: S608
            (*self.records, *ON_DISK),
        )
        self._let_pictures_go(transaction, [Picture(*row) for row in rows.fetchall()], self.code)


@dataclass(frozen=True, slots=True)
class ExpireMessages(Eviction):
    """Let settled messages go that were kept long enough, and old replies to commands.

    Attributes:
        days: How long they are kept; counts only while the clock is synced.
    """

    days: float

    def _evict(self, transaction: Transaction) -> None:
        db = transaction.db.conn
        db.execute("DELETE FROM commands WHERE rowid <= (SELECT max(rowid) FROM commands) - ?", (REPLIES_KEPT,))
        if transaction.moment.state != "synced":
            return
        before = utc_text(transaction.moment.wall - timedelta(days=self.days))
        wanted_again = {n for (n,) in db.execute(f"SELECT n FROM outbox WHERE lane = {AGAIN} AND dead IS NULL")}  # noqa: S608
        chosen = [one for one in _settled(db, TOGETHER) if one.at < before and one.n not in wanted_again]
        _remove(db, chosen)
        self._count_messages(chosen)


@dataclass(frozen=True, slots=True)
class EvictMessages(Eviction):
    """Let messages go until about so many bytes are free: settled ones first, then by worth, the oldest first.

    Attributes:
        wanted: Bytes.
    """

    wanted: int

    def _evict(self, transaction: Transaction) -> None:
        db = transaction.db.conn
        chosen = _least_valuable_messages(db, self.wanted)
        lost = sorted((one for one in chosen if not one.settled), key=lambda one: one.n)
        _remove(db, chosen)
        self._count_messages(chosen)
        names = dict(db.execute("SELECT number, id FROM epochs").fetchall())
        for gap in number_gaps((names[epoch_number(one.n)], seq_of(one.n), one.sha256) for one in lost):
            code = "ledger-evicted"
            transaction.message("gaps", number_gap_body(transaction.moment, gap, code=code, text=GAPS[code]))


@dataclass(frozen=True, slots=True)
class LimitFile:
    """How far the database's file may grow from now on; no message.

    Attributes:
        limit: Bytes; at or below its size it does not grow at all; 0: no limit.
        done: Called when it is set.
    """

    limit: int
    done: Callable[[], None]
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Set it."""
        limit_pages(transaction.db, self.limit)

    def committed(self) -> None:
        """Say that it is set."""
        self.done()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that may go: its record, its file below the evidence folder, its size, its state."""

    record: str
    path: str
    bytes: int
    state: str


@dataclass(frozen=True, slots=True)
class _Message:
    n: int
    id: str
    sha256: str
    bytes: int
    at: str = ""

    @property
    def settled(self) -> bool:
        """Whether somebody else has it."""
        return bool(self.at)


def least_valuable(db: sqlite3.Connection, wanted: int) -> list[Picture]:
    """Pictures of together at least so many bytes, the least valuable first; never one that is held."""
    chosen: list[Picture] = []
    for one in PICTURES:
        for state in ON_DISK:
            if wanted <= 0 or len(chosen) == TOGETHER:
                return chosen
            rows = db.execute(
                "SELECT record, path, bytes, state FROM evidence WHERE kept = ? AND reviewed = ? AND state = ? "
                "AND held = 0 ORDER BY asked, captured_at LIMIT ?",
                (one.kept, one.reviewed, state, TOGETHER - len(chosen)),
            )
            for picture in (Picture(*row) for row in rows.fetchall()):
                if wanted <= 0:
                    break
                chosen.append(picture)
                wanted -= picture.bytes
    return chosen


def _older(db: sqlite3.Connection, kept: str, before: str, limit: int) -> list[Picture]:
    """Pictures of a class that were taken before a moment, but not while the clock was not set."""
    rows = db.execute(
        "SELECT record, path, bytes, state FROM evidence WHERE kept = ? AND reviewed IN (0, 1) AND state IN (?, ?, ?) "
        "AND held = 0 AND asked IN (0, 1) AND captured_at >= ? AND captured_at < ? LIMIT ?",
        (kept, *ON_DISK, _PLAUSIBLE, before, limit),
    )
    return [Picture(*row) for row in rows.fetchall()]


def _least_valuable_messages(db: sqlite3.Connection, wanted: int) -> list[_Message]:
    chosen: list[_Message] = []
    for one in _by_worth(db):
        if wanted <= 0 or len(chosen) == TOGETHER:
            break
        chosen.append(one)
        wanted -= one.bytes
    return chosen


def _by_worth(db: sqlite3.Connection) -> Iterator[_Message]:
    """Messages that may go: what somebody else has, what the broker will never take, then lane by lane."""
    yield from _settled(db, TOGETHER)
    yield from _unsettled(db, f"o.dead IS NOT NULL AND o.lane <> {AGAIN}", TOGETHER)
    for lane in LANES:
        yield from _unsettled(db, f"o.lane = {lane} AND o.dead IS NULL", TOGETHER)


def _settled(db: sqlite3.Connection, limit: int) -> list[_Message]:
    rows = db.execute(
        "SELECT m.n, m.id, m.sha256, length(m.body), s.at FROM settled s JOIN messages m ON m.n = s.n "  # noqa: S608
        f"WHERE {_NOT_HELD} ORDER BY s.n LIMIT ?",
        (limit,),
    )
    return [_Message(n, key, sha256, size + ROW_BYTES, at) for n, key, sha256, size, at in rows.fetchall()]


def _unsettled(db: sqlite3.Connection, which: str, limit: int) -> list[_Message]:
    rows = db.execute(
        "SELECT m.n, m.id, m.sha256, length(m.body) FROM outbox o JOIN messages m ON m.n = o.n "  # noqa: S608
        f"WHERE {which} AND m.kind != ? AND o.n NOT IN (SELECT n FROM settled) AND {_NOT_HELD} ORDER BY o.n LIMIT ?",
        (NEVER, limit),
    )
    return [_Message(n, key, sha256, size + ROW_BYTES) for n, key, sha256, size in rows.fetchall()]


def _remove(db: sqlite3.Connection, chosen: Sequence[_Message]) -> None:
    """Take messages out, with the rows of their records; a picture that is still there keeps its own row."""
    places, ids = [(one.n,) for one in chosen], [(one.id,) for one in chosen]
    for table in ("messages", "outbox", "settled"):
        db.executemany(f"DELETE FROM {table} WHERE n = ?", places)  # noqa: S608
    db.executemany("DELETE FROM records WHERE id = ?", ids)
    db.executemany("DELETE FROM evidence WHERE record = ? AND state IN ('evicted', 'erased')", ids)
