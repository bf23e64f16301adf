"""The thread that sends pictures: what goes when, what becomes of it, and that it is told once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.store.pictures import QUIET, OrderEntry
from picture_rig import FORBIDDEN, LATER, REFUSED, Pictures
from store_rig import ledger, of_kind, rows


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Pictures]:
    """A store with an upload."""
    one = Pictures(tmp_path)
    yield one
    one.store.stop()


def test_a_picture_is_sent_once_and_its_fate_told(pictures: Pictures) -> None:
    """Row and message say that it is stored, with hash and address; looking again changes nothing."""
    record = pictures.keep(1)
    pictures.steps()
    assert pictures.way.sent == [record]
    assert pictures.row(record).state == "stored"
    (message,) = of_kind("evidence", ledger(pictures.store.folder))
    assert message["sha256"] == pictures.row(record).sha256
    assert message["url"] == "https://server/x"
    assert message["reason"] is None


def test_a_picture_waits_for_its_record(pictures: Pictures) -> None:
    """Nothing is sent until the record is settled."""
    record = pictures.keep(1, settled=False)
    pictures.steps()
    assert pictures.way.sent == []
    pictures.settle()
    pictures.steps()
    assert pictures.way.sent == [record]


def test_pictures_wait_while_many_messages_wait(pictures: Pictures) -> None:
    """Records first: a picture whose own record is settled waits too."""
    record = pictures.keep(1)
    for number in range(2, QUIET + 3):
        pictures.keep(number, settled=False, kept="all")
    pictures.steps()
    assert pictures.way.sent == []
    pictures.settle()
    pictures.steps()
    assert pictures.way.sent == [record]


def test_the_first_class_goes_first_and_classes_that_are_not_named_stay(pictures: Pictures) -> None:
    """Within a class the oldest goes first."""
    audit = pictures.keep(1, kept="audit")
    plain = pictures.keep(2, kept="all")
    fail = pictures.keep(3, kept="fail")
    pictures.store.clock.pass_minutes(1)
    later = pictures.keep(4, kept="fail")
    pictures.steps()
    assert pictures.way.sent == [fail, later, audit]
    assert pictures.row(plain).state == "kept"


def test_one_that_somebody_asked_for_goes_ahead_of_all(pictures: Pictures) -> None:
    """Also while its record waits, also of a class that is not sent, and also a second time."""
    first = pictures.keep(1)
    wanted = pictures.keep(2, settled=False, kept="all")
    pictures.put(OrderEntry(pictures.row(wanted), "send", by="anna", why="a complaint", way="mqtt"))
    pictures.steps(1)
    assert pictures.way.sent == [wanted]
    pictures.steps()
    assert pictures.way.sent == [wanted, first]
    pictures.put(OrderEntry(pictures.row(wanted), "send", by="anna", why="lost it", way="mqtt"))
    pictures.steps()
    assert pictures.way.sent == [wanted, first, wanted]
    audits = of_kind("audit", ledger(pictures.store.folder))
    told = [(one["what"], one["new"], one["by"]) for one in audits]
    assert told == [(f"evidence of {wanted}", "asked for", "anna")] * 2


def test_a_damaged_and_a_missing_file_fail_and_are_told(pictures: Pictures) -> None:
    """The bytes are compared with the record's hash before anything is sent; the others go on."""
    damaged, missing, good = pictures.keep(1), pictures.keep(2), pictures.keep(3)
    pictures.file(damaged).write_bytes(b"picture 2")
    pictures.file(missing).unlink()
    pictures.steps()
    assert pictures.way.sent == [good]
    assert sorted(pictures.fates()) == sorted(
        [(damaged, "failed", "file-damaged"), (missing, "failed", "file-missing"), (good, "stored", None)]
    )
    assert pictures.row(damaged).state == pictures.row(missing).state == "failed"


def test_a_picture_that_is_refused_is_given_up_after_some_attempts(pictures: Pictures) -> None:
    """Others go in between; the attempts survive a restart; then its fate is failed."""
    poison = pictures.keep(1)
    pictures.way.always[poison] = REFUSED
    good = pictures.keep(2)
    pictures.upload.step()
    pictures.upload.step()
    assert pictures.way.sent == [poison, good]
    pictures.upload = pictures.made()
    pictures.steps()
    assert pictures.way.sent == [poison, good, poison, poison]
    assert pictures.fates() == [(good, "stored", None), (poison, "failed", "refused")]
    assert pictures.bulletin.standing == {}


def test_a_server_in_trouble_fails_no_picture(pictures: Pictures) -> None:
    """However long it lasts: pauses up to the longest, and all are stored at last."""
    records = [pictures.keep(number) for number in range(1, 4)]
    pictures.way.always = dict.fromkeys(records, LATER)
    for _ in range(60):
        pictures.upload.step()
        pictures.store.clock.pass_minutes(0.5)
    assert len(pictures.way.sent) > 20
    assert pictures.fates() == []
    assert {pictures.row(record).attempts for record in records} == {0}
    pictures.way.always.clear()
    for _ in range(10):
        pictures.store.clock.pass_minutes(1)
        pictures.steps(3)
    assert sorted(pictures.fates()) == sorted((record, "stored", None) for record in records)


def test_a_picture_at_which_the_server_stumbles_each_time_blocks_nobody(pictures: Pictures) -> None:
    """The others are stored meanwhile, and it is given up since the server takes them and not it."""
    poison = pictures.keep(1)
    pictures.way.always[poison] = LATER
    for number in range(2, 8):
        good = pictures.keep(number)
        pictures.steps(3)
        pictures.store.clock.pass_minutes(2)
        pictures.steps(3)
        assert pictures.row(good).state == "stored"
        pictures.store.clock.pass_minutes(2)
    assert (poison, "failed", "refused") in pictures.fates()


