"""Read-only access for threads that are not the journal: one connection per thread, opened where it is used."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database

from agent.errors import StoreError
from agent.store.schema import damaging, open_reader

T = TypeVar("T")


class Reader:
    """Asks the database from any thread.

    Args:
        folder: The store's folder; the database exists.
        damaged: Called when an answer shows that the database is damaged; must not wait.
    """

    def __init__(self, folder: Path, *, damaged: Callable[[str], None] = lambda _fault: None) -> None:
        self._folder = folder
        self._damaged = damaged
        self._local = threading.local()
        self._generation = 0

    def renew(self) -> None:
        """Another file is the database now: each thread opens that when it asks again; any thread."""
        self._generation += 1

    def ask(self, question: Callable[[Database], T]) -> T:
        """Run a query of this room on the calling thread's own connection.

        Raises:
            StoreError: The database cannot be opened or read now.
        """
        db = self._connection()
        try:
            return question(db)
        except sqlite3.Error as error:
            if damaging(error):
                self._damaged(str(error))
            raise StoreError(f"{self._folder}: the database cannot be read now: {error}") from None

    def _connection(self) -> Database:
        db: Database | None = getattr(self._local, "db", None)
        generation = self._generation
        if db is not None and self._local.generation != generation:
            db.conn.close()
            db = None
        if db is None:
            db = self._local.db = open_reader(self._folder)
            self._local.generation = generation
        return db
