import contextlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.clock import new_uuid7
from agent.errors import SchemaTooNew, StoreError
from agent.inspection.frame import Mark
from agent.inspection.record import Evidence
from agent.store.checking import Checker
from agent.store.opening import Opening
from agent.store.outbox import backlog
from agent.store.reader import Reader
from agent.store.repair import ASIDE, KEPT, REPAIRED, kept_aside
from agent.store.schema import FILE, MIGRATIONS
from agent.store.settlements import SettleEntry
from agent.store.transaction import ReplyEntry, Transaction, VerdictEntry
from samples import ORIGIN
from store_rig import ManualClock, Store, an_entry, rows

EVIDENCE = Evidence("e" * 64, 1000, 640, 480)


class FailsAfterItsCommit:
    """An entry whose transaction is committed, and then says that it was not: as when only the last fsync fails."""

    urgent = False

    def __init__(self) -> None:
        self._tried = False

    def write(self, transaction: Transaction) -> None:
        commit = transaction.commit

        def commit_and_fail() -> None:
            commit()
            raise sqlite3.OperationalError("disk I/O error")

        if not self._tried:
            self._tried = True
            transaction.commit = commit_and_fail  # type: ignore[method-assign]

    def committed(self) -> None:
        pass


def damaged_message(folder: Path, n: int) -> None:
    """Change one byte of a sealed message, as a bad disk would."""
    with contextlib.closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("UPDATE messages SET body = CAST(replace(body, 'top', 'tip') AS BLOB) WHERE n = ?", (n,))


def gaps(folder: Path) -> list[dict[str, Any]]:
    """The bodies of all gaps."""
    return [json.loads(body) for (body,) in rows(folder, "SELECT body FROM messages WHERE kind = 'gaps' ORDER BY n")]


def test_a_connection_that_the_disk_refused_is_not_used_again(tmp_path):
    """A batch that met an error of the disk is written on a new connection."""
    store = Store(tmp_path)
    first = store.opening.db
    store.db.execute("PRAGMA query_only = ON")  # says that the database is read-only
    written = threading.Event()
    store.journal.put(an_entry(1, done=written.set))
    store.write()
    assert written.is_set()
    assert store.opening.db is not first
    assert rows(tmp_path, "SELECT frame FROM records") == [(1,)]
    store.stop()


def test_a_commit_that_only_seemed_to_fail_is_not_written_twice(tmp_path):
    """Where the disk's word is an error and the commit is there all the same, the entries are told so once."""
    store = Store(tmp_path)
    told = []
    store.journal.put(an_entry(1, done=lambda: told.append(1)))
    store.journal.put(FailsAfterItsCommit())
    store.write()
    store.journal.put(an_entry(2, done=lambda: told.append(2)))
    store.write()
    assert told == [1, 2]
    assert rows(tmp_path, "SELECT frame FROM records ORDER BY frame") == [(1,), (2,)]
    store.stop()


def test_trouble_is_told_when_it_begins_and_when_it_is_over(tmp_path):
    """Once each, with the disk's own words."""
    told: list[str | None] = []
    store = Store(tmp_path, troubled=told.append)
    store.journal.put(an_entry(1))
    store.journal.put(FailsAfterItsCommit())
    store.write()
    assert told == ["the database cannot be written: disk I/O error", None]
    store.stop()


def test_damage_that_shows_while_in_use_is_repaired_beside_the_line(tmp_path):
    """The journal goes on in a new epoch; what waits to be sent has its own bytes and numbers, and readers follow."""
    began: list[str] = []
    store = Store(tmp_path, began=lambda beginning: began.append(beginning.code))
    reader = Reader(tmp_path)
    for number in range(1, 6):
        store.journal.put(an_entry(number))
    store.write()
    store.journal.put(SettleEntry([1]))
    store.write()
    old = store.journal.head.epoch
    assert reader.ask(backlog) == 4
    before = rows(tmp_path, "SELECT n, body FROM messages WHERE n BETWEEN 2 AND 5")
    store.journal.put(an_entry(6))
    store.journal.suspect("a page was seen that is not a page")
    store.write()
    assert began == ["database-damaged"]
    assert store.journal.head.epoch != old
    assert store.journal.head.seq == 2
    assert rows(tmp_path, "SELECT n, body FROM messages WHERE n BETWEEN 2 AND 5") == before
    reader.renew()
    assert reader.ask(backlog) == 6
    (gap,) = gaps(tmp_path)
    assert gap["ledger"] == {"epoch": old, "after": 5}
    store.stop()
    assert [path.name.startswith(ASIDE) for path in kept_aside(tmp_path)] == [True]


