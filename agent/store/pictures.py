"""The pictures that are kept for the centre: which one goes next, and what became of it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlite_utils import Database

from agent.ledger.messages import audit_body, evidence_body
from agent.store.transaction import Transaction

QUIET: Final = 100
"""Pictures wait while more ledger messages than these wait: records first."""

_COLUMNS: Final = (
    "e.record, e.camera, e.kept, e.path, e.bytes, e.sha256, e.captured_at, e.state, e.asked, e.held, e.attempts"
)
_SENDABLE: Final = "('kept', 'stored', 'failed')"


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A row of the table ``evidence``.

    Attributes:
        record: The record's id.
        camera: Its camera.
        kept: Why the record was kept, which is its class.
        path: Below the folder ``evidence``.
        bytes: Its size.
        sha256: Of its bytes.
        captured_at: Wall clock of the capture, as text.
        state: ``kept``, ``stored``, ``failed``, ``evicted``, ``erasing`` or ``erased``.
        asked: Whether somebody asked for it ahead of the queue.
        held: Whether it is under legal hold.
        attempts: Attempts to send it that failed by its own fault.
    """

    record: str
    camera: str
    kept: str
    path: str
    bytes: int
    sha256: str
    captured_at: str
    state: str
    asked: bool
    held: bool
    attempts: int


def picture_of(db: Database, record: str) -> KeptPicture | None:
    """The picture of a record; None where it never had one, or both are long gone."""
    found = _pictures(db, "WHERE e.record = ?", record)
    return found[0] if found else None


def to_erase(db: Database) -> list[KeptPicture]:
    """Pictures whose erasure was ordered and is not done yet; some of them where they are many."""
    return _pictures(db, "WHERE e.state = 'erasing' LIMIT 100")


def next_to_send(db: Database, classes: Sequence[str], passed_over: Collection[str]) -> KeptPicture | None:
    """The picture to send now.

    One that somebody asked for goes at once. The others wait until few messages wait, and until their own record is
    settled; the oldest of the first class goes first.

    Args:
        db: The database.
        classes: What is sent without being asked for, the most urgent first.
        passed_over: Records whose pictures have just failed.
    """
    most = 1 + len(passed_over)
    found = _pictures(db, f"WHERE e.asked = 1 AND e.state IN {_SENDABLE} ORDER BY e.captured_at LIMIT ?", most)
    waiting = db.execute("SELECT count(*) FROM (SELECT 1 FROM outbox WHERE dead IS NULL LIMIT ?)", [QUIET + 1])
    quiet = int(waiting.fetchone()[0]) <= QUIET
    for kept in classes if quiet else ():
        if any(one.record not in passed_over for one in found):
            break
        found += _pictures(
            db,
            "LEFT JOIN records r ON r.id = e.record LEFT JOIN outbox o ON o.n = r.n "
            "WHERE e.state = 'kept' AND e.kept = ? AND o.n IS NULL ORDER BY e.captured_at LIMIT ?",
            kept,
            most,
        )
    return next((one for one in found if one.record not in passed_over), None)


def waiting_to_send(db: Database, classes: Sequence[str]) -> int:
    """How many pictures of these classes are on this device alone."""
    rows = db.execute("SELECT kept, pictures FROM evidence_sums WHERE state = 'kept'").fetchall()
    return sum(int(pictures) for kept, pictures in rows if kept in classes)


def uploaded_on(db: Database, day: str) -> int:
    """Bytes of pictures that left on a day such as ``2026-11-22``, those of attempts that failed included."""
    row = db.execute("SELECT bytes FROM uploads WHERE day = ?", [day]).fetchone()
    return 0 if row is None else int(row[0])


def _pictures(db: Database, condition: str, *values: object) -> list[KeptPicture]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM evidence e {condition}", list(values)).fetchall()  # noqa: S608
    return [KeptPicture(*row) for row in rows]


def _nothing() -> None:
    """Nobody waits."""


