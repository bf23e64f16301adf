from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.clock import new_uuid7
from agent.inspection.record import Evidence, evidence_name
from agent.store.eviction import EvictPictures, ForgetPictures
from agent.store.reader import Reader
from agent.store.sweep import PASS_S, PATIENCE_S, Sweep
from store_rig import Store, an_entry, ledger, of_kind, rows


class Swept:
    """A store whose sweep is steered by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder)
        self.evidence = folder / "evidence"
        self.now_s = 1_000.0
        self.sweep = Sweep(self.evidence, reader=Reader(folder), put=self.store.journal.put, missing=self._missing)
        self._number = 0

    def _missing(self, records: Sequence[str]) -> None:
        self.store.journal.put(ForgetPictures(lambda _went: None, records))

    def picture(self, *, recorded: bool = True, file: bool = True) -> Path:
        """A picture with its row, or one of the two without the other."""
        self._number += 1
        entry = an_entry(self._number)
        path = self.evidence / evidence_name(entry.id, entry.record.frame.captured)
        path.parent.mkdir(parents=True, exist_ok=True)
        if file:
            path.write_bytes(b"JPEG")
        if recorded:
            self.store.journal.put(entry.with_evidence(Evidence("0" * 64, 4, 64, 48)))
        return path

    def steps(self, count: int = 20, *, each_s: float = 10.0) -> None:
        """Let it work; the journal writes what it asks for."""
        for _ in range(count):
            self.sweep.step(self.now_s)
            self.store.write()
            self.now_s += each_s


@pytest.fixture
def swept(tmp_path):
    """A store and its sweep."""
    made = Swept(tmp_path)
    yield made
    made.store.stop()


def test_files_that_no_record_names_are_removed(swept):
    """What a crash left is removed, also a half-written file; the pictures of records and other people's files stay."""
    named = swept.picture()
    orphan = swept.picture(recorded=False)
    torn = orphan.with_name(f".{orphan.name}.tmp")
    foreign = orphan.with_name("notes.txt")
    for path in (torn, foreign):
        path.write_bytes(b"x")
    swept.store.write()
    swept.steps()
    assert [path.exists() for path in (named, foreign, orphan, torn)] == [True, True, False, False]


def test_a_picture_whose_record_is_about_to_be_written_stays(swept):
    """A file is removed only when it has no row after everything that waited for its commit is committed."""
    early = swept.picture()  # its record waits in the journal's queue
    for _ in range(20):
        swept.sweep.step(swept.now_s)
        swept.now_s += 10
    assert early.exists(), "the journal has not written since"
    swept.steps()
    assert early.exists()


def test_a_file_is_left_alone_for_a_minute(swept):
    """However quick the journal is, a file without a row gets time to get one."""
    orphan = swept.picture(recorded=False)
    swept.steps(10, each_s=PATIENCE_S / 20)
    assert orphan.exists()
    swept.steps(12, each_s=PATIENCE_S / 5)
    assert not orphan.exists()


def test_pictures_that_somebody_removed_are_told(swept):
    """A row whose file is gone becomes a gap, once; what was evicted in order is not told again."""
    there, gone, evicted = swept.picture(), swept.picture(file=False), swept.picture()
    swept.store.write()
    ids = rows(swept.folder, "SELECT record, path FROM evidence")
    record_of = {path: record for record, path in ids}
    swept.store.db.execute("UPDATE evidence SET kept = 'audit' WHERE record = ?", [evicted.stem])
    swept.store.journal.put(EvictPictures(lambda _went: None, 1))
    for _ in range(2):
        swept.steps()
        swept.now_s += PASS_S
    gaps = of_kind("gaps", ledger(swept.folder))
    assert [(one["reason"]["code"], one["evidence"]) for one in gaps] == [
        ("evidence-evicted", [evicted.stem]),
        ("evidence-missing", [gone.stem]),
    ]
    assert record_of[f"{there.parent.name}/{there.name}"] == there.stem
    assert there.exists()
    assert not evicted.exists(), "the file of an evicted picture is an orphan that the sweep removes"


def test_pictures_on_a_disk_that_is_not_mounted_are_not_given_up(swept):
    """Where the evidence folder is empty or absent, nothing is said to be lost."""
    swept.picture(file=False).parent.rmdir()
    swept.store.write()
    swept.steps()
    swept.evidence.rmdir()
    swept.now_s += PASS_S
    swept.steps()
    assert of_kind("gaps", ledger(swept.folder)) == []


def test_empty_days_go(swept):
    """The folder of a day without pictures is removed, but not the newest."""
    old, new = swept.evidence / "2026-01-01", swept.evidence / "2026-11-22"
    for day in (old, new):
        day.mkdir(parents=True)
    swept.steps()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_pass_begins_again_hours_later(swept):
    """A sweep costs little: after a pass it rests."""
    swept.picture()
    swept.store.write()
    swept.steps()
    late = swept.evidence / "2026-11-22" / f"{new_uuid7()}.jpg"
    late.write_bytes(b"x")
    swept.steps(100)
    assert late.exists()
    swept.now_s += PASS_S
    swept.steps()
    assert not late.exists()
