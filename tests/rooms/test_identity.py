import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent.clock import new_uuid7
from agent.store.identity import FILE as IDENTITY
from agent.store.identity import NOTE, Known, LastKnown, fingerprint
from agent.store.opening import Opening
from agent.store.schema import FILE
from agent.store.settlements import SettleEntry
from agent.store.transaction import MessageEntry
from samples import ORIGIN
from store_rig import ManualClock, Store, an_entry, rows

FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm")


def written(store: Store, count: int) -> None:
    """Write so many alerts."""
    for _ in range(count):
        store.journal.put(MessageEntry("alerts", {"at": "2026-11-22T09:00:00.123456Z"}))
    store.write()


def a_life(folder: Path, count: int = 3, *, killed: bool = False, **facts: Any) -> str:
    """A process that writes so many messages; its epoch."""
    store = Store(folder, **facts)
    written(store, count)
    epoch = store.journal.head.epoch
    if killed:
        store.crash()
    else:
        store.stop()
    return epoch


def messages(folder: Path) -> list[dict[str, Any]]:
    """Every message in the order of its place."""
    return [json.loads(body) for (body,) in rows(folder, "SELECT body FROM messages ORDER BY n")]


def of_epoch(epoch: str, folder: Path) -> list[dict[str, Any]]:
    """Those of one epoch."""
    return [one for one in messages(folder) if one["epoch"] == epoch]


def kept_copy(folder: Path, name: str) -> Path:
    """The database's files as they are now, elsewhere."""
    copy = folder / name
    copy.mkdir()
    for file in FILES:
        if (folder / file).exists():
            shutil.copy(folder / file, copy / file)
    return copy


def put_back(copy: Path, folder: Path) -> None:
    """In place of what is there."""
    for file in FILES:
        (folder / file).unlink(missing_ok=True)
        if (copy / file).exists():
            shutil.copy(copy / file, folder / file)


def die(*_args: object, **_facts: object) -> None:
    """The process ends here."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("killed", [False, True])
def test_the_ledger_goes_on_after_a_restart(tmp_path, killed):
    """The same database on the same device goes on in its epoch, however the process ended."""
    first = a_life(tmp_path, killed=killed)
    store = Store(tmp_path, boot="second")
    written(store, 1)
    assert store.opening.beginning is None
    assert store.journal.head.epoch == first
    assert store.journal.head.seq == 4
    store.stop()


def test_a_backup_that_is_put_back_begins_a_new_epoch(tmp_path):
    """It does not know the token of the last start: the new epoch's first message names the old one and its end."""
    old = a_life(tmp_path, 3)
    backup = kept_copy(tmp_path, "backup")
    a_life(tmp_path, 2)
    put_back(backup, tmp_path)
    new = a_life(tmp_path, 1)
    assert new != old
    gap, hole, _ = of_epoch(new, tmp_path)
    assert (gap["seq"], gap["prev"]) == (1, "0" * 64)
    assert gap["ledger"] == {"epoch": old, "after": 5}
    assert gap["reason"]["code"] == "database-copied"
    assert (hole["seqs"]["epoch"], hole["seqs"]["from"], hole["seqs"]["to"], hole["seqs"]["count"]) == (old, 4, 5, 2)
    assert rows(tmp_path, "SELECT number, why FROM epochs ORDER BY number") == [(0, "first"), (1, "database-copied")]


def test_what_a_copy_has_not_settled_is_still_sent(tmp_path):
    """Messages of the old epoch stay in the outbox with their own bytes: a consumer has them already or takes them."""
    old = a_life(tmp_path, 3)
    before = messages(tmp_path)
    (tmp_path / IDENTITY).unlink()
    a_life(tmp_path, 1)
    assert messages(tmp_path)[:3] == before == of_epoch(old, tmp_path)
    assert [n for (n,) in rows(tmp_path, "SELECT n FROM outbox ORDER BY n")][:3] == [1, 2, 3]


