"""What becomes of messages on their way out, as entries for the journal."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.inspection.frame import utc_text
from agent.store.transaction import Transaction, nothing


@dataclass(frozen=True, slots=True)
class SettleEntry:
    """Messages that are settled; they leave the outbox and are kept for a while, so that they can be sent again.

    Attributes:
        places: Of the messages; what was evicted meanwhile is passed over.
        done: Called after the commit.
    """

    places: Sequence[int]
    done: Callable[[], None] = nothing
    urgent: bool = False

    def write(self, transaction: Transaction) -> None:
        """Take them out, all in one statement: other threads run while SQLite works."""
        places, at = json.dumps(list(self.places)), utc_text(transaction.moment.wall)
        db = transaction.db.conn
        db.execute("DELETE FROM outbox WHERE n IN (SELECT value FROM json_each(?))", (places,))
        db.execute(
            "INSERT OR REPLACE INTO settled (n, at) "
            "SELECT n, ? FROM messages WHERE n IN (SELECT value FROM json_each(?))",
            (at, places),
        )

    def committed(self) -> None:
        """Tell whoever waits."""
        self.done()
