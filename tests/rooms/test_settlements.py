"""What consumers confirm, ask for again, and what a person decides about dead letters: on a real database."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery import Delivery, runs_without
from agent.errors import BadCommand
from agent.ledger.lanes import AGAIN, LIVE
from agent.store.dead_letters import BuryEntry, DeadLettersEntry, Decision, count_dead, dead_letters
from agent.store.outbox import LAST, kept, ledger_facts, receipts, unsettled
from agent.store.reader import Reader
from agent.store.settlements import MOST_CONSUMERS, AckEntry, AgainEntry, OverdueEntry, ReceiptEntry, SettleEntry
from store_rig import Store, an_entry, ledger, of_kind, rows


class Rig(Store):
    """A store with ten records."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for number in range(1, 11):
            self.journal.put(an_entry(number))
        self.write()
        self.epoch = self.journal.head.epoch

    def receipt(
        self, upto: int, *, consumer: str = "db", epoch: str = "", required: tuple[str, ...] = ("db",)
    ) -> object:
        """Send a receipt; the reason of its refusal, or None."""
        told: list[str | None] = []
        entry = ReceiptEntry(consumer, epoch=epoch or self.epoch, upto=upto, required=required, done=told.append)
        self.journal.put(entry)
        self.write()
        return told[0]

    def again(self, first: int, last: int) -> int:
        """Ask for messages again; how many will be sent."""
        told: list[int] = []
        self.journal.put(AgainEntry(epoch_number=0, first=first, last=last, done=told.append))
        self.write()
        return told[0]

    def delivery(self, *required: str) -> Delivery:
        """As the app makes it."""
        self.alerts: list[tuple[str, str, float | None]] = []
        return Delivery(
            journal=self.journal,
            reader=Reader(self.folder),
            required=required,
            overdue_s=3_600,
            raised=lambda code, *, about, text, figure: self.alerts.append(("raised", code, figure)),  # noqa: ARG005
            cleared=lambda code, *, about, text: self.alerts.append(("cleared", code, None)),  # noqa: ARG005
        )

    def decide(self, *seqs: int, give_up: bool, epoch: str | None = None) -> list[int]:
        """Decide about dead letters; none named: all."""
        told: list[list[int]] = []
        decision = Decision(seqs or None, epoch, "anna", "it is broken", "cli")
        self.journal.put(DeadLettersEntry(decision, give_up=give_up, done=told.append))
        self.write()
        return told[0]

    def waiting(self, lane: int = LIVE) -> list[int]:
        """What would be sent of a lane."""
        return [one.n for one in unsettled(self.db, lane, 0, LAST, 100)]

    def settled(self) -> list[int]:
        """What is settled and kept."""
        return [n for (n,) in rows(self.folder, "SELECT n FROM settled ORDER BY n")]

    def settled_upto(self) -> int:
        """As the device publishes it."""
        return int(ledger_facts(self.db)["settled"])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A store that is closed afterwards."""
    one = Rig(tmp_path)
    yield one
    one.stop()


def test_with_receipts_required_the_brokers_word_settles_nothing(rig: Rig) -> None:
    """What the broker has is not sent again at once, and is settled when the consumer says so."""
    rig.journal.put(AckEntry([1, 2, 3, 4]))
    rig.write()
    assert rig.waiting() == [5, 6, 7, 8, 9, 10]
    assert (rig.settled(), rig.settled_upto()) == ([], 0)
    assert rig.receipt(3) is None
    assert (rig.settled(), rig.settled_upto()) == ([1, 2, 3], 3)
    assert rig.waiting() == [5, 6, 7, 8, 9, 10]


def test_a_receipt_settles_also_what_no_puback_has_settled(rig: Rig) -> None:
    """A PUBACK that a cut has swallowed does not matter: the consumer has the message."""
    assert rig.receipt(10) is None
    assert (rig.waiting(), rig.settled_upto()) == ([], 10)


def test_all_required_consumers_must_have_a_message(rig: Rig) -> None:
    """The slowest of them decides; others are noted and settle nothing."""
    both = ("db", "archive")
    assert rig.receipt(8, required=both) is None
    assert rig.receipt(9, consumer="viewer", required=both) is None
    assert rig.settled() == []
    assert rig.receipt(5, consumer="archive", required=both) is None
    assert rig.settled() == [1, 2, 3, 4, 5]
    assert {(one["consumer"], one["upto"]) for one in receipts(rig.db)} == {("db", 8), ("viewer", 9), ("archive", 5)}


def test_a_receipt_that_comes_late_or_twice_takes_nothing_back(rig: Rig) -> None:
    """Receipts are idempotent, in any order."""
    for upto in (7, 3, 7, 0):
        assert rig.receipt(upto) is None
    assert rig.settled_upto() == 7
    assert [one["upto"] for one in receipts(rig.db)] == [7]


def test_receipts_that_cannot_be_true_are_refused_and_change_nothing(rig: Rig) -> None:
    """Beyond the head, of another epoch, of too many strangers: each has its own code."""
    assert rig.receipt(11) == "beyond-head"
    assert rig.receipt(1, epoch="another") == "unknown-epoch"
    assert receipts(rig.db) == []
    for number in range(MOST_CONSUMERS):
        assert rig.receipt(1, consumer=f"c-{number}") is None
    assert rig.receipt(1, consumer="one-more") == "too-many-consumers"
    assert rig.settled() == []
    assert rig.receipt(10) is None, "a required one always has room"


def test_a_receipt_that_is_overdue_brings_its_messages_back(rig: Rig) -> None:
    """Only past its time; and past any time where the clock has been set back since."""
    rig.journal.put(AckEntry([1, 2]))
    rig.write()
    rig.clock.pass_minutes(40)
    rig.journal.put(AckEntry([3]))
    rig.journal.put(OverdueEntry(timedelta(hours=1)))
    rig.write()
    assert rig.waiting() == [4, 5, 6, 7, 8, 9, 10]
    rig.clock.pass_minutes(30)
    rig.journal.put(OverdueEntry(timedelta(hours=1)))
    rig.write()
    assert rig.waiting() == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    rig.clock.pass_minutes(-60)
    rig.journal.put(OverdueEntry(timedelta(hours=1)))
    rig.write()
    assert rig.waiting() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_what_is_settled_can_be_sent_again_unchanged(rig: Rig) -> None:
    """Settled messages come back in a lane of their own; what waits already is not doubled."""
    before = dict(rows(rig.folder, "SELECT n, body FROM messages"))
    rig.journal.put(SettleEntry([1, 2, 3, 4]))
    rig.write()
    assert rig.again(3, 6) == 2
    assert rig.waiting(AGAIN) == [3, 4]
    assert rig.waiting() == [5, 6, 7, 8, 9, 10]
    assert {one.n: one.body for one in unsettled(rig.db, AGAIN, 0, LAST, 9)} == {n: before[n] for n in (3, 4)}
    assert rig.settled_upto() == 4, "what is wanted again counts as settled"
    rig.journal.put(SettleEntry([3, 4]))
    rig.write()
    assert rig.waiting(AGAIN) == []
    assert rig.settled() == [1, 2, 3, 4]


@pytest.mark.parametrize("receipt_first", [True, False])
def test_a_replay_where_receipts_are_required(rig: Rig, receipt_first: bool) -> None:
    """What was confirmed before is settled by the broker's word; what was not is sent again at once."""
    rig.journal.put(AckEntry([1, 2, 3]))
    rig.write()
    if receipt_first:
        rig.receipt(3)
    assert rig.again(1, 3) == 3
    assert rig.waiting(AGAIN if receipt_first else LIVE)[:3] == [1, 2, 3]
    rig.journal.put(AckEntry([1, 2, 3]))
    rig.write()
    assert rig.waiting(AGAIN) == []
    assert rig.settled() == ([1, 2, 3] if receipt_first else [])


