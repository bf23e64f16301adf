"""Ledger messages that are not settled, as the uplink and the command line read them."""

from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from agent.ledger.lanes import AGAIN
from agent.store.numbers import LARGEST_SEQ, n_of, seq_of

LAST = 2**63 - 1
"""A place behind every other."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One unsettled message.

    Attributes:
        n: Its place over all epochs.
        kind: Its kind, which decides the topic.
        body: The sealed bytes, to be published unchanged.
    """

    n: int
    kind: str
    body: bytes


def unsettled(db: Database, lane: int, after: int, upto: int, limit: int) -> list[Outgoing]:
    """Unsettled messages of a lane whose place lies behind ``after`` and not behind ``upto``, lowest first.

    Neither dead letters are among them, nor what the broker has and a consumer has not confirmed yet.
    """
    rows = db.execute(
        "SELECT o.n, m.kind, m.body FROM outbox o JOIN messages m ON m.n = o.n "
        "WHERE o.lane = ? AND o.n > ? AND o.n <= ? AND o.dead IS NULL AND o.acked IS NULL ORDER BY o.n LIMIT ?",
        [lane, after, upto, limit],
    )
    return [Outgoing(*row) for row in rows.fetchall()]


def newest(db: Database) -> int:
    """The highest place in the outbox; 0 where it is empty."""
    return int(db.execute("SELECT coalesce(max(n), 0) FROM outbox").fetchone()[0])


def backlog(db: Database) -> int:
    """How many messages are not settled."""
    return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])


def ledger_facts(db: Database) -> dict[str, Any]:
    """``{epoch, head, settled, oldest_kept}`` as ``up/status`` and ``up/health`` carry them.

    ``settled`` is the number up to which everything is settled; what is only wanted again counts as settled.
    """
    row = db.execute(
        f"SELECT epoch, seq, (SELECT min(n) FROM outbox WHERE n >= number << 40 AND lane <> {AGAIN}), "  # noqa: S608
        "(SELECT min(n) FROM messages WHERE n >= number << 40) FROM head"
    ).fetchone()
    if row is None:
        return {"epoch": None, "head": 0, "settled": 0, "oldest_kept": None}
    epoch, head, first_waiting, oldest = row
    settled = head if first_waiting is None else seq_of(first_waiting) - 1
    oldest_kept = None if oldest is None else seq_of(oldest)
    return {"epoch": epoch, "head": head, "settled": settled, "oldest_kept": oldest_kept}


def outbox_by_kind(db: Database) -> list[dict[str, Any]]:
    """Per kind: how many wait, the lowest and highest number, their bytes."""
    return list(
        db.query(
            "SELECT m.kind AS kind, count(*) AS waiting, min(o.n) AS first, max(o.n) AS last, "
            "sum(length(m.body)) AS bytes FROM outbox o JOIN messages m ON m.n = o.n "
            "GROUP BY m.kind ORDER BY m.kind"
        )
    )


def number_of_epoch(db: Database, epoch: str) -> int | None:
    """The number of an epoch that this database has had, by its id."""
    row = db.execute("SELECT number FROM epochs WHERE id = ?", [epoch]).fetchone()
    return None if row is None else int(row[0])


def kept(db: Database, epoch_number: int, first: int, last: int) -> list[int]:
    """Which ``seq`` from ``first`` to ``last`` of an epoch are still in the database, lowest first."""
    last = min(last, LARGEST_SEQ)
    bounds = [n_of(epoch_number, first), n_of(epoch_number, last)]
    rows = db.execute("SELECT n FROM messages WHERE n BETWEEN ? AND ? ORDER BY n", bounds)
    return [seq_of(row[0]) for row in rows.fetchall()]


def receipts(db: Database) -> list[dict[str, Any]]:
    """Up to where each consumer has confirmed each epoch: ``consumer, epoch, upto, at``."""
    return list(db.query("SELECT consumer, epoch, upto, at FROM receipts ORDER BY at, consumer"))


def sent_on(db: Database, day: str) -> int:
    """Bytes that were sent on a day, such as ``2026-11-24``."""
    row = db.execute("SELECT bytes FROM sent_bytes WHERE day = ?", [day]).fetchone()
    return 0 if row is None else int(row[0])