def test_a_message_whose_bytes_changed_is_told_as_gone(tmp_path):
    """What does not have the bytes that were sealed is never sent: its number is named by a gap with the true hash."""
    store = Store(tmp_path)
    for number in range(1, 6):
        store.journal.put(an_entry(number))
    store.write()
    (sha256,) = rows(tmp_path, "SELECT sha256 FROM messages WHERE n = 3")[0]
    store.crash()
    damaged_message(tmp_path, 3)
    store = Store(tmp_path, boot="after")
    store.stop()
    first, hole = gaps(tmp_path)
    epoch = first["ledger"]["epoch"]
    assert hole["seqs"] == {"epoch": epoch, "from": 3, "to": 3, "count": 1, "last_sha256": sha256}
    assert [n for (n,) in rows(tmp_path, "SELECT n FROM outbox ORDER BY n")][:4] == [1, 2, 4, 5]


def test_what_else_the_database_knew_is_kept(tmp_path):
    """Records, pictures, cursors, replies and settled messages survive, and the sums of pictures are right."""
    store = Store(tmp_path)
    for number in range(1, 4):
        entry = an_entry(number, mark=Mark(root="folder:boards", item=f"{number}.png", fingerprint="f"))
        store.journal.put(VerdictEntry(entry.id, entry.record.with_evidence(EVIDENCE)))
    store.journal.put(an_entry(4, camera="film", mark=Mark(root="video:belt.avi", position=1)))
    store.journal.put(ReplyEntry("c-1", "ping", {"state": "done"}))
    store.write()
    store.journal.put(SettleEntry([1, 2]))
    store.write()
    asked = (
        "SELECT id, n, frame FROM records ORDER BY n",
        "SELECT record, bytes FROM evidence ORDER BY record",
        "SELECT kept, state, bytes, pictures FROM evidence_sums",
        "SELECT item, fingerprint FROM cursor_items ORDER BY item",
        "SELECT upto, beyond FROM cursor_positions",
        "SELECT id, reply FROM commands",
        "SELECT n FROM settled ORDER BY n",
        "SELECT n, body FROM messages WHERE n <= 4 ORDER BY n",
    )
    before = [rows(tmp_path, sql) for sql in asked]
    store.journal.suspect("damage")
    store.write()
    assert [rows(tmp_path, sql) for sql in asked] == before
    store.stop()


