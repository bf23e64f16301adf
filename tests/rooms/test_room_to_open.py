import contextlib
from pathlib import Path

from agent.inspection.record import Evidence, evidence_name
from agent.store.ballast import Ballast
from agent.store.eviction import ForgetPictures
from agent.store.holds import HoldEntry
from agent.store.room_to_open import make_room_to_open
from store_rig import Store, an_entry, ledger, of_kind, small_disk

MB = 1_000_000


def a_store(folder: Path, *, pictures: int) -> list[Path]:
    """A store that was stopped in order, with pictures of a MB each, the first under legal hold; their files."""
    store = Store(folder)
    files = []
    for number in range(1, pictures + 1):
        entry = an_entry(number)
        path = folder / "evidence" / evidence_name(entry.id, entry.record.frame.captured)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * MB)
        files.append(path)
        store.journal.put(entry.with_evidence(Evidence("0" * 64, MB, 64, 48)))
    store.journal.put(HoldEntry(files[0].stem, held=True, by="anna", reason="claim", way="cli", done=lambda _was: None))
    store.write()
    store.stop()
    return files


def fill(folder: Path) -> None:
    """Not a byte is free."""
    with contextlib.suppress(OSError), (folder / "other").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_disk_with_room_changes_nothing(tmp_path):
    """Where there is room nothing is given up."""
    files = a_store(tmp_path, pictures=2)
    ballast = Ballast(tmp_path, 2 * MB)
    ballast.keep(100 * MB)
    assert make_room_to_open(tmp_path, ballast=2 * MB) == []
    assert ballast.state == "held"
    assert all(path.exists() for path in files)


def test_the_ballast_goes_before_any_picture(tmp_path):
    """On a full disk the ballast is given up, and no picture where it was there."""
    with small_disk(tmp_path, kilobytes=24_000) as folder:
        files = a_store(folder, pictures=3)
        ballast = Ballast(folder, 2 * MB)
        ballast.keep(100 * MB)
        fill(folder)
        assert make_room_to_open(folder, ballast=2 * MB) == []
        assert ballast.state == "released"
        assert all(path.exists() for path in files)


def test_without_a_ballast_pictures_make_room_and_are_told(tmp_path):
    """The least valuable pictures go, never a held one; when the ledger can be written it says so."""
    with small_disk(tmp_path, kilobytes=24_000) as folder:
        files = a_store(folder, pictures=12)
        fill(folder)
        gone = make_room_to_open(folder, ballast=2 * MB)
        assert files[0].exists()
        assert sorted(gone) == sorted(path.stem for path in files if not path.exists())
        assert len(gone) == 8
        store = Store(folder, boot="next")
        store.journal.put(ForgetPictures(lambda _went: None, gone, "evidence-evicted"))
        store.write()
        store.stop()
        told = [one for one in of_kind("gaps", ledger(folder)) if "evidence" in one]
        assert [one["reason"]["code"] for one in told] == ["evidence-evicted"]
        assert sorted(told[0]["evidence"]) == sorted(gone)


def test_after_a_crash_no_picture_goes_before_the_log_is_read(tmp_path):
    """Where the database left a log, that may know of a legal hold; it has room of its own."""
    with small_disk(tmp_path, kilobytes=24_000) as folder:
        files = a_store(folder, pictures=3)
        (folder / "fieldgate.db-wal").write_bytes(b"")
        fill(folder)
        assert make_room_to_open(folder, ballast=0) == []
        assert all(path.exists() for path in files)


def test_a_new_store_on_a_full_disk_is_left_alone(tmp_path):
    """Where there is no database and no picture there is nothing to give up."""
    with small_disk(tmp_path, kilobytes=500) as folder:
        assert make_room_to_open(folder, ballast=0) == []
