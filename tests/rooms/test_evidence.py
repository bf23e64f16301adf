import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.inspection.record import evidence_name
from agent.inspection.screening import Screening
from agent.store.evidence import EvidenceWriter
from agent.store.transaction import Entry, VerdictEntry
from samples import a_detection
from store_rig import Store, an_entry, ledger, small_disk

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


class Handed:
    """Takes what the evidence thread hands on, and looks at the disk at that moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[VerdictEntry] = []
        self.on_disk: list[bytes | None] = []

    def __call__(self, entry: Entry) -> None:
        assert isinstance(entry, VerdictEntry)
        path = self.folder / evidence_name(entry.id, entry.record.frame.captured)
        self.entries.append(entry)
        self.on_disk.append(path.read_bytes() if path.is_file() else None)

    @property
    def reasons(self) -> list[str | None]:
        """Why each record has no picture."""
        return [entry.record.evidence_reason for entry in self.entries]


def a_writer(folder: Path, *, size: int = 4) -> tuple[EvidenceWriter, Handed]:
    """A writer and what it hands on."""
    handed = Handed(folder)
    return EvidenceWriter(folder, quality=90, size=size, put=handed), handed


def a_fail(number: int = 1) -> VerdictEntry:
    """The verdict of a defective part."""
    return an_entry(number, screening=Screening(0.9, 0.3), detections=[a_detection()])


def test_the_picture_is_on_the_disk_before_the_record_that_names_it(tmp_path):
    """A record's hash and size are those of the file that lies there when the record is handed over."""
    writer, handed = a_writer(tmp_path / "evidence")
    writer.offer(a_fail(), IMAGE)
    assert handed.entries == []
    assert writer.step(0)
    (entry,), (body,) = handed.entries, handed.on_disk
    evidence = entry.record.evidence
    assert evidence is not None
    assert body is not None
    assert evidence.to_json() == {
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "width": 64,
        "height": 48,
    }
    assert entry.record.evidence_reason is None
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == IMAGE.shape


def test_pictures_lie_by_day_and_record(tmp_path):
    """A picture's name is its record's id, in a folder for the day of capture; nothing else is left there."""
    writer, handed = a_writer(tmp_path)
    writer.offer(a_fail(), IMAGE)
    writer.step(0)
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert names == [f"2026-11-22/{handed.entries[0].id}.jpg"]


def test_a_full_queue_holds_no_record_back(tmp_path):
    """When the disk is slower than the line the record goes at once, and says why it has no picture."""
    writer, handed = a_writer(tmp_path, size=2)
    for number in range(1, 5):
        writer.offer(a_fail(number), IMAGE)
    assert [entry.record.frame.number for entry in handed.entries] == [3, 4]
    assert handed.reasons == ["queue-full", "queue-full"]
    writer.stop()
    writer.run()
    assert handed.reasons == ["queue-full", "queue-full", None, None]
    assert writer.snapshot()["refused"] == 2


def test_a_stop_waits_for_the_pictures_that_wait(tmp_path):
    """At the end every picture that was offered is written."""
    writer, handed = a_writer(tmp_path)
    for number in range(1, 4):
        writer.offer(a_fail(number), IMAGE)
    writer.stop()
    writer.run()
    assert all(handed.on_disk)
    assert len(handed.entries) == writer.snapshot()["stored"] == 3


def test_a_folder_that_cannot_be_used_holds_no_record_back(tmp_path):
    """Records go with the reason "failed", the state is shown, and it is over when the folder is well again."""
    folder = tmp_path / "evidence"
    folder.write_text("a file in place of the folder")
    writer, handed = a_writer(folder)
    for number in range(1, 3):
        writer.offer(a_fail(number), IMAGE)
        assert writer.step(0)
    assert handed.reasons == ["failed", "failed"]
    assert [entry.record.evidence for entry in handed.entries] == [None, None]
    shown = writer.snapshot()
    assert (shown["state"], shown["failed"]) == ("failing", 2)
    assert shown["reason"].startswith(f"{folder}: pictures cannot be written: ")
    folder.unlink()
    writer.offer(a_fail(3), IMAGE)
    writer.step(0)
    assert handed.reasons[-1] is None
    assert (writer.snapshot()["state"], writer.snapshot()["reason"]) == ("writing", None)


@pytest.fixture
def full_disk(tmp_path):
    """A disk of 100 kB of its own."""
    with small_disk(tmp_path, kilobytes=100) as folder:
        yield folder


def test_a_full_disk_holds_no_record_back(full_disk):
    """No space left: the record goes without its picture, half a picture is not left behind, and it heals."""
    writer, handed = a_writer(full_disk)
    ballast = full_disk / "ballast"
    ballast.write_bytes(b"x" * 90_000)
    large = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    writer.offer(a_fail(1), large)
    writer.step(0)
    assert handed.reasons == ["failed"]
    assert "No space left" in writer.snapshot()["reason"]
    assert [path for path in full_disk.rglob("*") if path.is_file()] == [ballast]
    ballast.unlink()
    writer.offer(a_fail(2), IMAGE)
    writer.step(0)
    assert handed.reasons == ["failed", None]
    assert writer.snapshot()["state"] == "writing"


def test_a_picture_that_jpeg_cannot_hold_fails_alone(tmp_path):
    """A line-scan picture longer than 65500 pixels has no JPEG; its record goes without, the next one has its own."""
    writer, handed = a_writer(tmp_path)
    writer.offer(a_fail(1), np.zeros((65_501, 2, 3), np.uint8))
    writer.offer(a_fail(2), IMAGE)
    writer.step(0)
    writer.step(0)
    assert handed.reasons == ["failed", None]


def test_the_record_in_the_ledger_names_the_picture(tmp_path):
    """Through the journal the record and its row carry the hash of the file."""
    store = Store(tmp_path)
    writer = EvidenceWriter(tmp_path / "evidence", quality=90, size=4, put=store.journal.put)
    entry = a_fail()
    writer.offer(entry, IMAGE)
    writer.step(0)
    store.write()
    (message,) = ledger(tmp_path)
    body = (tmp_path / "evidence" / evidence_name(entry.id, entry.record.frame.captured)).read_bytes()
    assert message["evidence"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert store.db.execute("SELECT evidence FROM records").fetchone() == (message["evidence"]["sha256"],)
    store.stop()
