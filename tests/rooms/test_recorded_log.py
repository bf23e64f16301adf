import os
import threading

import pytest

from agent.store.recorded_log import RecordedLog
from store_rig import Store, an_entry, small_disk
from waiting import until


def test_an_id_is_logged_only_when_its_record_is_committed(tmp_path):
    """While the disk refuses nothing is logged; after the commit the ids stand there, in order, once."""
    store = Store(tmp_path / "store", recorded=RecordedLog(tmp_path / "recorded.txt").add)
    store.fill_the_disk()
    thread = threading.Thread(target=store.journal.run)
    thread.start()
    entries = [an_entry(number, bulk=20_000) for number in (1, 2)]
    for entry in entries:
        store.journal.put(entry)
    assert until(lambda: store.journal.snapshot()["state"] == "failing")
    assert not (tmp_path / "recorded.txt").exists()
    store.free_the_disk()
    assert store.journal.flush(10)
    store.journal.stop()
    thread.join(5)
    store.crash()
    assert (tmp_path / "recorded.txt").read_text().split() == [entry.id for entry in entries]


def test_without_a_path_nothing_is_written(tmp_path):
    """By default there is no such file."""
    RecordedLog(None).add(["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_holds_nobody(tmp_path):
    """A full disk under the log costs its lines, never an exception; with room again it goes on."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    with small_disk(tmp_path, kilobytes=64) as disk:
        log = RecordedLog(disk / "recorded.txt")
        with pytest.raises(OSError, match="No space"):
            (disk / "other").write_bytes(bytes(80 * 1024))
        log.add(["lost-to-the-log"])
        (disk / "other").unlink()
        log.add(["kept"])
        assert (disk / "recorded.txt").read_text().split() == ["kept"]
