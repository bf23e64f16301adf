"""Messages that the broker refuses for good: kept, shown, sent again or given up by a person's word."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from agent.inspection.frame import utc_text
from agent.ledger.gaps import number_gap_body, number_gaps
from agent.ledger.messages import audit_body
from agent.store.numbers import n_of, seq_of
from agent.store.outbox import number_of_epoch
from agent.store.transaction import Transaction, nothing

_DEAD = (
    "SELECT o.n, e.id, m.sha256 FROM outbox o JOIN messages m ON m.n = o.n "
    "JOIN epochs e ON e.number = o.n >> 40 WHERE o.dead IS NOT NULL"
)
_AMONG = "n IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One of them.

    Attributes:
        n: Its place over all epochs.
        epoch: Of which epoch.
        kind: Its kind.
        reason: Why the broker refuses it: the PUBACK's reason in words.
    """

    n: int
    epoch: str
    kind: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """``seq, epoch, kind, reason``."""
        return {"seq": seq_of(self.n), "epoch": self.epoch, "kind": self.kind, "reason": self.reason}


def count_dead(db: Database) -> int:
    """How many there are."""
    return int(db.execute("SELECT count(*) FROM outbox WHERE dead IS NOT NULL").fetchone()[0])


def dead_letters(db: Database, limit: int = 1_000) -> list[DeadLetter]:
    """The first of them, by number."""
    rows = db.execute(
        "SELECT o.n, e.id, m.kind, o.dead FROM outbox o JOIN messages m ON m.n = o.n "
        "JOIN epochs e ON e.number = o.n >> 40 WHERE o.dead IS NOT NULL ORDER BY o.n LIMIT ?",
        [limit],
    )
    return [DeadLetter(*row) for row in rows.fetchall()]


@dataclass(frozen=True, slots=True)
class BuryEntry:
    """The broker refuses a message for good.

    Attributes:
        place: Which message.
        reason: The broker's words.
        done: Called after the commit.
    """

    place: int
    reason: str
    done: Callable[[], None] = nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Keep it, and send it no more."""
        transaction.db.conn.execute("UPDATE outbox SET dead = ? WHERE n = ?", (self.reason, self.place))

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decides about dead letters.

    Attributes:
        seqs: Their numbers; None for all of all epochs.
        epoch: Whose numbers those are; None for the present epoch.
        by: Who.
        reason: Why.
        way: By which way: ``cli`` or ``mqtt``.
    """

    seqs: Sequence[int] | None
    epoch: str | None
    by: str
    reason: str
    way: str


class DeadLettersEntry:
    """Dead letters are sent again, or given up, and the ledger says who wanted it and why.

    Args:
        decision: Which, who and why.
        give_up: Give them up, told by gaps; otherwise send them again.
        done: Called after the commit, with the numbers that were found dead.
    """

    def __init__(self, decision: Decision, *, give_up: bool, done: Callable[[list[int]], None]) -> None:
        self.urgent = True
        self._decision = decision
        self._give_up = give_up
        self._done = done
        self._seqs: list[int] = []

    def write(self, transaction: Transaction) -> None:
        """Let them go, or live."""
        rows = self._chosen(transaction)
        self._seqs = [seq_of(n) for n, _, _ in rows]
        if not rows:
            return
        places = json.dumps([n for n, _, _ in rows])
        db, decision = transaction.db.conn, self._decision
        if self._give_up:
            at = utc_text(transaction.moment.wall)
            db.execute(f"DELETE FROM outbox WHERE {_AMONG}", (places,))  # noqa: S608
            # Kept for a while like all that is settled; nobody has to have it any more.
            db.execute("INSERT OR REPLACE INTO settled (n, at) SELECT value, ? FROM json_each(?)", (at, places))
            for gap in number_gaps((epoch, seq_of(n), sha256) for n, epoch, sha256 in rows):
                body = number_gap_body(
                    transaction.moment, gap, code="given-up", text=f"{decision.by}: {decision.reason}"
                )
                transaction.message("gaps", body)
        else:
            db.execute(f"UPDATE outbox SET dead = NULL WHERE {_AMONG}", (places,))  # noqa: S608
        transaction.message(
            "audit",
            audit_body(
                transaction.moment,
                what=f"dead letters {_shortened(self._seqs)}",
                old="dead",
                new="given up" if self._give_up else "sent again",
                by=decision.by,
                reason=decision.reason,
                way=decision.way,
            ),
        )

    def committed(self) -> None:
        """Tell which."""
        self._done(self._seqs)

    def _chosen(self, transaction: Transaction) -> list[tuple[int, str, str]]:
        """Place, epoch and sha256 of the dead letters that are meant."""
        seqs, db = self._decision.seqs, transaction.db.conn
        if seqs is None:
            return db.execute(f"{_DEAD} ORDER BY o.n").fetchall()
        number: int | None = transaction.epoch_number
        if self._decision.epoch is not None:
            number = number_of_epoch(transaction.db, self._decision.epoch)
        places = json.dumps([] if number is None else [n_of(number, seq) for seq in seqs])
        return db.execute(f"{_DEAD} AND o.{_AMONG} ORDER BY o.n", (places,)).fetchall()


def _shortened(seqs: Sequence[int], most: int = 20) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:most])
    return shown if len(seqs) <= most else f"{shown} and {len(seqs) - most} more"
