"""Ledger messages that are not settled, as the uplink and the command line read them."""

from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One unsettled message.

    Attributes:
        seq: Its number.
        kind: Its kind, which decides the topic.
        body: The sealed bytes, to be published unchanged.
    """

    seq: int
    kind: str
    body: bytes


def unsettled(db: Database, after: int, limit: int) -> list[Outgoing]:
    """Unsettled messages with a number above ``after``, lowest first, at most ``limit``."""
    rows = db.execute(
        "SELECT o.seq, m.kind, m.body FROM outbox o JOIN messages m ON m.seq = o.seq "
        "WHERE o.seq > ? ORDER BY o.seq LIMIT ?",
        [after, limit],
    )
    return [Outgoing(*row) for row in rows.fetchall()]


def backlog(db: Database) -> int:
    """How many messages are not settled."""
    return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])


def ledger_facts(db: Database) -> dict[str, Any]:
    """``{epoch, head, settled, oldest_kept}`` as ``up/status`` and ``up/health`` carry them.

    ``settled`` is the number up to which everything is settled.
    """
    row = db.execute(
        "SELECT (SELECT epoch FROM head), (SELECT seq FROM head), (SELECT min(seq) FROM outbox), "
        "(SELECT min(seq) FROM messages)"
    ).fetchone()
    epoch, head, first_waiting, oldest = row
    head = head or 0
    settled = head if first_waiting is None else first_waiting - 1
    return {"epoch": epoch, "head": head, "settled": settled, "oldest_kept": oldest}


def outbox_by_kind(db: Database) -> list[dict[str, Any]]:
    """Per kind: how many wait, the lowest and highest number, their bytes."""
    return list(
        db.query(
            "SELECT m.kind AS kind, count(*) AS waiting, min(o.seq) AS first, max(o.seq) AS last, "
            "sum(length(m.body)) AS bytes FROM outbox o JOIN messages m ON m.seq = o.seq "
            "GROUP BY m.kind ORDER BY m.kind"
        )
    )
