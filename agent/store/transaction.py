"""What one transaction of the journal may write, and the entries that ask for it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlite_utils import Database

from agent.inspection.frame import Moment, utc_text
from agent.inspection.record import Evidence, Record, evidence_name, kept_for
from agent.ledger.lanes import LANES
from agent.ledger.sealing import FIRST_PREV, Draft, Origin, seal
from agent.store.cursors import Cursors, storable
from agent.store.numbers import n_of
from agent.store.open_rollups import OpenRollups


class Transaction:
    """One ``BEGIN IMMEDIATE`` to ``COMMIT``. Numbers come from the head row read inside it.

    Args:
        db: The one read-write connection.
        origin: This device and process.
        moment: When it began.
        rollups: Open rollups.
        cursors: Source cursors.
        new_id: Makes a UUIDv7.

    Attributes:
        epoch: Into which it writes.
        seq: Number of that epoch's last message.
        sha256: Of that message's bytes.
        epoch_number: The epoch's number in this database.
        commits: How many commits this database has seen, this one included once it is written.
        appended: How many ledger messages this transaction holds so far.
    """

    def __init__(
        self,
        db: Database,
        *,
        origin: Origin,
        moment: Moment,
        rollups: OpenRollups,
        cursors: Cursors,
        new_id: Callable[[], str],
    ) -> None:
        self.db = db
        self.origin = origin
        self.moment = moment
        self.new_id = new_id
        self._rollups = rollups
        self._cursors = cursors
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("SELECT epoch, seq, sha256, number, commits FROM head").fetchone()
        self.epoch: str
        self.seq: int
        self.sha256: str
        self.epoch_number: int
        self.commits: int
        if row is None:
            self.commits = 0
            self.begin_epoch(0, why="first")
        else:
            self.epoch, self.seq, self.sha256, self.epoch_number, self.commits = row
        self.appended = 0
        self.recorded: list[str] = []  # ids of the records in it

    def begin_epoch(self, number: int, *, why: str) -> None:
        """Begin a new ledger in this database: what is appended from now on is numbered from 1."""
        self.epoch, self.seq, self.sha256, self.epoch_number = self.new_id(), 0, FIRST_PREV, number
        if self.commits == 0:
            self.db.conn.execute("DELETE FROM epochs")  # an empty database has just begun one that nobody needs
        self.db.conn.execute(
            "INSERT INTO epochs (number, id, began_at, why) VALUES (?, ?, ?, ?)",
            (number, self.epoch, utc_text(self.moment.wall), why),
        )

    def append(self, draft: Draft) -> int:
        """Seal a draft, store it and put it into the outbox; its place over all epochs."""
        sealed = seal(draft, epoch=self.epoch, seq=self.seq + 1, prev=self.sha256)
        n = n_of(self.epoch_number, sealed.seq)
        self.db.conn.execute(
            "INSERT INTO messages (n, kind, id, body, sha256) VALUES (?, ?, ?, ?, ?)",
            (n, sealed.kind, sealed.id, sealed.body, sealed.sha256),
        )
        self.db.conn.execute("INSERT INTO outbox (n, lane) VALUES (?, ?)", (n, LANES[sealed.kind]))
        self.seq, self.sha256 = sealed.seq, sealed.sha256
        self.appended += 1
        return n

    def message(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append a message of this process; its place over all epochs."""
        return self.append(Draft(kind, self.new_id(), self.origin, body))

    def record(self, record_id: str, record: Record) -> None:
        """Append a record, its row, and the row of its JPEG where it has one."""
        n = self.append(Draft("inspections", record_id, self.origin, record.to_json()))
        self.recorded.append(record_id)
        frame, verdict = record.frame, record.verdict
        self.db.conn.execute(
            "INSERT INTO records (id, n, boot, camera, frame, role, source, part, engine, mode, kept, outcome, "
            "disposition, reason, captured_at, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record_id,
                n,
                self.origin.boot,
                frame.camera,
                frame.number,
                record.role,
                storable(frame.source),
                storable(frame.subject.part),
                record.engine.name,
                record.mode,
                record.kept,
                verdict.outcome,
                verdict.disposition,
                verdict.code,
                record.to_json()["captured_at"],
                record.evidence.sha256 if record.evidence else None,
            ),
        )
        if record.evidence is not None:
            self._evidence(record_id, record, record.evidence)

    def _evidence(self, record_id: str, record: Record, evidence: Evidence) -> None:
        frame, kept = record.frame, kept_for(record)
        self.db.conn.execute(
            "INSERT INTO evidence (record, camera, kept, path, bytes, sha256, captured_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record_id,
                frame.camera,
                kept,
                evidence_name(record_id, frame.captured),
                evidence.bytes,
                evidence.sha256,
                utc_text(frame.captured.wall),
            ),
        )

    def count(self, record: Record, *, replaced: int, skipped: int) -> None:
        """Count an inspected frame in its rollup, recorded or not."""
        self._rollups.count(record, self.moment, replaced=replaced, skipped=skipped)

    def advance(self, record: Record) -> None:
        """Move the source's cursor over the record's frame."""
        if record.frame.mark is not None:
            self._cursors.advance(self.db, record.frame.camera, record.frame.mark)

    def seal_rollups(self, *, closed: str) -> None:
        """Seal the rollups whose minute has ended; all of them with ``closed="stop"``."""
        for draft in self._rollups.sealed(self.db, self.moment, closed=closed):
            self.append(draft)

    def seal_left_open(self) -> None:
        """Seal the rollups that an earlier process left open."""
        for draft in self._rollups.left_open(self.db):
            self.append(draft)

    def commit(self) -> None:
        """Write the head and the rollups, and make it durable."""
        self._rollups.write(self.db, self.moment)
        self.commits += 1
        self.db.conn.execute(
            "INSERT OR REPLACE INTO head (one, epoch, seq, sha256, number, commits) VALUES (1, ?, ?, ?, ?, ?)",
            (self.epoch, self.seq, self.sha256, self.epoch_number, self.commits),
        )
        self.db.execute("COMMIT")


