import fcntl
import sqlite3
import subprocess
import sys
import threading

import pytest

from agent.errors import SchemaTooNew, StoreError, WriterBusy
from agent.store.outbox import backlog
from agent.store.reader import Reader
from agent.store.schema import FILE, LOCK, MIGRATIONS, hold_write_lock, open_reader, open_writer
from store_rig import Store, an_entry, rows


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path):
    """The writer's connection is in WAL with synchronous FULL."""
    db = open_writer(tmp_path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL, https://sqlite.org/pragma.html
    db.conn.close()


def test_a_database_is_made_once_and_opened_again(tmp_path):
    """A new file gets the tables of this version; opening it again changes nothing."""
    open_writer(tmp_path).conn.close()
    before = rows(tmp_path, "SELECT sql FROM sqlite_master ORDER BY name")
    open_writer(tmp_path).conn.close()
    assert rows(tmp_path, "SELECT sql FROM sqlite_master ORDER BY name") == before
    assert rows(tmp_path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_migration_that_fails_changes_nothing(tmp_path):
    """Tables and version number are one transaction: what stands in the way leaves the version as it was."""
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("CREATE TABLE outbox (mine TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="outbox already exists"):
        open_writer(tmp_path)
    assert rows(tmp_path, "SELECT name FROM sqlite_master") == [("outbox",)]
    assert rows(tmp_path, "PRAGMA user_version") == [(0,)]


@pytest.mark.parametrize("opened", [open_writer, open_reader])
def test_a_newer_database_is_refused(tmp_path, opened):
    """Tables of a newer version are neither written nor read; the message says what to do."""
    open_writer(tmp_path).conn.close()
    rows(tmp_path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(SchemaTooNew, match=rf"newer .*version {len(MIGRATIONS) + 1} .* Install that"):
        opened(tmp_path)
    assert rows(tmp_path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


@pytest.mark.parametrize("opened", [open_writer, open_reader])
@pytest.mark.parametrize("body", [b"this is no database " * 200, b"SQLite format 3\0" + b"\x07" * 5_000])
def test_a_file_that_is_no_database_is_an_error_with_a_sentence(tmp_path, opened, body):
    """The message names the file; the file stays as it is."""
    path = tmp_path / FILE
    path.write_bytes(body)
    with pytest.raises(StoreError, match=rf"{FILE}: the database cannot be opened"):
        opened(tmp_path)
    assert path.read_bytes() == body


def test_a_folder_in_place_of_the_database_is_an_error_with_a_sentence(tmp_path):
    """Whatever SQLite cannot open is told in one sentence."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        open_writer(tmp_path)


def test_a_reader_without_a_database_is_told_so(tmp_path):
    """Reading never makes a database."""
    with pytest.raises(StoreError, match="there is no database yet"):
        open_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_cannot_write(tmp_path):
    """A read-only connection refuses to change anything."""
    open_writer(tmp_path).conn.close()
    reader = open_reader(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM outbox")
    reader.conn.close()


@pytest.mark.parametrize("name", ["a b", "50%25", "what?mode=rw", "#1", "größe"])
def test_a_store_may_have_any_name(tmp_path, name):
    """A folder's name is never taken for a part of an address."""
    folder = tmp_path / name
    store = Store(folder)
    store.journal.put(an_entry(1))
    store.write()
    reader = open_reader(folder)
    assert backlog(reader) == 1
    reader.conn.close()
    store.stop()
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_each_thread_reads_through_its_own_connection(tmp_path):
    """Readers work from any thread, beside the writer, and see what is committed."""
    store = Store(tmp_path)
    reader = Reader(tmp_path)
    store.journal.put(an_entry(1))
    store.write()
    found = []
    threads = [threading.Thread(target=lambda: found.append(reader.ask(backlog))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*found, reader.ask(backlog)] == [1, 1, 1, 1]
    store.stop()


def test_a_second_process_gets_no_write_lock(tmp_path):
    """Whoever opens the database to write holds the lock; another process is told who is in the way."""
    lock = hold_write_lock(tmp_path)
    program = (
        "import sys; from pathlib import Path; from agent.errors import WriterBusy\n"
        "from agent.store.schema import hold_write_lock\n"
        "try: hold_write_lock(Path(sys.argv[1]))\n"
        "except WriterBusy as error: print(error)\n"
        "else: print('mine')"
    )
    command = [sys.executable, "-c", program, tmp_path]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "another fieldgate is running on this store" in told
    with pytest.raises(WriterBusy):
        hold_write_lock(tmp_path)
    lock.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "mine\n"


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    """A lock file that was left behind is in nobody's way."""
    (tmp_path / LOCK).touch()
    with hold_write_lock(tmp_path), (tmp_path / LOCK).open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_store_that_cannot_be_made_is_an_error_with_a_sentence(tmp_path):
    """A file in place of the folder is named, with the key to look at."""
    (tmp_path / "store").touch()
    with pytest.raises(StoreError, match=r"store: the store cannot be used: .* Check store\.dir"):
        hold_write_lock(tmp_path / "store")
