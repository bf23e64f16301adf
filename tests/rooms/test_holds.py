import threading
from pathlib import Path

import pytest

from agent.config import build
from agent.errors import StoreError
from agent.inspection.record import Evidence
from agent.operations import Operations, hold_alone
from agent.store.eviction import EvictPictures
from agent.store.holds import HoldEntry
from agent.store.modes import Modes
from store_rig import Store, an_entry, ledger, of_kind, rows


def a_picture(store: Store) -> str:
    """A record with a picture; its id."""
    entry = an_entry(1).with_evidence(Evidence("0" * 64, 4, 64, 48))
    store.journal.put(entry)
    store.write()
    return entry.id


def held(folder: Path) -> list[tuple[int, str]]:
    """Hold and state of the pictures."""
    return rows(folder, "SELECT held, state FROM evidence")


def test_a_held_picture_stays_until_it_is_released(tmp_path):
    """Nothing evicts it meanwhile; each change is an audit message with who and why, and the same again is none."""
    store = Store(tmp_path)
    record = a_picture(store)
    told: list[bool | None] = []

    def order(*, hold: bool, reason: str) -> None:
        store.journal.put(HoldEntry(record, hold, "anna", reason, "cli", told.append))
        store.journal.put(EvictPictures(lambda _went: None, 1))
        store.write()

    order(hold=True, reason="claim 4711")
    order(hold=True, reason="claim 4711, again")
    assert held(tmp_path) == [(1, "kept")]
    order(hold=False, reason="settled")
    assert held(tmp_path) == [(0, "evicted")]
    assert told == [False, True, True]
    store.stop()
    audits = of_kind("audit", ledger(tmp_path))
    assert [(one["what"], one["old"], one["new"], one["by"], one["reason"]) for one in audits] == [
        (f"legal hold of {record}", False, True, "anna", "claim 4711"),
        (f"legal hold of {record}", True, False, "anna", "settled"),
    ]


def test_a_picture_that_is_not_here_cannot_be_held(tmp_path):
    """An unknown record and a picture that has gone are refused, and nothing is written."""
    store = Store(tmp_path)
    record = a_picture(store)
    store.journal.put(EvictPictures(lambda _went: None, 1))
    told: list[bool | None] = []
    for one in (record, "no-such-record"):
        store.journal.put(HoldEntry(one, True, "anna", "claim", "cli", told.append))
    store.write()
    store.stop()
    assert told == [None, None]
    assert of_kind("audit", ledger(tmp_path)) == []


def operations(store: Store) -> Operations:
    """What the control socket calls."""
    return Operations(
        modes=Modes(store.folder / "modes", []),
        journal=store.journal,
        captures={},
        now=store.clock,
        new_id=lambda: "",
        changed=lambda: None,
    )


def test_whoever_asks_the_daemon_hears_when_it_is_written(tmp_path):
    """The answer comes after the commit; a record without a picture is one sentence."""
    store = Store(tmp_path)
    record = a_picture(store)
    thread = threading.Thread(target=store.journal.run)
    thread.start()
    asked = operations(store)
    assert asked.hold(record, held=True, by="anna", reason="claim", way="cli") == {
        "record": record,
        "old": False,
        "new": True,
    }
    assert held(tmp_path) == [(1, "kept")]
    with pytest.raises(StoreError, match="no picture of a record 'other'"):
        asked.hold("other", held=True, by="anna", reason="claim", way="cli")
    store.journal.stop()
    thread.join(10)
    store.crash()


def test_without_a_daemon_it_is_written_all_the_same(tmp_path):
    """The verb opens the store itself, as long as nobody else does."""
    store = Store(tmp_path)
    record = a_picture(store)
    store.stop()
    table = {"store": {"dir": str(tmp_path)}, "device": {"site": "plant-a", "name": "cam-7"}}
    config = build(table, where="the test's settings")
    assert hold_alone(config, record, held=True, by="anna", reason="claim")["old"] is False
    with pytest.raises(StoreError, match="no picture of a record 'other'"):
        hold_alone(config, "other", held=True, by="anna", reason="claim")
    assert held(tmp_path) == [(1, "kept")]
