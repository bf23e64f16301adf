import contextlib
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from agent.clock import new_uuid7
from agent.errors import StoreError
from agent.inspection.frame import Mark, Subject, Trigger
from agent.inspection.screening import Screening
from agent.store.opening import Opening
from agent.store.settlements import SettleEntry
from agent.store.transaction import CloseRollups, MessageEntry, ReplyEntry
from samples import MOMENT, ORIGIN, a_detection
from store_rig import ManualClock, Store, a_journal, an_entry, ledger, of_kind, rollup_sum, rows, small_disk
from waiting import until

BULK = 60_000
"""More than a page: a record of this size makes the database grow."""


@pytest.fixture
def running(tmp_path):
    """A store whose journal runs in a thread of its own."""
    store = Store(tmp_path, size=8)
    thread = threading.Thread(target=store.journal.run)
    thread.start()
    yield store
    store.free_the_disk()
    store.journal.stop()
    thread.join(10)
    assert not thread.is_alive()
    store.crash()


def note(text: str = "note") -> MessageEntry:
    """A ledger message that is not a record."""
    return MessageEntry("audit", {**MOMENT.to_json(), "what": text})


def test_numbers_and_chain_go_on_across_restarts(tmp_path):
    """Messages are numbered 1, 2, 3, ... and chained over all kinds and processes, orderly ended or not."""
    for boot in range(4):
        store = Store(tmp_path, boot=f"boot-{boot}")
        store.journal.put(an_entry(1))
        store.journal.put(note())
        store.write()
        store.journal.put(an_entry(2))
        store.write()
        if boot % 2:
            store.crash()
        else:
            store.stop()
    Store(tmp_path, boot="last").stop()
    messages = ledger(tmp_path)
    kinds = Counter(message["kind"] for message in messages)
    assert kinds == {"inspections": 8, "audit": 4, "rollups": 4}
    assert len({message["epoch"] for message in messages}) == 1


def test_no_number_is_seen_before_its_commit(tmp_path):
    """The head that others may publish is that of the last commit, also from within the callbacks of the next."""
    store = Store(tmp_path)
    seen = []
    store.journal.put(an_entry(1, done=lambda: seen.append((store.journal.head.seq, len(ledger(tmp_path))))))
    assert store.journal.head.seq == 0
    store.write()
    assert seen == [(1, 1)]
    store.stop()


def test_the_head_is_known_before_the_first_message(tmp_path):
    """A new database has its epoch from the start."""
    store = Store(tmp_path)
    assert store.journal.head.seq == 0
    assert rows(tmp_path, "SELECT epoch, seq FROM head") == [(store.journal.head.epoch, 0)]
    store.stop()


def test_what_waits_together_is_committed_together(tmp_path):
    """Many entries cost one commit, and those who wait are told after it, each once and in order."""
    store = Store(tmp_path)
    told: list[int] = []
    for number in range(1, 41):
        store.journal.put(an_entry(number, done=partial(told.append, number)))
    before = store.journal.snapshot()["commits"]
    store.write()
    assert store.journal.snapshot()["commits"] == before + 1
    assert told == list(range(1, 41))
    assert store.woken == 1
    store.stop()


def test_one_transaction_is_bounded(tmp_path):
    """A long queue is written in several commits, in order, nothing left behind."""
    store = Store(tmp_path, size=10_000)
    for number in range(1, 1_202):
        store.journal.put(an_entry(number))
    written = [store.journal.step(0) for _ in range(4)]
    assert written == [500, 500, 201, 0]
    store.stop()
    assert [one["frame"] for one in of_kind("inspections", ledger(tmp_path))] == list(range(1, 1_202))


def test_a_triggered_frame_is_not_kept_waiting_for_company(tmp_path):
    """Entries gather for commit_ms, unless somebody waits for one of them."""
    store = Store(tmp_path)
    assert an_entry(1, trigger=Trigger("mqtt")).urgent
    assert not an_entry(1).urgent
    store.stop()


def test_the_uplink_is_woken_only_where_there_is_news(tmp_path):
    """A commit without messages wakes nobody."""
    store = Store(tmp_path)
    store.journal.put(SettleEntry([1]))
    store.journal.put(an_entry(1, policy="notable", screening=Screening(0.1, 0.3)))
    store.write()
    assert store.woken == 0
    assert ledger(tmp_path) == []
    store.stop()


def test_a_full_disk_loses_nothing_that_must_not_be_refused(running):
    """While the disk is full what was handed over waits, and it is written, in order, when there is room again."""
    running.fill_the_disk()
    told: list[int] = []
    for number in range(1, 31):
        running.journal.put(an_entry(number, bulk=BULK, done=partial(told.append, number)))
    assert until(lambda: running.journal.snapshot()["state"] == "failing")
    assert "full" in running.journal.snapshot()["reason"]
    assert not running.journal.room()
    assert told == []
    running.free_the_disk()
    assert running.journal.flush(10)
    assert running.journal.snapshot()["state"] == "writing"
    assert running.journal.room()
    assert [one["frame"] for one in of_kind("inspections", ledger(running.folder))] == list(range(1, 31)) == told