def test_a_dead_letter_outlives_a_restart_and_is_sent_again_by_a_persons_word(tmp_path: Path) -> None:
    """The broker's reason is kept; who sent it again and why is in the ledger."""
    store = Rig(tmp_path)
    store.journal.put(BuryEntry(4, "payload format invalid (0x99)"))
    store.write()
    store.stop()
    store = Rig.__new__(Rig)
    Store.__init__(store, tmp_path)
    (dead,) = dead_letters(store.db)
    assert (dead.n, dead.kind, dead.reason) == (4, "inspections", "payload format invalid (0x99)")
    assert 4 not in store.waiting()
    assert store.decide(4, 5, give_up=False) == [4]
    assert 4 in store.waiting()
    (audit,) = of_kind("audit", ledger(tmp_path))
    assert (audit["what"], audit["new"], audit["by"]) == ("dead letters 4", "sent again", "anna")
    store.stop()


def test_dead_letters_that_are_given_up_are_told_by_one_gap_per_run(rig: Rig) -> None:
    """Gap and end of the message are one transaction; the gap carries the hash that the chain goes on from."""
    for place in (2, 3, 7):
        rig.journal.put(BuryEntry(place, "topic name invalid (0x90)"))
    rig.write()
    body = rows(rig.folder, "SELECT body FROM messages WHERE n = 3")[0][0]
    assert rig.decide(give_up=True) == [2, 3, 7]
    gaps = of_kind("gaps", ledger(rig.folder))
    assert [(gap["seqs"]["from"], gap["seqs"]["to"], gap["seqs"]["count"]) for gap in gaps] == [(2, 3, 2), (7, 7, 1)]
    assert gaps[0]["seqs"]["last_sha256"] == hashlib.sha256(body).hexdigest()
    assert gaps[0]["reason"] == {"code": "given-up", "text": "anna: it is broken"}
    assert count_dead(rig.db) == 0
    assert rig.waiting() == [1, 4, 5, 6, 8, 9, 10]
    assert rig.settled() == [2, 3, 7], "kept for a while, as everything that nobody waits for"


