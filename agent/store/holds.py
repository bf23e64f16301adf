"""Legal hold: a picture and its record that nothing removes until somebody lifts it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.ledger.messages import audit_body
from agent.ledger.worth import ON_DISK
from agent.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class HoldEntry:
    """Put a picture under legal hold, or lift it; an audit message says who and why.

    Attributes:
        record: The record's id.
        held: Whether it is held from now on.
        by: Who wants it.
        reason: Why.
        way: By which way it was asked.
        done: Hears after the commit whether it was held before; None where there is no such picture here.
    """

    record: str
    held: bool
    by: str
    reason: str
    way: str
    done: Callable[[bool | None], None]
    urgent: bool = True
    _before: list[bool | None] = field(default_factory=list, init=False)

    def write(self, transaction: Transaction) -> None:
        """Set it, if the picture is here, and say so, if that changes anything."""
        db = transaction.db.conn
        row = db.execute(
            "SELECT held FROM evidence WHERE record = ? AND state IN (?, ?, ?)", (self.record, *ON_DISK)
        ).fetchone()
        old = None if row is None else bool(row[0])
        self._before[:] = [old]
        if old is None or old == self.held:
            return
        db.execute("UPDATE evidence SET held = ? WHERE record = ?", (self.held, self.record))
        what = f"legal hold of {self.record}"
        moment = transaction.moment
        body = audit_body(moment, what=what, old=old, new=self.held, by=self.by, reason=self.reason, way=self.way)
        transaction.message("audit", body)

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done(self._before[0])
