"""Read-only access for threads that are not the journal: one connection per thread, opened where it is used."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database

from agent.errors import StoreError
from agent.store.schema import open_reader

T = TypeVar("T")


class Reader:
    """Asks the database from any thread.

    Args:
        folder: The store's folder; the database exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()

    def ask(self, question: Callable[[Database], T]) -> T:
        """Run a query of this room on the calling thread's own connection.

        Raises:
            StoreError: The database cannot be opened or read now.
        """
        db: Database | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = open_reader(self._folder)
        try:
            return question(db)
        except sqlite3.Error as error:
            raise StoreError(f"{self._folder}: the database cannot be read now: {error}") from None