def test_only_dead_letters_can_be_decided_about(rig: Rig) -> None:
    """Numbers that are alive, unknown, or of another epoch are left alone, and nothing is written."""
    rig.journal.put(BuryEntry(2, "topic name invalid (0x90)"))
    rig.write()
    head = rig.journal.head.seq
    assert rig.decide(1, 99, give_up=True) == []
    assert rig.decide(2, give_up=True, epoch="another") == []
    assert rig.journal.head.seq == head
    assert rig.decide(2, give_up=True, epoch=rig.epoch) == [2]


def test_settled_is_right_whatever_the_lanes(rig: Rig) -> None:
    """Everything up to this number is settled: a dead letter or an old record that waits holds it back."""
    rig.journal.put(SettleEntry([1, 2, 4, 5, 6, 7, 8, 9, 10]))
    rig.journal.put(BuryEntry(3, "topic name invalid (0x90)"))
    rig.write()
    assert rig.settled_upto() == 2
    assert kept(rig.db, 0, 2, 99) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert json.dumps(ledger_facts(rig.db)["oldest_kept"]) == "1"


def test_a_replay_answers_what_is_not_kept(rig: Rig) -> None:
    """Numbers that were evicted, or that lie beyond the head, come back as runs; an unknown epoch is refused."""
    rig.journal.put(SettleEntry(list(range(1, 11))))
    rig.write()
    for place in (2, 3, 7):
        rig.db.execute("DELETE FROM messages WHERE n = ?", [place])
    delivery = rig.delivery()
    answers: list[Mapping[str, Any]] = []
    delivery.replay({"epoch": rig.epoch, "from": 1, "to": 12}, answers.append)
    rig.write()
    assert answers == [
        {
            "epoch": rig.epoch,
            "from": 1,
            "to": 12,
            "again": 7,
            "not_kept": 5,
            "not_kept_runs": [[2, 3], [7, 7], [11, 12]],
        }
    ]
    with pytest.raises(BadCommand) as refused:
        delivery.replay({"epoch": "another", "from": 1, "to": 2}, answers.append)
    assert refused.value.code == "unknown-epoch"


def test_dead_letters_are_an_alert_until_none_is_left(rig: Rig) -> None:
    """Raised when the broker refuses the first, cleared when a person has decided about the last."""
    delivery = rig.delivery()
    reread: list[bool] = []
    delivery.attach(lambda: reread.append(True))
    delivery.look_at_the_dead()
    delivery.bury(3, "payload format invalid (0x99)")
    rig.write()
    runner = threading.Timer(0.1, rig.write)
    runner.start()
    decision = Decision([3], None, "anna", "mended", "cli")
    assert delivery.decide(decision, give_up=False) == [3]
    runner.join()
    codes = [(what, figure) for what, code, figure in rig.alerts if code == "dead-letters"]
    assert codes == [("cleared", None), ("raised", 1.0), ("cleared", None)]
    assert reread == [True]


@given(st.sets(st.integers(1, 60)), st.integers(1, 60), st.integers(0, 60))
def test_runs_are_exactly_what_is_not_there(there: set[int], first: int, more: int) -> None:
    """Each number is there or in one run, and runs do not touch."""
    last = first + more
    inside = sorted(number for number in there if first <= number <= last)
    runs = runs_without(inside, first, last)
    missing = [number for start, end in runs for number in range(start, end + 1)]
    assert sorted([*inside, *missing]) == list(range(first, last + 1))
    assert all(end + 1 < start for (_, end), (start, _) in pairwise(runs))