def test_a_repair_that_is_cut_off_is_finished_by_the_next_start(tmp_path, monkeypatch):
    """Once the repaired database is complete it is the one; the damaged one is still kept."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.write()
    store.crash()
    (tmp_path / FILE).write_bytes(b"noise" * 5000)

    def cut(_folder: Path, _aside: str) -> None:
        if (tmp_path / REPAIRED).exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("agent.store.opening.swap", cut)
        with pytest.raises(KeyboardInterrupt):
            Opening(tmp_path, origin=ORIGIN, now=ManualClock(), new_id=new_uuid7, hardware="hardware")
    store = Store(tmp_path, boot="after")
    store.stop()
    assert len(kept_aside(tmp_path)) == 1
    assert rows(tmp_path, "SELECT count(*) FROM epochs WHERE why = 'database-damaged'") == [(1,)]


def test_few_damaged_databases_are_kept(tmp_path):
    """The oldest go."""
    for day in range(1, 6):
        (tmp_path / f"{ASIDE}2026110{day}T000000Z").write_bytes(b"old")
        (tmp_path / f"{ASIDE}2026110{day}T000000Z-wal").write_bytes(b"old")
    (tmp_path / FILE).write_bytes(b"noise" * 5000)
    Store(tmp_path).stop()
    kept = kept_aside(tmp_path)
    assert len(kept) == KEPT
    assert kept[0].read_bytes() == b"noise" * 5000
    assert {path.name for path in tmp_path.glob(f"{ASIDE}*-wal")} <= {f"{path.name}-wal" for path in kept}


def test_a_version_that_nobody_has_written_is_damage(tmp_path):
    """A newer agent would have said so beside the database; where it did, this one refuses."""
    Store(tmp_path).stop()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 4}")
    Store(tmp_path).stop()
    assert len(kept_aside(tmp_path)) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 4}")
    identity = json.loads((tmp_path / "identity.json").read_text())
    (tmp_path / "identity.json").write_text(json.dumps({**identity, "tables": len(MIGRATIONS) + 4}))
    with pytest.raises(SchemaTooNew):
        Opening(tmp_path, origin=ORIGIN, now=ManualClock(), new_id=new_uuid7, hardware="hardware")


def opened(folder: Path, *, check_s: float) -> Opening:
    """Opened with so much time to look for damage."""
    return Opening(folder, origin=ORIGIN, now=ManualClock(), new_id=new_uuid7, hardware="hardware", check_s=check_s)


def checked(folder: Path) -> list[str]:
    """What the check beside the line says."""
    said: list[str] = []
    Checker(Reader(folder), stop=threading.Event(), sound=lambda: said.append("sound"), damaged=said.append).run()
    return said


def test_a_check_that_found_no_time_is_finished_beside_the_line(tmp_path):
    """Until then each start knows that it is still to be done."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.write()
    store.crash()
    for _ in range(2):
        opening = opened(tmp_path, check_s=0)
        assert opening.unchecked
        opening.close()
    opening = opened(tmp_path, check_s=0)
    assert checked(tmp_path) == ["sound"]
    opening.checked()
    opening.close()
    opening = opened(tmp_path, check_s=0)
    assert not opening.unchecked
    opening.close()


def test_the_check_beside_the_line_finds_what_sqlite_does_not(tmp_path):
    """A changed byte in a message is no fault of SQLite's, and one of the ledger."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.journal.put(an_entry(2))
    store.write()
    store.stop()
    damaged_message(tmp_path, 1)
    assert checked(tmp_path) == ["the message at 1 does not have the bytes that were sealed"]


def test_an_orderly_stop_needs_no_check(tmp_path):
    """A start after one is not held up."""
    Store(tmp_path).stop()
    opening = opened(tmp_path, check_s=0)
    assert not opening.unchecked
    opening.close()


def test_a_reader_that_meets_damage_says_so(tmp_path):
    """Whoever asks gets an error, and the journal hears of it."""
    Store(tmp_path).stop()
    said: list[str] = []
    reader = Reader(tmp_path, damaged=said.append)

    def question(_db: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(StoreError, match="malformed"):
        reader.ask(question)
    assert said == ["database disk image is malformed"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param("UPDATE head SET sha256 = replace(sha256, substr(sha256, 1, 1), 'x')", id="hash"),
        pytest.param("UPDATE head SET seq = seq - 1", id="an earlier number"),
        pytest.param("UPDATE head SET epoch = 'another'", id="epoch"),
        pytest.param("UPDATE head SET seq = 'many'", id="no number"),
    ],
)
def test_an_end_of_the_ledger_that_does_not_fit_is_damage(tmp_path, spoil):
    """Nothing is appended to a chain whose end is not the one that was committed; also after an orderly stop."""
    store = Store(tmp_path)
    for number in range(1, 4):
        store.journal.put(an_entry(number))
    store.write()
    store.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.execute(spoil)
    Store(tmp_path, boot="after").stop()
    assert rows(tmp_path, "SELECT why FROM epochs ORDER BY number") == [("first",), ("database-damaged",)]
