from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from agent.clock import new_uuid7
from agent.inspection.frame import Moment, utc_text
from agent.ledger.worth import PICTURES
from agent.store.cursors import Cursors
from agent.store.eviction import (
    TOGETHER,
    Evicted,
    EvictMessages,
    EvictPictures,
    ExpireMessages,
    ExpirePictures,
    ForgetPictures,
)
from agent.store.open_rollups import OpenRollups
from agent.store.schema import MIGRATIONS
from agent.store.settlements import SettleEntry
from agent.store.transaction import Entry, Transaction
from consumer import Ledger
from samples import MOMENT, ORIGIN, a_record

KINDS = ("inspections", "rollups", "alerts", "audit", "gaps")
WORTH = {(one.kept, one.reviewed): place for place, one in enumerate(PICTURES)}

pictures = st.lists(
    st.tuples(
        st.sampled_from(PICTURES),
        st.sampled_from(["stored", "failed", "kept", "evicted", "erased"]),
        st.booleans(),  # held
        st.integers(1, 1000),  # bytes
        st.integers(0, 300),  # age in days
    ),
    max_size=30,
)
ledgers = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["settled", "dead", "waiting"])), max_size=40)


class Desk:
    """A database in memory and transactions on it."""

    def __init__(self, moment: Moment = MOMENT) -> None:
        self.db = Database(memory=True)
        self.db.conn.isolation_level = None
        for statement in (one for version in MIGRATIONS for one in version):
            self.db.execute(statement)
        self.moment = moment

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One that is committed at the end."""
        made = Transaction(
            self.db,
            origin=ORIGIN,
            moment=self.moment,
            rollups=OpenRollups(ORIGIN, new_uuid7),
            cursors=Cursors(),
            new_id=new_uuid7,
        )
        yield made
        made.commit()

    def write(self, entry: Entry) -> None:
        """Write an entry twice, as after a rollback, and commit the second attempt."""
        with self.transaction() as transaction:
            transaction.db.execute("SAVEPOINT attempt")
            kept = transaction.seq, transaction.sha256
            entry.write(transaction)
            transaction.db.execute("ROLLBACK TO attempt")
            transaction.seq, transaction.sha256 = kept
            entry.write(transaction)
        entry.committed()

    def picture(self, kept: str, **facts: Any) -> str:
        """A row of evidence; its record's id."""
        known = {
            "record": new_uuid7(),
            "camera": "top",
            "kept": kept,
            "bytes": 100,
            "sha256": "0" * 64,
            "captured_at": utc_text(MOMENT.wall),
        }
        row = {**known, **facts}
        row.setdefault("path", f"2026-11-22/{row['record']}.jpg")
        self.db.table("evidence").insert(row)
        return str(row["record"])

    def message(self, kind: str, state: str = "waiting", **body: Any) -> int:
        """A message in the ledger; its number."""
        with self.transaction() as transaction:
            n = transaction.message(kind, {**self.moment.to_json(), **body})
        if state == "settled":
            with self.transaction() as transaction:
                SettleEntry([n]).write(transaction)
        elif state == "dead":
            self.db.execute("UPDATE outbox SET dead = 'too-large' WHERE n = ?", [n])
        return n

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask."""
        return list(self.db.execute(sql).fetchall())

    def ledger(self, delivered: Mapping[int, bytes]) -> Ledger:
        """What a consumer has in the end: what was delivered before and everything that is left."""
        left = dict(self.rows("SELECT n, body FROM messages"))
        return Ledger.of({**delivered, **left}.values())

    @property
    def head(self) -> int:
        """The last number."""
        return int(self.rows("SELECT seq FROM head")[0][0])


def heard() -> tuple[list[Evicted], Any]:
    """Collects what entries tell after their commit."""
    told: list[Evicted] = []
    return told, told.append


@settings(deadline=None)
@given(pictures, st.integers(0, 5000))
def test_pictures_go_in_the_order_of_their_worth(some, wanted):
    """As many go as are needed and no more, the least valuable first, what the centre has first, never a held one."""
    desk = Desk()
    for one, state, held, size, age in some:
        at = utc_text(MOMENT.wall - timedelta(days=age))
        desk.picture(one.kept, reviewed=one.reviewed, state=state, held=held, bytes=size, captured_at=at)
    facts = "SELECT record, kept, reviewed, state, held, bytes, captured_at, path FROM evidence"
    before = {row[0]: row for row in desk.rows(facts)}
    there = {key: row for key, row in before.items() if row[3] in {"stored", "failed", "kept"}}
    told, done = heard()
    desk.write(EvictPictures(done, wanted))
    after = {row[0] for row in desk.rows("SELECT record FROM evidence")}
    gone = before.keys() - after
    left = there.keys() - gone
    assert not any(before[key][4] for key in gone), "a held one went"
    rank = {
        key: (WORTH[row[1], bool(row[2])], ["stored", "failed", "kept"].index(row[3]), row[6])
        for key, row in there.items()
    }
    free = [key for key in left if not before[key][4]]
    assert all(rank[one] <= rank[other] for one in gone for other in free)
    freed = sorted((before[key] for key in gone), key=lambda row: rank[row[0]])
    assert sum(row[5] for row in freed) >= wanted or not free
    assert sum(row[5] for row in freed[:-1]) < wanted or not freed
    assert told[0].bytes == sum(row[5] for row in freed)
    assert sorted(told[0].paths) == sorted(row[7] for row in freed)
    announced = [
        key for (body,) in desk.rows("SELECT body FROM messages") for key in Ledger.of([body]).messages[0]["evidence"]
    ]
    assert sorted(announced) == sorted(key for key in gone if before[key][3] != "stored")


@settings(deadline=None)
@given(ledgers, st.lists(st.integers(0, 30_000), min_size=1, max_size=4))
def test_a_consumer_can_account_for_every_message_that_had_to_go(some, rounds):
    """What was never delivered goes after all that was, and every number of it is in exactly one gap."""
    desk = Desk()
    for kind, state in some:
        desk.message(kind, state)
    delivered = dict(desk.rows("SELECT n, body FROM messages WHERE n IN (SELECT n FROM settled)"))
    before = desk.rows("SELECT n, kind FROM messages")
    unsettled = {n for (n,) in desk.rows("SELECT n FROM outbox")}
    told, done = heard()
    for wanted in rounds:
        desk.write(EvictMessages(done, wanted))
        assert told[-1].bytes >= wanted or desk.rows("SELECT count(*) FROM outbox")[0][0] == len(
            desk.rows("SELECT n FROM messages WHERE kind = 'gaps'")
        )
    left = {n for (n,) in desk.rows("SELECT n FROM messages")}
    lost = {n for n, _ in before if n in unsettled and n not in left}
    if before:
        assert desk.ledger(delivered).prove_accounted(desk.head) == lost
    assert not lost or not left & delivered.keys(), "something went that nobody has while a delivered one was kept"
    assert sum(one.unsettled for one in told) == len(lost)
    assert not any(kind == "gaps" and n in lost for n, kind in before)


def test_the_oldest_records_go_first_and_what_touches_is_one_gap():
    """Records go before rollups and rollups before alerts; a run without a hole is one gap."""
    desk = Desk()
    kinds = ["inspections"] * 3 + ["rollups"] + ["inspections"] * 4 + ["alerts"]
    for kind in kinds:
        desk.message(kind)
    told, done = heard()
    desk.write(EvictMessages(done, 5 * 800))
    gaps = [one["seqs"] for one in desk.ledger({}).of_kind("gap")]
    assert [(one["from"], one["to"], one["count"]) for one in gaps] == [(1, 3, 3), (5, 6, 2)]
    assert told[0].unsettled == 5
    desk.write(EvictMessages(done, 1_000_000))
    gaps = [one["seqs"] for one in desk.ledger({}).of_kind("gap")]
    assert [(one["from"], one["to"]) for one in gaps[2:]] == [(4, 4), (7, 9)]
    assert desk.rows("SELECT kind FROM messages") == [("gaps",)] * 4


def test_a_message_that_had_to_go_on_its_way_is_not_settled_afterwards():
    """The acknowledgement of a message that is told to be gone leaves no trace, and is no fault."""
    desk = Desk()
    n = desk.message("inspections")
    desk.write(EvictMessages(heard()[1], 1))
    desk.write(SettleEntry([n]))
    assert desk.rows("SELECT n FROM settled") == []


def test_the_record_of_a_picture_under_legal_hold_stays():
    """Neither a settled nor a waiting record goes while its picture is held."""
    desk = Desk()
    for state in ("settled", "waiting"):
        n = desk.message("inspections", state)
        record = dict(desk.rows("SELECT n, id FROM messages"))[n]
        desk.picture("fail", record=record, held=1)
    desk.moment = later(days=30)
    told, done = heard()
    desk.write(ExpireMessages(done, 7))
    desk.write(EvictMessages(done, 1_000_000))
    assert [one.bytes for one in told] == [0, 0]
    assert desk.rows("SELECT count(*) FROM messages WHERE kind = 'inspections'") == [(2,)]


def later(*, days: float, state: str = "synced") -> Moment:
    """A moment so many days later."""
    return replace(MOMENT, wall=MOMENT.wall + timedelta(days=days), state=state)


@pytest.mark.parametrize(("state", "left"), [("synced", 1), ("holdover", 2), ("unset", 2)])
def test_settled_messages_are_kept_for_the_hold_time(state, left):
    """They go without a gap when they were settled long enough ago, by a clock that can be trusted."""
    desk = Desk()
    desk.message("inspections", "settled")
    desk.moment = later(days=7.5, state=state)
    desk.message("inspections", "settled")
    desk.message("alerts")
    told, done = heard()
    desk.write(ExpireMessages(done, 7))
    assert told[0].settled == 2 - left
    assert desk.rows("SELECT count(*) FROM settled") == [(left,)]
    assert desk.rows("SELECT kind, count(*) FROM messages GROUP BY kind") == [("alerts", 1), ("inspections", left)]


@pytest.mark.parametrize(("state", "gone"), [("synced", 2), ("holdover", 0)])
def test_pictures_are_kept_up_to_the_age_of_their_class(state, gone):
    """Older ones go; not what is held, what was taken while the clock was not set, or where any age is allowed."""
    desk = Desk()
    for kept in ("audit", "archive", "fail"):
        desk.picture(kept)
        desk.picture(kept, held=1)
        desk.picture(kept, captured_at="1970-01-01T00:00:11.000000Z")
        desk.picture(kept, captured_at=utc_text(later(days=99).wall))
    desk.moment = later(days=100, state=state)
    told, done = heard()
    desk.write(ExpirePictures(done, {"audit": 30, "archive": 90, "fail": 0}))
    assert len(told[0].paths) == gone
    assert sum(len(one["evidence"]) for one in desk.ledger({}).of_kind("gap")) == gone if gone else desk.head == 0


def test_a_picture_that_went_is_remembered_as_long_as_its_record():
    """Its row says what became of it; when the record goes, so does the row."""
    desk = Desk()
    with desk.transaction() as transaction:
        transaction.record("0193-record", a_record())
    desk.picture("all", record="0193-record")
    desk.write(EvictPictures(heard()[1], 1))
    assert desk.rows("SELECT state, reason FROM evidence") == [("evicted", "evidence-evicted")]
    desk.write(EvictMessages(heard()[1], 1))
    assert desk.rows("SELECT count(*) FROM evidence") == [(0,)]
    assert desk.rows("SELECT count(*) FROM records") == [(0,)]


def test_lost_files_are_told_once():
    """A picture whose file is gone is told by a gap; one that went in order meanwhile is not told again."""
    desk = Desk()
    lost, evicted = desk.picture("fail"), desk.picture("audit")
    desk.write(EvictPictures(heard()[1], 1))
    for _ in range(2):
        desk.write(ForgetPictures(heard()[1], [lost, evicted]))
    gaps = desk.ledger({}).of_kind("gap")
    assert [(one["reason"]["code"], one["evidence"]) for one in gaps] == [
        ("evidence-evicted", [evicted]),
        ("evidence-missing", [lost]),
    ]


def test_one_transaction_takes_a_bounded_number():
    """However much is wanted, a transaction stays small, so that verdicts do not wait for it."""
    desk = Desk()
    for _ in range(TOGETHER + 20):
        desk.picture("audit")
        desk.message("inspections")
    told, done = heard()
    desk.write(EvictPictures(done, 10**9))
    desk.write(EvictMessages(done, 10**9))
    assert [len(told[0].paths), told[1].unsettled] == [TOGETHER, TOGETHER]


def test_replies_to_commands_are_bounded(monkeypatch):
    """Only the newest last words on commands are kept."""
    monkeypatch.setattr("agent.store.eviction.REPLIES_KEPT", 3)
    desk = Desk()
    for number in range(8):
        row = {"id": f"c{number}", "verb": "ping", "received_at": "", "reply": "{}"}
        desk.db.table("commands").insert(row)
    desk.write(ExpireMessages(heard()[1], 7))
    assert [row[0] for row in desk.rows("SELECT id FROM commands ORDER BY rowid")] == ["c5", "c6", "c7"]
