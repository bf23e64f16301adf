"""The journal's connection: used as long as it can be trusted, then replaced."""

import sqlite3
from collections.abc import Sequence

from sqlite_utils import Database

from agent.store.opening import Opening
from agent.store.schema import damaging, spoiling
from agent.store.transaction import Entry, Transaction


class Connection:
    """Which connection the journal writes on. Used by the journal thread only, but for ``suspect``.

    After an error of the disk nobody knows what is on it: what a failed fsync should have written may be marked as
    written all the same. So that connection is never used again.

    Args:
        opening: The database, opened.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._spoilt = False
        self._fault: str | None = None
        self._attempt: tuple[Transaction, Sequence[Entry]] | None = None

    @property
    def db(self) -> Database:
        """The connection."""
        return self._opening.db

    @property
    def suspected(self) -> bool:
        """Whether damage is known that waits for its repair."""
        return self._fault is not None

    @property
    def trusted(self) -> bool:
        """Whether the connection may be used on."""
        return not self._spoilt and self._fault is None

    def suspect(self, fault: str) -> None:
        """The database turned out to be damaged; any thread."""
        self._fault = fault

    def commits(self, transaction: Transaction, batch: Sequence[Entry]) -> None:
        """The transaction of this batch is about to be committed."""
        self._attempt = (transaction, batch)

    def forget_attempt(self) -> None:
        """The last attempt succeeded, or was rolled back."""
        self._attempt = None

    def failed(self, error: Exception) -> None:
        """Judge what an error says of the connection and of the database."""
        if isinstance(error, sqlite3.Error):
            if damaging(error):
                self._fault = str(error)
            self._spoilt = self._spoilt or spoiling(error)

    def renew(self, batch: Sequence[Entry]) -> Transaction | None:
        """A new connection, on a repaired database where damage is known.

        Returns:
            The transaction of ``batch`` that failed, where it turns out that it was committed after all.

        Raises:
            StoreError: The disk refuses still.
            sqlite3.Error: So it does.
        """
        fault, self._spoilt = self._fault, True
        self._opening.reopen(fault)
        self._fault, self._spoilt = None, False
        attempt, self._attempt = self._attempt, None
        if attempt is None or attempt[1] is not batch or self._opening.beginning is not None:
            return None
        there = int(self.db.execute("SELECT commits FROM head").fetchone()[0])
        return attempt[0] if there == attempt[0].commits else None
