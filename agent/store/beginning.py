"""The first words of a new epoch: which ledger ended, up to where it can still be had, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlite_utils import Database

from agent.inspection.frame import Moment
from agent.ledger.gaps import EndedEpoch, NumberGap, ledger_gap_body, number_gap_body
from agent.ledger.sealing import Origin
from agent.store.cursors import Cursors
from agent.store.identity import Identity, Known
from agent.store.open_rollups import OpenRollups
from agent.store.transaction import Transaction

TEXTS: Final = {
    "database-copied": "this database is a copy or a backup: it does not know what this device wrote last",
    "database-behind": "this database is older than what this device had committed to it",
    "database-unsure": "the note of the last number is gone or damaged, so that the database may lack what came last",
    "database-lost": "the database of this device is gone",
    "database-damaged": "the database was damaged",
    "device-changed": "this database was written by another device, or this device's hardware changed",
    "device-renamed": "the site or the device has another name",
}
"""What is said of each reason for a new epoch; more may be added to it."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Why a new epoch begins, and what ended.

    Attributes:
        code: One of ``GAPS``.
        text: For a person.
        ended: The ledgers that are not gone on with.
        number: The new epoch's number in the database.
    """

    code: str
    text: str
    ended: tuple[EndedEpoch, ...]
    number: int


def ended_epoch(epoch: str, have: int | None, known: Known | None) -> EndedEpoch:
    """What can be said of an epoch that ends.

    Args:
        epoch: Its name.
        have: Its last number in the database that we have; None where that has nothing of it.
        known: The furthest that was ever noted of it; None where nothing was.
    """
    upto = have if have is not None else (known.settled if known else 0)
    if known is None or known.seq <= upto:
        return EndedEpoch(epoch, have if have is not None or known is None else known.seq)
    return EndedEpoch(epoch, known.seq, (NumberGap(epoch, upto + 1, known.seq, known.sha256),))


def begin_epoch(
    db: Database,
    beginning: Beginning | None,
    identity: Identity,
    *,
    origin: Origin,
    moment: Moment,
    new_id: Callable[[], str],
) -> Transaction:
    """Write who the database is, and the first messages of a new epoch where one begins, in one transaction.

    Raises:
        sqlite3.Error: The disk refused; nothing was written.
    """
    transaction = Transaction(
        db, origin=origin, moment=moment, rollups=OpenRollups(origin, new_id), cursors=Cursors(), new_id=new_id
    )
    try:
        if beginning is not None:
            _first_words(transaction, beginning)
        db.conn.execute(
            "INSERT OR REPLACE INTO identity (one, token, fingerprint, name) VALUES (1, ?, ?, ?)",
            (identity.token, identity.fingerprint, identity.name),
        )
        transaction.commit()
    except BaseException:
        if db.conn.in_transaction:  # a full disk has ended it already
            db.execute("ROLLBACK")
        raise
    return transaction


def _first_words(transaction: Transaction, beginning: Beginning) -> None:
    transaction.begin_epoch(beginning.number, why=beginning.code)
    for ended in beginning.ended:
        body = ledger_gap_body(transaction.moment, ended, code=beginning.code, text=beginning.text)
        transaction.message("gaps", body)
    for hole in (hole for ended in beginning.ended for hole in ended.holes):
        body = number_gap_body(transaction.moment, hole, code=beginning.code, text=beginning.text)
        transaction.message("gaps", body)
