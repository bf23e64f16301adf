"""What becomes of messages on their way out, as entries for the journal."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agent.inspection.frame import utc_text
from agent.ledger.lanes import AGAIN
from agent.store.numbers import n_of
from agent.store.outbox import number_of_epoch
from agent.store.transaction import Transaction, nothing

MOST_CONSUMERS = 100
"""Rows of receipts that are kept: what a stranger could fill the table with."""

_MOVE = "INSERT OR REPLACE INTO settled (n, at) SELECT o.n, ? FROM outbox o JOIN messages m ON m.n = o.n WHERE "
_AMONG = "n IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class SettleEntry:
    """Messages that are settled; they leave the outbox and are kept for a while, so that they can be sent again.

    Attributes:
        places: Of the messages; what was evicted meanwhile is passed over.
        done: Called after the commit.
    """

    places: Sequence[int]
    done: Callable[[], None] = nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Take them out, all in one statement: other threads run while SQLite works."""
        places, at = json.dumps(list(self.places)), utc_text(transaction.moment.wall)
        db = transaction.db.conn
        db.execute("DELETE FROM outbox WHERE n IN (SELECT value FROM json_each(?))", (places,))
        db.execute(
            "INSERT OR REPLACE INTO settled (n, at) "
            "SELECT n, ? FROM messages WHERE n IN (SELECT value FROM json_each(?))",
            (at, places),
        )

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


@dataclass(frozen=True, slots=True)
class AckEntry:
    """Messages that the broker has and that wait for the receipts of consumers.

    What was only wanted again is settled: its receipt came long ago.
    """

    places: Sequence[int]
    done: Callable[[], None] = nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Mark them, so that they are not sent again at once."""
        places, at = json.dumps(list(self.places)), utc_text(transaction.moment.wall)
        db = transaction.db.conn
        db.execute(f"UPDATE outbox SET acked = ? WHERE lane <> {AGAIN} AND {_AMONG}", (at, places))  # noqa: S608
        db.execute(f"{_MOVE} o.lane = {AGAIN} AND o.{_AMONG}", (at, places))
        db.execute(f"DELETE FROM outbox WHERE lane = {AGAIN} AND {_AMONG}", (places,))  # noqa: S608

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


@dataclass(frozen=True, slots=True)
class OverdueEntry:
    """Messages whose receipt is overdue are sent again.

    Attributes:
        after: So long after the broker had them.
        done: Called after the commit.
    """

    after: timedelta
    done: Callable[[], None] = nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Forget that the broker has had them; also what it had in a future that a clock has since taken back."""
        wall = transaction.moment.wall
        transaction.db.conn.execute(
            "UPDATE outbox SET acked = NULL WHERE acked IS NOT NULL AND (acked < ? OR acked > ?)",
            (utc_text(wall - self.after), utc_text(wall)),
        )

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


class ReceiptEntry:
    """A consumer says up to where it has stored everything. May settle messages.

    Args:
        consumer: Who says so.
        epoch: Of which epoch.
        upto: Every number up to this one.
        required: Consumers without whose word nothing is settled.
        done: Called after the commit, with the reason code of a refusal, or None.
    """

    def __init__(
        self, consumer: str, *, epoch: str, upto: int, required: Sequence[str], done: Callable[[str | None], None]
    ) -> None:
        self.urgent = False
        self._consumer = consumer
        self._epoch = epoch
        self._upto = upto
        self._required = required
        self._done = done
        self._refusal: str | None = None

    def write(self, transaction: Transaction) -> None:
        """Note it, and settle what all required consumers have."""
        db, at = transaction.db, utc_text(transaction.moment.wall)
        number = number_of_epoch(db, self._epoch)
        self._refusal = self._reason_against(transaction, number)
        if self._refusal is not None or number is None:
            return
        db.conn.execute(
            "INSERT INTO receipts (consumer, epoch, upto, at) VALUES (?, ?, ?, ?) ON CONFLICT (consumer, epoch) "
            "DO UPDATE SET upto = max(upto, excluded.upto), at = excluded.at",
            (self._consumer, self._epoch, self._upto, at),
        )
        if self._consumer in self._required and (upto := self._by_all(transaction)):
            bounds = (n_of(number, 1), n_of(number, upto))
            db.conn.execute(f"{_MOVE} o.n BETWEEN ? AND ?", (at, *bounds))
            db.conn.execute("DELETE FROM outbox WHERE n BETWEEN ? AND ?", bounds)

    def committed(self) -> None:
        """Tell how it was taken."""
        self._done(self._refusal)

    def _reason_against(self, transaction: Transaction, number: int | None) -> str | None:
        db = transaction.db
        if number is None:
            return "unknown-epoch"
        if number == transaction.epoch_number and self._upto > transaction.seq:
            return "beyond-head"
        known = db.execute("SELECT 1 FROM receipts WHERE consumer = ?", [self._consumer]).fetchone()
        if known is None and self._consumer not in self._required:
            count = db.execute("SELECT count(*) FROM receipts").fetchone()[0]
            return "too-many-consumers" if count >= MOST_CONSUMERS else None
        return None

    def _by_all(self, transaction: Transaction) -> int:
        """Up to where all required consumers have this epoch; 0 where one of them has said nothing."""
        rows = transaction.db.execute("SELECT consumer, upto FROM receipts WHERE epoch = ?", [self._epoch]).fetchall()
        said = dict(rows)
        return min(int(said.get(consumer, 0)) for consumer in self._required)


class AgainEntry:
    """Messages that somebody wants a second time; those that are still kept are sent again, behind all others.

    Args:
        epoch_number: Of which epoch.
        first: The first number.
        last: The last number.
        done: Called after the commit, with how many will be sent again.
    """

    def __init__(self, *, epoch_number: int, first: int, last: int, done: Callable[[int], None]) -> None:
        self.urgent = True
        self._bounds = (n_of(epoch_number, first), n_of(epoch_number, last))
        self._done = done
        self._again = 0

    def write(self, transaction: Transaction) -> None:
        """Put what is settled into the outbox again; what waits there waits on."""
        db = transaction.db.conn
        waits = db.execute("UPDATE outbox SET acked = NULL WHERE acked IS NOT NULL AND n BETWEEN ? AND ?", self._bounds)
        back = db.execute(
            f"INSERT OR IGNORE INTO outbox (n, lane) SELECT n, {AGAIN} FROM messages WHERE n BETWEEN ? AND ?",  # noqa: S608
            self._bounds,
        )
        self._again = waits.rowcount + back.rowcount

    def committed(self) -> None:
        """Tell how many."""
        self._done(self._again)


@dataclass(frozen=True, slots=True)
class SentBytesEntry:
    """So many bytes more were sent on a day."""

    day: str
    bytes: int
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Add them, and forget the days before the last month."""
        db = transaction.db.conn
        db.execute(
            "INSERT INTO sent_bytes (day, bytes) VALUES (?, ?) "
            "ON CONFLICT (day) DO UPDATE SET bytes = bytes + excluded.bytes",
            (self.day, self.bytes),
        )
        db.execute("DELETE FROM sent_bytes WHERE day NOT IN (SELECT day FROM sent_bytes ORDER BY day DESC LIMIT 31)")

    def committed(self) -> None:
        """Nobody waits."""