def test_frames_refused_while_the_disk_is_full_become_exact_gaps(running):
    """Frames for which there is no room are announced as one gap per run and camera, when the disk is back."""
    running.fill_the_disk()
    assert running.journal.submit(an_entry(1, bulk=BULK))
    assert until(lambda: running.journal.snapshot()["state"] == "failing")
    taken = [number for number in range(2, 40) if running.journal.submit(an_entry(number, bulk=BULK))]
    assert taken == list(range(2, 10))  # eight wait, the queue's size
    assert not running.journal.submit(an_entry(7, camera="side"))
    assert running.journal.snapshot()["frames_lost"] == 31
    # the disk goes on refusing: the runs grow, they do not multiply
    assert until(lambda: not running.journal.submit(an_entry(40)))
    running.free_the_disk()
    assert running.journal.flush(10)
    messages = ledger(running.folder)
    assert [one["frame"] for one in of_kind("inspections", messages)] == list(range(1, 10))
    gaps = [one["frames"] for one in of_kind("gaps", messages)]
    boot = messages[0]["boot"]
    assert sorted(gaps, key=lambda gap: gap["camera"]) == [
        {"camera": "side", "boot": boot, "from": 7, "to": 7, "count": 1},
        {"camera": "top", "boot": boot, "from": 10, "to": 40, "count": 31},
    ]
    assert {one["reason"]["code"] for one in of_kind("gaps", messages)} == {"journal-full"}


def test_a_disk_without_space_loses_nothing(tmp_path):
    """On a real disk that is full, of whatever else, verdicts wait, refused frames become a gap, and it heals."""
    with small_disk(tmp_path, kilobytes=600) as folder:
        store = Store(folder, size=8)
        thread = threading.Thread(target=store.journal.run)
        thread.start()
        store.journal.put(an_entry(1))
        assert store.journal.flush(10)
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        store.journal.put(an_entry(2, bulk=BULK))
        assert until(lambda: store.journal.snapshot()["state"] == "failing")
        refused = [number for number in range(3, 30) if not store.journal.submit(an_entry(number))]
        assert refused == list(range(11, 30))
        (folder / "ballast").unlink()
        assert store.journal.flush(10)
        store.journal.stop()
        thread.join(10)
        messages = ledger(folder)
        assert [one["frame"] for one in of_kind("inspections", messages)] == list(range(1, 11))
        assert [one["frames"]["count"] for one in of_kind("gaps", messages)] == [19]
        assert rollup_sum(folder)["frames"] == 10
        store.crash()


def test_a_head_is_read_again_after_a_failed_commit(running):
    """A commit that failed has given away no number: the next one begins where the last good one ended."""
    running.journal.put(note())
    assert running.journal.flush(10)
    running.fill_the_disk()
    running.journal.put(an_entry(1, bulk=BULK))
    assert until(lambda: running.journal.snapshot()["state"] == "failing")
    assert running.journal.head.seq == 1
    running.free_the_disk()
    assert running.journal.flush(10)
    assert running.journal.head.seq == 2
    assert len(ledger(running.folder)) == 2


def test_a_frame_that_had_to_be_written_twice_is_counted_once(running):
    """A rollup counts a frame of a failed commit when it is written, not when it was tried."""
    running.journal.put(an_entry(1))
    assert running.journal.flush(10)
    running.fill_the_disk()
    running.journal.put(an_entry(2, bulk=BULK))
    assert until(lambda: running.journal.snapshot()["state"] == "failing")
    running.free_the_disk()
    running.journal.put(CloseRollups())
    assert running.journal.flush(10)
    assert rollup_sum(running.folder)["frames"] == 2


def test_a_stop_while_the_disk_is_full_ends_at_once(tmp_path):
    """The journal ends in time whatever the disk does; files that were not written are still to do."""
    store = Store(tmp_path)
    store.fill_the_disk()
    thread = threading.Thread(target=store.journal.run)
    store.journal.put(an_entry(1, bulk=BULK, mark=Mark(root="folder", item="a.jpg", fingerprint="1")))
    thread.start()
    assert until(lambda: store.journal.snapshot()["state"] == "failing")
    store.journal.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert ledger(tmp_path) == []
    store.crash()