def test_wrong_settings_pause_everything_and_raise_an_alert(pictures: Pictures) -> None:
    """One attempt in each longest pause; the alert is cleared with the first picture that is taken."""
    record = pictures.keep(1)
    pictures.way.outcomes.append(FORBIDDEN)
    pictures.steps()
    assert pictures.way.sent == [record]
    assert pictures.bulletin.standing == {"upload-refused": f"scripted: {FORBIDDEN.text}"}
    assert pictures.upload.snapshot()["reason"] == {"code": "http-401", "text": FORBIDDEN.text}
    pictures.store.clock.pass_minutes(1.1)
    pictures.steps()
    assert pictures.row(record).state == "stored"
    assert pictures.bulletin.standing == {}


def test_a_full_server_is_an_alert_too(pictures: Pictures) -> None:
    """507 may pass by itself, and somebody should know."""
    pictures.keep(1)
    pictures.way.outcomes.append(replace(LATER, code="http-507", alarming=True))
    pictures.steps()
    assert "upload-refused" in pictures.bulletin.standing


def test_a_days_bytes_are_counted_across_restarts(tmp_path: Path) -> None:
    """What left in vain counts as well; the next day goes on; one that is asked for goes all the same."""
    pictures = Pictures(tmp_path, bytes_per_day=25)
    records = [pictures.keep(number) for number in range(1, 5)]
    pictures.way.outcomes.append(LATER)
    pictures.upload.step()
    pictures.store.clock.pass_minutes(1)
    pictures.steps()
    assert len(pictures.way.sent) == 3, "4 bytes in vain, 10 and 10 stored: 24 of 25 are used up"
    assert pictures.upload.snapshot()["state"] == "budget"
    pictures.upload = pictures.made()
    pictures.steps()
    assert len(pictures.way.sent) == 3
    assert rows(tmp_path, "SELECT day, bytes FROM uploads") == [("2026-11-22", 24)]
    left = next(record for record in records if pictures.row(record).state == "kept")
    pictures.put(OrderEntry(pictures.row(left), "send", by="anna", why="now", way="mqtt"))
    pictures.steps()
    assert pictures.row(left).state == "stored"
    pictures.store.clock.pass_minutes(24 * 60)
    pictures.steps()
    assert {pictures.row(record).state for record in records} == {"stored"}
    pictures.store.stop()


def test_an_erasure_removes_the_file_before_it_is_told(pictures: Pictures) -> None:
    """Ordered with who and why; the file goes after that commit, and the fate says so after the file is gone."""
    record = pictures.keep(1)
    path = pictures.file(record)
    pictures.put(OrderEntry(pictures.row(record), "erase", by="anna", why="a face is on it", way="mqtt"))
    assert path.exists()
    assert pictures.row(record).state == "erasing"
    pictures.upload = pictures.made()  # a restart in between
    pictures.steps()
    assert not path.exists()
    assert pictures.row(record).state == "erased"
    assert pictures.fates() == [(record, "erased", "erased-on-request")]
    assert pictures.erased == [record]
    assert pictures.way.sent == []
    (audit,) = of_kind("audit", ledger(pictures.store.folder))
    assert (audit["old"], audit["new"], audit["by"], audit["reason"]) == ("kept", "erased", "anna", "a face is on it")


def test_a_picture_under_legal_hold_is_not_erased(pictures: Pictures) -> None:
    """Even when the hold came between the order and its transaction: nothing changes, nothing is told."""
    record = pictures.keep(1)
    seen = pictures.row(record)
    pictures.store.db.execute("UPDATE evidence SET held = 1")
    pictures.put(OrderEntry(seen, "erase", by="anna", why="?", way="mqtt"))
    assert pictures.row(record).state == "kept"
    assert of_kind("audit", ledger(pictures.store.folder)) == []


def test_an_erased_picture_cannot_be_sent_and_an_erasure_is_told_once(pictures: Pictures) -> None:
    """Orders that come too late change nothing."""
    record = pictures.keep(1)
    order = OrderEntry(pictures.row(record), "erase", by="anna", why="?", way="mqtt")
    pictures.put(order)
    pictures.put(order)
    pictures.steps()
    pictures.put(OrderEntry(pictures.row(record), "send", by="anna", why="?", way="mqtt"))
    pictures.put(order)
    pictures.steps()
    assert pictures.fates() == [(record, "erased", "erased-on-request")]
    assert len(of_kind("audit", ledger(pictures.store.folder))) == 1


def test_what_is_stored_stays_stored_when_a_second_request_fails(pictures: Pictures) -> None:
    """The failure is told, and the row still says that the centre has it."""
    record = pictures.keep(1)
    pictures.steps()
    pictures.file(record).unlink()
    pictures.put(OrderEntry(pictures.row(record), "send", by="anna", why="again", way="mqtt"))
    pictures.steps()
    assert pictures.row(record).state == "stored"
    assert pictures.fates() == [(record, "stored", None), (record, "failed", "file-missing")]


def test_a_database_that_cannot_be_read_is_a_state(pictures: Pictures) -> None:
    """The thread goes on and says why nothing is sent."""
    pictures.store.db.execute("ALTER TABLE uploads RENAME TO elsewhere")
    pictures.store.db.execute("ALTER TABLE outbox RENAME TO elsewhere_too")
    assert pictures.upload.step() > 0
    assert pictures.upload.snapshot()["state"] == "failing"
    pictures.store.db.execute("ALTER TABLE elsewhere_too RENAME TO outbox")
    pictures.store.db.execute("ALTER TABLE elsewhere RENAME TO uploads")
