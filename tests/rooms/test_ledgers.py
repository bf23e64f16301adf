import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent.central import ledgers
from agent.central.ledgers import LedgerFile
from agent.central.reading import Head, Message, Strange, read, source_of
from agent.central.verifying import Verdict, verify
from agent.errors import StoreError
from chains import ROOT, Chain


def kept(file: LedgerFile, *deliveries: tuple[str, bytes]) -> list[bool]:
    """Store what was delivered; for each whether it was new."""
    file.begin()
    found = []
    for topic, body in deliveries:
        source = source_of(ROOT, topic)
        assert source is not None
        found += [file.keep(one) for one in read(source, body) if isinstance(one, Message)]
    file.commit()
    return found


def proved(file: LedgerFile) -> Verdict:
    """The verdict on the only ledger."""
    (verdict,) = verify(file)
    return verdict


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """A collector's file."""
    with LedgerFile(tmp_path / "plant.db", writing=True) as opened:
        yield opened


def test_each_message_is_stored_once_with_its_bytes(file):
    """However often it comes and in whatever order; copies are counted."""
    chain = Chain().alerts(5)
    told = chain.deliveries([3, 1, 2, 3, 5, 4, 3])
    assert kept(file, *told) == [True, True, True, False, True, True, False]
    assert [body for _, body in file.bodies(1)] == [one.body for one in chain.said]
    assert proved(file).ledger.duplicates == 2
    assert proved(file).holds


@pytest.mark.parametrize("same", ["id", "number"])
def test_a_message_that_contradicts_another_is_kept_and_told(file, same):
    """The same id with other bytes, or the same number under another id: both are there, and nothing is proved."""
    chain = Chain().alerts(3)
    other = chain.said[1].body.replace(b'"text":"1"', b'"text":"7"')
    if same == "number":
        other = chain.said[1].body.replace(b"bench-1-epoch-1-2", b"bench-1-epoch-1-x")
    topic = chain.topic(chain.said[1])
    assert kept(file, *chain.deliveries(), (topic, other), (topic, other)) == [True, True, True, False, False]
    assert [seq for seq, _id in file.conflicts(1)] == [2]
    assert not proved(file).holds
    assert [body for _, body in file.bodies(1)] == [one.body for one in chain.said]


def test_bytes_that_changed_on_the_collectors_disk_are_found(file, tmp_path):
    """The proof is made from the bytes, not from what was noted of them at arrival."""
    chain = Chain().alerts(4)
    kept(file, *chain.deliveries())
    file.close()
    with sqlite3.connect(tmp_path / "plant.db") as db:
        db.execute("UPDATE messages SET body = CAST(replace(body, 'raised', 'Raised') AS BLOB) WHERE seq = 2")
    db.close()
    with LedgerFile(tmp_path / "plant.db", writing=False) as again:
        assert [one.seq for one in proved(again).proof.breaks] == [3]


def test_an_old_ledger_is_explained_by_the_one_that_follows(file):
    """Gaps stand in the new epoch and speak of the old one, whichever of the two is heard of first."""
    old, new = Chain(epoch="old").alerts(9), Chain(epoch="new")
    new.ended(old, 8)
    new.missing(3, 5, of=old)
    kept(file, *new.deliveries(), *old.deliveries([1, 2, 6, 7]))
    first, second = verify(file)
    assert (first.ledger.epoch, first.holds) == ("new", True)
    assert (second.ledger.epoch, second.proof.unexplained) == ("old", ((8, 8),))
    kept(file, *old.deliveries([8]))
    assert [one.holds for one in verify(file)] == [True, True]


def test_what_the_device_has_published_and_not_sent_is_missing(file):
    """The head in its status says that there is more."""
    kept(file, *Chain().alerts(3).deliveries())
    assert proved(file).proof.complete_up_to == 3
    assert proved(file).at == "2026-11-22T09:00:00.123456Z"
    file.keep_head(Head("lab", "bench-1", "epoch-1", 5))
    file.keep_head(Head("lab", "bench-1", "epoch-1", 4))
    assert proved(file).proof.unexplained == ((4, 5),)


def test_rubbish_is_kept_and_cannot_fill_the_disk(file, monkeypatch):
    """Each different piece once, up to a number; the rest is counted."""
    monkeypatch.setattr(ledgers, "MOST_STRANGE", 3)
    for number in [0, 1, 2, 0, 3, 4]:
        file.keep_strange("t", Strange("not JSON", b"%d" % number), f"{number}")
    assert [times for _topic, _why, times in file.strange()] == [2, 1, 1]
    assert file.not_kept() == 2


def test_one_process_collects_into_a_file_and_others_may_read(file, tmp_path):
    """A second writer is refused in one sentence."""
    assert file.ledgers() == []
    with pytest.raises(StoreError, match="another process collects into"):
        LedgerFile(tmp_path / "plant.db", writing=True)
    with LedgerFile(tmp_path / "plant.db", writing=False) as reader:
        assert reader.ledgers() == []


def test_a_file_that_is_no_collectors_is_left_alone(tmp_path):
    """Neither a database of something else nor what is no database is written to, and a missing one is not made."""
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    (tmp_path / "text.db").write_text("a text that is long enough to be no database at all\n" * 40, encoding="utf-8")
    for name, writing in [("other.db", True), ("other.db", False), ("text.db", True), ("none.db", False)]:
        with pytest.raises(StoreError, match=r"\.db"):
            LedgerFile(tmp_path / name, writing=writing)
    assert not (tmp_path / "none.db").exists()