@dataclass(frozen=True, slots=True)
class FateEntry:
    """What became of a picture: its row and the ledger's word, in one transaction.

    Attributes:
        picture: The picture.
        fate: ``stored``, ``failed`` or ``erased``.
        url: Where it is stored.
        reason: Code and text of why it is not; None where it is.
        sent: Bytes that have left for it since the last entry.
        done: Called after the commit.
    """

    picture: KeptPicture
    fate: str
    url: str | None = None
    reason: tuple[str, str] | None = None
    sent: int = 0
    done: Callable[[], None] = _nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Change the row, unless the picture went in another way meanwhile, and say so. What is stored stays stored."""
        _spend(transaction, self.sent)
        code = None if self.reason is None else self.reason[0]
        before = "('erasing')" if self.fate == "erased" else _SENDABLE
        changed = transaction.db.conn.execute(
            "UPDATE evidence SET state = CASE WHEN ?1 = 'failed' AND state = 'stored' THEN state ELSE ?1 END, "  # noqa: S608
            f"url = coalesce(?2, url), reason = ?3, asked = 0, attempts = 0 WHERE record = ?4 AND state IN {before}",
            (self.fate, self.url, code, self.picture.record),
        ).rowcount
        if changed or self.fate == "stored":
            transaction.message("evidence", self._body(transaction))
        transaction.db.conn.execute(
            "DELETE FROM evidence WHERE record = ? AND state = 'erased' AND record NOT IN (SELECT id FROM records)",
            (self.picture.record,),
        )

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()

    def _body(self, transaction: Transaction) -> dict[str, object]:
        return evidence_body(
            transaction.moment,
            record=self.picture.record,
            fate=self.fate,
            sha256=self.picture.sha256,
            url=self.url,
            reason=self.reason,
        )


@dataclass(frozen=True, slots=True)
class TriedEntry:
    """A picture was tried and will be tried again.

    Attributes:
        record: Its record.
        code: Why it did not work.
        counted: Whether by the picture's own fault.
        sent: Bytes that have left for it.
        done: Called after the commit.
    """

    record: str
    code: str
    counted: bool
    sent: int
    done: Callable[[], None] = _nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Count it."""
        _spend(transaction, self.sent)
        transaction.db.conn.execute(
            f"UPDATE evidence SET attempts = attempts + ?, reason = ? WHERE record = ? AND state IN {_SENDABLE}",  # noqa: S608
            (int(self.counted), self.code, self.record),
        )

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


@dataclass(slots=True)
class OrderEntry:
    """Somebody ordered a picture to be sent ahead of the queue, or to be erased. Recorded with who and why.

    A picture that meanwhile went, or came under legal hold, stays as it is.

    Attributes:
        picture: As it was when it was ordered.
        action: ``send`` or ``erase``.
        by: Who.
        why: The reason given.
        way: By which way: ``mqtt``.
        command: The command's id; empty where it was none.
        done: Called with this order after the commit.
        changed: Whether the row was changed; known after the commit.
    """

    picture: KeptPicture
    action: str
    by: str
    why: str
    way: str
    command: str = ""
    done: "Callable[[OrderEntry], None]" = lambda _order: None
    changed: bool = False

    @property
    def urgent(self) -> bool:
        """Somebody waits."""
        return True

    def write(self, transaction: Transaction) -> None:
        """Mark the row, and write the audit message if that changed something."""
        change = "state = 'erasing', asked = 0" if self.action == "erase" else "asked = 1, attempts = 0"
        free = "AND held = 0" if self.action == "erase" else "AND asked = 0"
        count = transaction.db.conn.execute(
            f"UPDATE evidence SET {change} WHERE record = ? {free} AND state IN {_SENDABLE}",  # noqa: S608
            (self.picture.record,),
        ).rowcount
        self.changed = count > 0
        if self.changed:
            body = audit_body(
                transaction.moment,
                what=f"evidence of {self.picture.record}",
                old=self.picture.state,
                new="erased" if self.action == "erase" else "asked for",
                by=self.by,
                reason=self.why,
                way=self.way,
            )
            transaction.message("audit", body)

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done(self)


def _spend(transaction: Transaction, sent: int) -> None:
    if sent:
        transaction.db.conn.execute(
            "INSERT INTO uploads (day, bytes) VALUES (?, ?) "
            "ON CONFLICT (day) DO UPDATE SET bytes = bytes + excluded.bytes",
            (transaction.moment.wall.date().isoformat(), sent),
        )
