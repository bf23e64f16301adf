"""Takes from a damaged database what can be read, into a new one: messages that nobody has come first.

Two ways lead to a message. SQLite finds it by its tree, row by row, stepping over what is broken. Where the tree is
broken, the bare pages are searched. Either way a message is believed only if its bytes have the hash that is stored
beside them and the number that it is stored under.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from agent.ledger.gaps import EndedEpoch
from agent.ledger.lanes import LANES
from agent.ledger.recovered import accounted
from agent.ledger.sealing import FIRST_PREV, place_of, sha256_hex
from agent.store.identity import Known
from agent.store.numbers import LARGEST_SEQ, epoch_number, n_of, seq_of
from agent.store.pages import FoundMessage, Pages
from agent.store.walking import copy_table, tables, undo, walk

_OWN_WAY: Final = frozenset({"head", "identity", "evidence_sums", "messages", "outbox", "settled"})
_LAST: Final = ("records", "evidence")
_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of it.

    Attributes:
        ended: The epochs that end, with the numbers that will not come.
        number: The largest number of an epoch that was in use.
        kept: Messages in the new database.
        waiting: How many of them nobody has yet.
        whole: Whether time and room sufficed to look everywhere.
    """

    ended: tuple[EndedEpoch, ...]
    number: int
    kept: int
    waiting: int
    whole: bool

    @property
    def lost(self) -> int:
        """Numbers that will not come; a consumer may have some of them."""
        return sum(hole.count for ended in self.ended for hole in ended.holes)