def test_live_frames_given_up_at_a_stop_are_announced_if_that_still_works(tmp_path):
    """What did not fit into a disk that is full at the stop becomes a gap where a small message still fits."""
    store = Store(tmp_path, size=8)
    store.journal.put(an_entry(1))
    store.write()
    store.fill_the_disk()
    thread = threading.Thread(target=store.journal.run)
    for number in range(2, 12):
        store.journal.submit(an_entry(number, bulk=BULK))
    thread.start()
    assert until(lambda: store.journal.snapshot()["state"] == "failing")
    store.journal.stop()
    thread.join(5)
    messages = ledger(tmp_path)
    runs = [(one["frames"]["from"], one["frames"]["to"], one["frames"]["count"]) for one in of_kind("gaps", messages)]
    assert sorted(runs) == [(2, 9, 8), (10, 11, 2)]
    assert [one["frames"] for one in of_kind("rollups", messages)] == [1]
    store.crash()


def test_a_journal_that_cannot_begin_says_so(tmp_path):
    """A database that takes nothing at the start is an error with a sentence."""
    opening = Opening(tmp_path, origin=ORIGIN, now=ManualClock(), new_id=new_uuid7, hardware="hardware")
    opening.db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"the database cannot be written: .*readonly.* Check the disk"):
        a_journal(opening, clock=ManualClock(), on_commit=lambda: None)
    opening.close()


def test_an_orderly_end_writes_what_waits(tmp_path):
    """At a stop everything handed over is committed."""
    store = Store(tmp_path)
    for number in range(1, 8):
        store.journal.put(an_entry(number))
    store.stop()
    assert len(of_kind("inspections", ledger(tmp_path))) == 7


def test_flush_says_when_it_is_not_written_in_time(tmp_path):
    """Whoever waits for the disk is told when his time is over."""
    store = Store(tmp_path)
    assert not store.journal.flush(0.01)
    store.stop()


def test_a_record_has_its_row(tmp_path):
    """The row beside a record's message carries what queries ask for."""
    store = Store(tmp_path)
    facts: dict[str, Any] = {"source": "clear/a.jpg", "subject": Subject(part="A-17"), "camera": "side"}
    entry = an_entry(5, screening=Screening(0.9, 0.3), detections=[a_detection()], **facts)
    store.journal.put(entry)
    store.write()
    found = rows(tmp_path, "SELECT id, n, camera, frame, source, part, outcome, reason, kept, evidence FROM records")
    assert found == [(entry.id, 1, "side", 5, "clear/a.jpg", "A-17", "fail", "confirmed", "all", None)]
    store.stop()


def test_half_a_character_in_a_name_survives(tmp_path):
    """A file name, a part and metadata that are not UTF-8 are stored, and read back from the message as they were."""
    odd = "board-\udcff.jpg"
    store = Store(tmp_path)
    store.journal.put(
        an_entry(1, source=odd, subject=Subject(part=odd), trigger=Trigger("manual", metadata={odd: odd}))
    )
    store.write()
    store.stop()
    (record,) = of_kind("inspections", ledger(tmp_path))
    assert record["source"] == record["subject"]["part"] == record["trigger"]["metadata"][odd] == odd
    assert rows(tmp_path, "SELECT source, part FROM records") == [("board-\\udcff.jpg",) * 2]


def test_a_word_on_a_command_replaces_the_earlier_one(tmp_path):
    """A command's last reply is kept, so that the same command is not done twice."""
    store = Store(tmp_path)
    told = []
    store.journal.put(ReplyEntry("c-1", "ping", {"state": "accepted"}))
    store.journal.put(ReplyEntry("c-1", "ping", {"state": "done"}, done=lambda: told.append("done")))
    store.write()
    assert rows(tmp_path, "SELECT id, verb, reply FROM commands") == [("c-1", "ping", '{"state": "done"}')]
    assert told == ["done"]
    store.stop()


def test_settled_messages_leave_the_outbox_and_stay_in_the_ledger(tmp_path):
    """A settlement takes the number out of the outbox only."""
    store = Store(tmp_path)
    for _ in range(3):
        store.journal.put(note())
    store.write()
    store.journal.put(SettleEntry([1, 3]))
    store.write()
    assert rows(tmp_path, "SELECT n FROM outbox") == [(2,)]
    assert len(ledger(tmp_path)) == 3
    store.stop()


def test_another_device_name_changes_no_earlier_message(tmp_path):
    """A sealed message is never made again: after a restart under another clock its bytes are the same."""
    store = Store(tmp_path)
    store.journal.put(replace(an_entry(1), replaced=2))
    store.write()
    store.crash()
    before = rows(tmp_path, "SELECT body FROM messages WHERE n = 1")
    later = Store(tmp_path, boot="later")
    later.clock.pass_minutes(60)
    later.stop()
    assert rows(tmp_path, "SELECT body FROM messages WHERE n = 1") == before