def test_a_database_older_than_what_was_committed_is_noticed(tmp_path):
    """The files of an earlier moment of the same life are told by the last known number; what is missing is named."""
    store = Store(tmp_path)
    written(store, 2)
    old = store.journal.head.epoch
    earlier = kept_copy(tmp_path, "earlier")
    written(store, 3)
    (last,) = rows(tmp_path, "SELECT sha256 FROM messages WHERE n = 5")[0]
    store.crash()
    put_back(earlier, tmp_path)
    new = a_life(tmp_path, 0)
    gap, hole = of_epoch(new, tmp_path)
    assert gap["reason"]["code"] == hole["reason"]["code"] == "database-behind"
    assert gap["ledger"] == {"epoch": old, "after": 5}
    assert hole["seqs"] == {"epoch": old, "from": 3, "to": 5, "count": 3, "last_sha256": last}


def test_a_lost_database_is_told_by_the_file_beside_it(tmp_path):
    """What was not settled of it is named; the numbers of epochs go on."""
    store = Store(tmp_path)
    written(store, 4)
    store.journal.put(SettleEntry([1, 2]))
    store.write()
    old = store.journal.head.epoch
    store.crash()
    for file in FILES:
        (tmp_path / file).unlink(missing_ok=True)
    new = a_life(tmp_path, 0)
    gap, hole = messages(tmp_path)
    assert gap["epoch"] == new
    assert gap["ledger"] == {"epoch": old, "after": 4}
    assert gap["reason"]["code"] == "database-lost"
    assert (hole["seqs"]["from"], hole["seqs"]["to"]) == (3, 4)
    assert rows(tmp_path, "SELECT number, id, why FROM epochs") == [(1, new, "database-lost")]


def test_a_database_that_comes_in_the_place_of_another_names_both(tmp_path):
    """Two ledgers end: that of the database that came, and that of the one that was here."""
    theirs = a_life(tmp_path / "theirs", 2)
    ours = a_life(tmp_path / "ours", 3)
    put_back(tmp_path / "theirs", tmp_path / "ours")
    new = a_life(tmp_path / "ours", 0)
    first, second, hole = of_epoch(new, tmp_path / "ours")
    assert first["ledger"] == {"epoch": theirs, "after": 2}
    assert second["ledger"] == {"epoch": ours, "after": 3}
    assert (hole["seqs"]["epoch"], hole["seqs"]["from"], hole["seqs"]["to"]) == (ours, 1, 3)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        pytest.param({"hardware": "another board"}, "device-changed", id="another board"),
        pytest.param({"device": "cam-8"}, "device-renamed", id="another name"),
    ],
)
def test_another_device_begins_a_new_epoch(tmp_path, facts, code):
    """A whole folder that is moved to another board, or used under another name, cannot go on in the same ledger."""
    old = a_life(tmp_path)
    new = a_life(tmp_path, 0, **facts)
    (gap,) = of_epoch(new, tmp_path)
    assert gap["ledger"] == {"epoch": old, "after": 3}
    assert gap["reason"]["code"] == code
    assert a_life(tmp_path, 0, **facts) == new  # and then it is at home here


@pytest.mark.parametrize("body", [None, b"", b"[]", b'{"token": 1}', b"\xff\xfe", b'{"token": 7, "previous": null}'])
def test_a_file_that_is_gone_or_damaged_makes_the_database_a_copy(tmp_path, body):
    """Whether it is one cannot be told any more; a new epoch is always honest."""
    old = a_life(tmp_path)
    if body is None:
        (tmp_path / IDENTITY).unlink()
    else:
        (tmp_path / IDENTITY).write_bytes(body)
    new = a_life(tmp_path, 0)
    assert of_epoch(new, tmp_path)[0]["ledger"] == {"epoch": old, "after": 3}


def test_a_first_start_says_nothing_about_epochs(tmp_path):
    """There is nothing to name."""
    a_life(tmp_path, 0)
    assert messages(tmp_path) == []
    assert rows(tmp_path, "SELECT number, why FROM epochs") == [(0, "first")]