class Salvage:
    """One attempt, with an end to its time.

    Args:
        damaged: The database's file; its log lies beside it. It is read and not changed.
        db: A new database with its tables, outside any transaction.
        known: The furthest that is known of the ledger from outside; None where nothing is.
        number: The epoch's number that goes with it.
        go_on: Whether there is time; asked often.
    """

    def __init__(
        self, damaged: Path, db: Database, *, known: Known | None, number: int, go_on: Callable[[], bool]
    ) -> None:
        self._damaged = damaged
        self._db = db.conn
        self._known = known
        self._number = number
        self._go_on = go_on
        self._head: Known | None = None
        self._whole = True

    def run(self) -> Salvaged:
        """Take what there is.

        Raises:
            sqlite3.Error: The new database cannot be written.
        """
        attached = self._attach()
        unsettled: set[int] | None = None
        try:
            unsettled = self._take(attached=attached)
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise
            self._whole = False  # what found no room is told as lost; the damaged file is kept
        self._drop_loose()
        if attached:
            self._db.execute("DETACH old")
        return self._told(unsettled)

    def _take(self, *, attached: bool) -> set[int] | None:
        """In the order of worth; which messages wait, None where that cannot be believed."""
        if not attached:
            self._remember_epoch()
            self._search_pages(None)
            return None
        for table in self._small_tables():
            self._copy(table)
        self._read_head()
        trusted = self._copy_outbox()
        self._remember_epoch()
        unsettled = self._waiting() if trusted and self._head is not None else None
        self._take_waiting(unsettled)
        for table in _LAST:
            self._copy(table)
        self._search_pages(unsettled)
        if unsettled is not None:  # what somebody has already, so that it can be asked for again
            self._walk_messages()
            self._copy("settled")
        return unsettled

    def _attach(self) -> bool:
        """Whether SQLite makes sense of the damaged file at all."""
        if not self._damaged.exists() or self._damaged.stat().st_size == 0:
            return False  # SQLite would throw its log away
        try:
            self._db.execute("ATTACH ? AS old", [f"{self._damaged.absolute().as_uri()}?mode=ro"])
            self._db.execute("SELECT count(*) FROM old.sqlite_master").fetchone()
        except sqlite3.DatabaseError:
            self._detach()
            return False
        return True

    def _detach(self) -> None:
        if any(row[1] == "old" for row in self._db.execute("PRAGMA database_list")):
            self._db.execute("DETACH old")

    def _small_tables(self) -> Iterator[str]:
        return (name for name in tables(self._db) if name not in _OWN_WAY and name not in _LAST)

    def _copy(self, table: str) -> None:
        self._whole = copy_table(self._db, table, self._go_on) and self._whole

    def _copy_outbox(self) -> bool:
        """Copy which messages wait; whether that list can be believed."""
        try:
            sound = self._db.execute("PRAGMA old.integrity_check(outbox)").fetchall() == [("ok",)]
            odd = self._db.execute("SELECT count(*) FROM old.outbox WHERE typeof(lane) != 'integer'").fetchone()[0]
        except sqlite3.DatabaseError:
            sound, odd = False, 0
        self._copy("outbox")
        self._db.execute("DELETE FROM outbox WHERE typeof(lane) != 'integer'")
        return sound and odd == 0 and self._whole

    def _waiting(self) -> set[int]:
        """What the damaged database says that nobody has, and what came after its end."""
        waiting = {n for (n,) in self._db.execute("SELECT n FROM outbox")}
        head, top = self._head, self._top()
        if head is not None and top is not None:
            waiting |= {n_of(self._number, seq) for seq in range(head.seq + 1, top.seq + 1)}
        return waiting

    def _remember_epoch(self) -> None:
        """The epoch that the file beside the database knows, where the database does not say."""
        if self._known is not None:
            sql = "INSERT OR IGNORE INTO epochs (number, id, began_at, why) VALUES (?, ?, '', 'first')"
            self._db.execute(sql, (self._number, self._known.epoch))

    # -- messages

    def _take_waiting(self, unsettled: set[int] | None) -> None:
        """By SQLite's tree: those that wait, or all that may, where that is not known."""
        if unsettled is None:
            self._walk_messages(self._may_wait)
            return
        places = sorted(unsettled)
        for at in range(0, len(places), _CHUNK):
            if not self._has_time():
                return
            self._take_places(places[at : at + _CHUNK])

    def _may_wait(self, n: int) -> bool:
        """Whether a message may not be settled, as far as is known from outside."""
        settled = self._known.settled if self._known else 0
        return epoch_number(n) < self._number or n > n_of(self._number, settled)

    def _take_places(self, places: Sequence[int]) -> None:
        try:
            among = "n IN (SELECT n FROM main.outbox WHERE n BETWEEN ? AND ?)"
            self._keep(self._rows(among, (places[0], places[-1])))
        except sqlite3.DatabaseError as error:
            undo(self._db, error)
            if len(places) > 1:
                half = len(places) // 2
                self._take_places(places[:half])
                self._take_places(places[half:])

    def _walk_messages(self, wanted: Callable[[int], bool] = lambda _n: True) -> None:
        def take(low: int, high: int) -> None:
            self._keep([one for one in self._rows("n > ? AND n <= ?", (low, high)) if wanted(one.n)])

        self._whole = walk(self._db, "messages", take, self._go_on) and self._whole

    def _rows(self, where: str, values: Sequence[int]) -> list[FoundMessage]:
        sql = (
            "SELECT n, CAST(kind AS BLOB), CAST(id AS BLOB), CAST(body AS BLOB), CAST(sha256 AS BLOB) "
            "FROM old.messages WHERE "
        ) + where
        found = (_believed(*row) for row in self._db.execute(sql, values).fetchall())
        return [one for one in found if one is not None]

    def _keep(self, messages: Sequence[FoundMessage]) -> None:
        """Put messages into the new database, those that wait into its outbox."""
        fitting = [one for one in messages if self._fits(one)]
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT OR IGNORE INTO messages (n, kind, id, body, sha256) VALUES (?, ?, ?, ?, ?)",
            [(one.n, one.kind, one.id, one.body, one.sha256) for one in fitting],
        )
        self._db.execute("COMMIT")

    def _fits(self, message: FoundMessage) -> bool:
        """Whether a message says that it belongs where it was found."""
        place = place_of(message.body)
        if place is None or place.seq != seq_of(message.n) or message.kind not in LANES:
            return False
        number = epoch_number(message.n)
        row = self._db.execute("SELECT id FROM epochs WHERE number = ?", (number,)).fetchone()
        if row is None:
            sql = "INSERT OR IGNORE INTO epochs (number, id, began_at, why) VALUES (?, ?, '', 'first')"
            return self._db.execute(sql, (number, place.epoch)).rowcount == 1
        return bool(row[0] == place.epoch)

    def _search_pages(self, unsettled: set[int] | None) -> None:
        """On the bare pages: what still is missing."""
        have = {n for (n,) in self._db.execute("SELECT n FROM messages")}
        if unsettled is not None and unsettled <= have:
            return
        found: dict[int, list[FoundMessage]] = {}
        pages = Pages(self._damaged)
        for one in pages.messages(self._has_time):
            wanted = self._may_wait(one.n) if unsettled is None else one.n in unsettled
            if wanted and one.n not in have and all(one.sha256 != other.sha256 for other in found.get(one.n, ())):
                found.setdefault(one.n, []).append(one)
        pages.close()
        for n in sorted(found, reverse=True):  # from the end, so that each tells which one came before it
            after = self._prev_of(n + 1)
            chosen = [one for one in found[n] if after in {None, one.sha256}]
            self._keep(chosen[:1])

    def _has_time(self) -> bool:
        self._whole = self._go_on() and self._whole
        return self._whole

    def _prev_of(self, n: int) -> str | None:
        row = self._db.execute("SELECT body FROM messages WHERE n = ?", (n,)).fetchone()
        place = place_of(row[0]) if row else None
        return place.prev if place else None

    # -- the account

    def _read_head(self) -> None:
        """The end of the ledger as the damaged database has it, where that can be believed."""
        try:
            row = self._db.execute("SELECT epoch, seq, sha256, number FROM old.head").fetchone()
            if row is not None and self._head_fits(*row):
                self._head = Known(row[0], row[1], row[2], 0, "")
                self._number = max(self._number, row[3])
        except sqlite3.DatabaseError as error:
            undo(self._db, error)

    def _head_fits(self, epoch: object, seq: object, sha256: object, number: object) -> bool:
        """Whether the head is that of the last message; without that message it is believed by its form alone."""
        if not (isinstance(epoch, str) and isinstance(sha256, str) and isinstance(number, int)):
            return False
        if not isinstance(seq, int) or not 0 <= seq <= LARGEST_SEQ or len(sha256) != len(FIRST_PREV):
            return False
        row = self._db.execute("SELECT sha256 FROM old.messages WHERE n = ?", (n_of(number, seq),)).fetchone()
        return row is None or row[0] == sha256

    def _top(self) -> Known | None:
        """The last number that is known to have been given."""
        if self._head is None or self._known is None or self._head.epoch != self._known.epoch:
            return self._head or self._known
        return max(self._head, self._known, key=lambda one: one.seq)

    def _drop_loose(self) -> None:
        """Rows that speak of messages which are not there."""
        self._db.execute("DELETE FROM outbox WHERE n NOT IN (SELECT n FROM messages)")
        self._db.execute("DELETE FROM settled WHERE n NOT IN (SELECT n FROM messages)")

    def _told(self, unsettled: set[int] | None) -> Salvaged:
        self._all_wait(-1 if unsettled is None or self._head is None else n_of(self._number, self._head.seq))
        top, ended = self._top(), []
        epochs = self._db.execute("SELECT number, id FROM epochs ORDER BY number DESC").fetchall()
        for number, epoch in epochs:
            current = top is not None and epoch == top.epoch
            low, high = n_of(number, 0), n_of(number, LARGEST_SEQ)
            rows = self._db.execute("SELECT n FROM messages WHERE n BETWEEN ? AND ? ORDER BY n", (low, high))
            account = accounted(
                epoch,
                [seq_of(n) for (n,) in rows.fetchall()],
                prev_of=partial(self._told_prev, low),
                top=(top.seq, top.sha256) if top and current else None,
                settled=self._known.settled if self._known and epoch == self._known.epoch else 0,
                unsettled=None if unsettled is None else sorted(seq_of(n) for n in unsettled if low < n <= high),
            )
            if number == epochs[0][0] or unsettled is None or account.holes:
                ended.append(account)
        if epochs:
            number, epoch = epochs[0]
            facts = (epoch, ended[0].after or 0, top.sha256 if top else FIRST_PREV, number)
            self._db.execute(
                "INSERT INTO head (one, epoch, seq, sha256, number, commits) VALUES (1, ?, ?, ?, ?, 1)", facts
            )
        kept, waiting = (int(self._db.execute(sql).fetchone()[0]) for sql in _COUNTS)
        largest = max([self._number, *(number for number, _ in epochs)])
        return Salvaged(tuple(ended), largest, kept, waiting, self._whole)

    def _told_prev(self, low: int, seq: int) -> str:
        return self._prev_of(low + seq) or FIRST_PREV

    def _all_wait(self, above: int) -> None:
        """Where nobody knows what was settled, everything is sent again; a consumer drops what it has."""
        for kind, lane in LANES.items():
            sql = "INSERT OR IGNORE INTO outbox (n, lane) SELECT n, ? FROM messages WHERE kind = ? AND n > ?"
            self._db.execute(sql, (lane, kind, above))


_COUNTS: Final = ("SELECT count(*) FROM messages", "SELECT count(*) FROM outbox")


def _believed(n: int, kind: bytes, identity: bytes, body: bytes, sha256: bytes) -> FoundMessage | None:
    try:
        one = FoundMessage(n, kind.decode("ascii"), identity.decode("ascii"), body, sha256.decode("ascii"))
    except (AttributeError, UnicodeDecodeError):
        return None
    return one if sha256_hex(body) == one.sha256 else None
