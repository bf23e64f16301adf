"""Ledger messages that are not settled, as the uplink and the command line read them."""

from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from agent.store.numbers import seq_of

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

    Dead letters are not among them.
    """
    rows = db.execute(
        "SELECT o.n, m.kind, m.body FROM outbox o JOIN messages m ON m.n = o.n "
        "WHERE o.lane = ? AND o.n > ? AND o.n <= ? AND o.dead IS NULL ORDER BY o.n LIMIT ?",
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

    ``settled`` is the number up to which everything is settled.
    """
    row = db.execute(
        "SELECT epoch, seq, (SELECT min(n) FROM outbox WHERE n >= number << 40), "
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