def test_a_database_from_before_there_were_tokens_is_ours(tmp_path):
    """An update of the agent begins no new epoch."""
    old = a_life(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.execute("DELETE FROM identity")
    for file in (IDENTITY, NOTE):
        (tmp_path / file).unlink()
    assert a_life(tmp_path, 1) == old


def test_a_crash_between_the_two_tokens_is_no_copy(tmp_path, monkeypatch):
    """The file has the new token and the database still the one before: it is ours."""
    old = a_life(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("agent.store.opening.begin_epoch", die)
        with pytest.raises(KeyboardInterrupt):
            Opening(tmp_path, origin=ORIGIN, now=ManualClock(), new_id=new_uuid7, hardware="hardware")
    assert a_life(tmp_path, 0) == old


def test_a_crash_before_the_new_epoch_is_written_does_not_hide_the_copy(tmp_path, monkeypatch):
    """The file forgets nothing until the database says that a new epoch began."""
    old = a_life(tmp_path)
    (tmp_path / IDENTITY).unlink()
    with monkeypatch.context() as patch:
        patch.setattr("agent.store.opening.begin_epoch", die)
        with pytest.raises(KeyboardInterrupt):
            Opening(tmp_path, origin=ORIGIN, now=ManualClock(), new_id=new_uuid7, hardware="hardware")
    new = a_life(tmp_path, 0)
    assert new != old
    assert of_epoch(new, tmp_path)[0]["ledger"] == {"epoch": old, "after": 3}


def test_a_disk_that_takes_no_file_leaves_both_tokens(tmp_path):
    """The database keeps its token where the file cannot get a new one, so that the next start knows it."""
    old = a_life(tmp_path)
    (tmp_path / f".{IDENTITY}.tmp").mkdir()  # the way of every write of the file
    a_life(tmp_path, 1)
    (tmp_path / f".{IDENTITY}.tmp").rmdir()
    store = Store(tmp_path)
    assert store.journal.head.epoch == old
    store.stop()


def test_the_last_known_number_follows_each_commit(tmp_path):
    """After a crash it is exact, and says up to where all is settled."""
    store = Store(tmp_path)
    for number in range(1, 6):
        store.journal.put(an_entry(number))
        store.write()
    store.journal.put(SettleEntry([1, 2, 4]))
    store.write()
    epoch = store.journal.head.epoch
    store.crash()
    (sha256,) = rows(tmp_path, "SELECT sha256 FROM messages WHERE n = 5")[0]
    assert LastKnown(tmp_path).read() == Known(epoch, 5, sha256, 2, "2026-11-22T09:00:00.123456Z")


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"check": 1}'])
def test_a_torn_note_says_nothing(tmp_path, damage):
    """Then the number that the other file has from the start counts."""
    a_life(tmp_path)
    (tmp_path / NOTE).write_bytes(damage)
    assert LastKnown(tmp_path).read() is None


def test_a_note_that_was_changed_says_nothing(tmp_path):
    """It carries a checksum, since it is written without fsync."""
    a_life(tmp_path)
    note = (tmp_path / NOTE).read_bytes()
    (tmp_path / NOTE).write_bytes(note.replace(b'"seq": 3', b'"seq": 9'))
    assert LastKnown(tmp_path).read() is None


def test_a_note_that_cannot_be_written_stops_nobody(tmp_path):
    """The number is then as old as the last start."""
    (tmp_path / NOTE).mkdir()
    assert a_life(tmp_path) == a_life(tmp_path, 1)


def test_the_fingerprint_follows_the_hardware(tmp_path):
    """The serial number and the machine id make it; what is absent counts as a value too."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    seen = [fingerprint(tmp_path)]
    for file in ("etc/machine-id", "proc/device-tree/serial-number"):
        for text in (b"1", b"12", b"12\0"):
            (tmp_path / file).write_bytes(text)
            seen.append(fingerprint(tmp_path))
    assert len(set(seen)) == 5  # the last NUL of a device tree's text is no difference
    assert fingerprint() == fingerprint()


def test_the_note_is_made_durable_once_a_minute(tmp_path, monkeypatch):
    """However much is written meanwhile, the disk is asked for it no more often."""
    asked: list[int] = []
    monkeypatch.setattr("os.fdatasync", asked.append)
    store = Store(tmp_path)
    asked.clear()
    for minutes in (0, 0, 1, 0, 0.5, 0.5):
        store.clock.pass_minutes(minutes)
        written(store, 1)
    assert len(asked) == 2
    store.stop()