class Entry(Protocol):
    """Something the journal is asked to write."""

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for the commit."""

    def write(self, transaction: Transaction) -> None:
        """Write it, inside the transaction; may be called again after a rollback."""

    def committed(self) -> None:
        """Called once, after the commit, on the journal thread; must not wait."""


def nothing() -> None:
    """Nobody waits."""


@dataclass(frozen=True, slots=True)
class VerdictEntry:
    """A frame's verdict: its record where it is kept, its place in the rollup, its source's cursor.

    Attributes:
        id: The record's id.
        record: Without pixels.
        replaced: Live frames that newer ones replaced since the camera's last verdict.
        skipped: Frames passed over on purpose since then.
        done: Called after the commit.
    """

    id: str
    record: Record
    replaced: int = 0
    skipped: int = 0
    done: Callable[[], None] = nothing

    @property
    def urgent(self) -> bool:
        """A triggered frame has somebody who waits."""
        return self.record.frame.trigger.triggered

    def write(self, transaction: Transaction) -> None:
        """Write record, count and cursor."""
        if self.record.kept is not None:
            transaction.record(self.id, self.record)
        transaction.count(self.record, replaced=self.replaced, skipped=self.skipped)
        transaction.advance(self.record)

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()

    def with_evidence(self, evidence: Evidence) -> "VerdictEntry":
        """The same entry whose record has its JPEG."""
        return VerdictEntry(self.id, self.record.with_evidence(evidence), self.replaced, self.skipped, self.done)

    def without_evidence(self, reason: str) -> "VerdictEntry":
        """The same entry whose record says why it has no JPEG."""
        return VerdictEntry(self.id, self.record.without_evidence(reason), self.replaced, self.skipped, self.done)


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """A ledger message that is not a record: an alert, an audit entry, a gap."""

    kind: str
    body: Mapping[str, Any]
    urgent: bool = True
    done: Callable[[], None] = nothing

    def write(self, transaction: Transaction) -> None:
        """Append it."""
        transaction.message(self.kind, self.body)

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


@dataclass(frozen=True, slots=True)
class CloseRollups:
    """Seal all open rollups now: nothing more will be counted."""

    urgent: bool = True

    def write(self, transaction: Transaction) -> None:
        """Seal them."""
        transaction.seal_rollups(closed="stop")

    def committed(self) -> None:
        """Nobody waits."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """Nothing to write: ``done`` is called when everything handed over before it is committed."""

    done: Callable[[], None]
    urgent: bool = True

    def write(self, transaction: Transaction) -> None:
        """Write nothing."""

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


@dataclass(frozen=True, slots=True)
class ReplyEntry:
    """The last word on a command, so that the same command is not done twice."""

    id: str
    verb: str
    reply: Mapping[str, Any]
    urgent: bool = True
    done: Callable[[], None] = field(default=nothing)

    def write(self, transaction: Transaction) -> None:
        """Store it; a later word replaces an earlier one."""
        transaction.db.conn.execute(
            "INSERT OR REPLACE INTO commands (id, verb, received_at, reply) VALUES (?, ?, ?, ?)",
            (self.id, self.verb, transaction.moment.to_json()["at"], json.dumps(self.reply)),
        )

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()
