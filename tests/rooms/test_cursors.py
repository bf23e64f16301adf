import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inspection.frame import Mark
from agent.store.cursors import files_done, stream_done
from store_rig import FailsOnce, Store, an_entry, rows

FOLDER, STREAM = "folder:/boards", "video:/belt.avi"


def a_file(item: str, fingerprint: str = "10-1") -> Mark:
    """A step of a folder's cursor."""
    return Mark(FOLDER, item=item, fingerprint=fingerprint)


def test_a_file_is_done_when_its_verdict_is_committed(tmp_path):
    """The cursor commits with the verdict: before it the file is to do, after it done, across a crash."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1, mark=a_file("clear/a.jpg")))
    assert files_done(store.db, "top", FOLDER) == {}
    store.write()
    store.journal.put(an_entry(2, mark=a_file("clear/b.jpg")))
    store.crash()
    store = Store(tmp_path, boot="later")
    assert files_done(store.db, "top", FOLDER) == {"clear/a.jpg": "10-1"}
    assert [source for (source,) in rows(tmp_path, "SELECT frame FROM records")] == [1]
    store.stop()


def test_files_of_the_same_name_in_two_folders_are_two(tmp_path):
    """A file is known by its relative path, its folder and its camera."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1, mark=a_file("clear/a.jpg", "1")))
    store.journal.put(an_entry(2, mark=a_file("defective/a.jpg", "2")))
    store.journal.put(an_entry(1, camera="side", mark=a_file("clear/a.jpg", "3")))
    store.journal.put(an_entry(3, mark=Mark("folder:/other", item="clear/a.jpg", fingerprint="4")))
    store.write()
    assert files_done(store.db, "top", FOLDER) == {"clear/a.jpg": "1", "defective/a.jpg": "2"}
    assert files_done(store.db, "side", FOLDER) == {"clear/a.jpg": "3"}
    assert files_done(store.db, "top", "folder:/other") == {"clear/a.jpg": "4"}
    store.stop()


def test_a_file_that_changed_is_known_by_its_new_face(tmp_path):
    """A file inspected again after a change carries its last fingerprint."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1, mark=a_file("a.jpg", "old")))
    store.journal.put(an_entry(2, mark=a_file("a.jpg", "new")))
    store.write()
    assert files_done(store.db, "top", FOLDER) == {"a.jpg": "new"}
    store.stop()


def test_a_frame_that_is_only_counted_moves_the_cursor_too(tmp_path):
    """A file that makes no record is not inspected again."""
    store = Store(tmp_path)
    entry = an_entry(1, policy="notable", mark=a_file("a.jpg"))
    assert entry.record.kept is None
    store.journal.put(entry)
    store.write()
    assert files_done(store.db, "top", FOLDER) == {"a.jpg": "10-1"}
    store.stop()


def test_a_live_frame_moves_no_cursor(tmp_path):
    """A live camera has none."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.write()
    assert rows(tmp_path, "SELECT * FROM cursor_items") == rows(tmp_path, "SELECT * FROM cursor_positions") == []
    store.stop()


@pytest.mark.parametrize("odd", ["board-\udcff.jpg", "größe.jpg", "'; DROP TABLE head; --"])
def test_any_name_of_a_file_or_folder_is_kept(tmp_path, odd):
    """Names that are not UTF-8 move the cursor like others."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1, mark=Mark(f"folder:/{odd}", item=odd, fingerprint="1")))
    store.journal.put(an_entry(2, mark=Mark(f"video:/{odd}", position=1)))
    store.write()
    assert list(files_done(store.db, "top", f"folder:/{odd}").values()) == ["1"]
    assert stream_done(store.db, "top", f"video:/{odd}") == (1, set())
    store.stop()


@settings(max_examples=15)
@given(st.permutations(range(1, 13)), st.lists(st.sampled_from(["commit", "fail", "restart"]), max_size=12))
def test_a_stream_is_done_up_to_a_position_and_beyond_it(tmp_path_factory, order, happenings):
    """In whatever order verdicts are committed, the cursor says exactly which positions are."""
    folder = tmp_path_factory.mktemp("stream")
    store = Store(folder, boot="0")
    committed: set[int] = set()
    for place, position in enumerate(order):
        store.journal.put(an_entry(position, mark=Mark(STREAM, position=position)))
        happening = happenings[place] if place < len(happenings) else "commit"
        if happening == "fail":
            store.journal.put(FailsOnce())
        store.write()
        committed.add(position)
        if happening == "restart":
            store.crash()
            store = Store(folder, boot=str(place + 1))
        upto, beyond = stream_done(store.db, "top", STREAM)
        assert {*range(1, upto + 1), *beyond} == committed
        assert all(one > upto + 1 for one in beyond)
    assert stream_done(store.db, "top", STREAM) == (12, set())
    store.stop()
