"""The last word on each command, so that a command which comes again is answered and not done again."""

import json
import threading
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from agent.errors import StoreError
from agent.store.journal import Journal
from agent.store.transaction import ReplyEntry

_PATIENCE_S = 5.0


def remembered(db: Database, command_id: str) -> Mapping[str, Any] | None:
    """The final reply that was given to a command, or None."""
    row = db.execute("SELECT reply FROM commands WHERE id = ?", [command_id]).fetchone()
    return json.loads(row[0]) if row else None


def remember(journal: Journal, command_id: str, verb: str, reply: Mapping[str, Any]) -> None:
    """Store a final reply and wait until it is on the disk.

    Raises:
        StoreError: The disk did not take it in time.
    """
    written = threading.Event()
    journal.put(ReplyEntry(command_id, verb, reply, done=written.set))
    if not written.wait(_PATIENCE_S):
        raise StoreError(f"the reply to command {command_id} was not written within {_PATIENCE_S:.0f} s")
