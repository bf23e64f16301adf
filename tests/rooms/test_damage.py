import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from agent.store.schema import FILE
from agent.store.settlements import SettleEntry
from agent.store.transaction import MessageEntry
from damage import damage_once
from store_rig import Store, an_entry, rows

WAYS = 40
PARTS = (FILE, f"{FILE}-wal")


class Life:
    """What a device wrote before its disk went bad, listed outside: bodies by number, and which were settled.

    The folder is left as a kill leaves it: the log beside the database.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        chance = random.Random(seed)
        self.folder = folder
        store = Store(folder)
        self.epoch = store.journal.head.epoch
        self.settled: set[int] = set()
        for number in range(1, chance.randint(30, 120)):
            store.journal.put(an_entry(number, bulk=chance.choice((0, 0, 0, 3_000, 9_000))))
            if chance.random() < 0.3:
                store.write()
                self._settle_some(store, chance)
            if chance.random() < 0.02:
                store.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        store.write()
        found = store.db.execute("SELECT n, body FROM messages").fetchall()
        self.bodies = {int(n): bytes(body) for n, body in found}
        self.last = store.journal.head.seq
        saved = folder.with_name(f"{folder.name}-saved")
        shutil.copytree(folder, saved)
        store.crash()  # which empties the log
        shutil.rmtree(folder)
        saved.rename(folder)

    def _settle_some(self, store: Store, chance: random.Random) -> None:
        if chance.random() < 0.5:
            waiting = [n for (n,) in store.db.execute("SELECT n FROM outbox ORDER BY n").fetchall()]
            some = waiting[: chance.randint(0, len(waiting))]
            store.journal.put(SettleEntry(some))
            store.write()
            self.settled |= set(some)


def gaps(folder: Path) -> list[dict[str, Any]]:
    """The bodies of all gaps."""
    return [json.loads(body) for (body,) in rows(folder, "SELECT body FROM messages WHERE kind = 'gaps' ORDER BY n")]


def unexplained(life: Life) -> list[int]:
    """Numbers of the old epoch that nobody has, that will not be sent, and that no gap names."""
    sent = {n for (n,) in rows(life.folder, "SELECT n FROM outbox")}
    told = gaps(life.folder)
    runs = [one["seqs"] for one in told if one.get("seqs", {}).get("epoch") == life.epoch]
    ends = [one["ledger"] for one in told if one.get("ledger", {}).get("epoch") == life.epoch]
    return [
        seq
        for seq in range(1, life.last + 1)
        if seq not in life.settled
        and seq not in sent
        and not any(run["from"] <= seq <= run["to"] for run in runs)
        and not any(end["after"] is None or seq > end["after"] for end in ends)
    ]


@pytest.mark.parametrize("seed", range(WAYS))
def test_after_any_damage_every_number_is_recovered_settled_or_told(tmp_path, seed):
    """Whatever happens to the files, the start succeeds, and what it has of the old ledger has its own bytes."""
    life = Life(tmp_path / "store", seed)
    said = damage_once(life.folder, seed)
    began = time.monotonic()
    store = Store(life.folder, boot="after")
    took = time.monotonic() - began
    store.journal.put(MessageEntry("alerts", {"at": "2026-11-22T09:00:00.123456Z"}))
    store.write()
    here = store.journal.head
    store.stop()
    assert unexplained(life) == [], said
    found = dict(rows(life.folder, "SELECT n, body FROM messages"))
    mine = {n: body for n, body in found.items() if json.loads(body)["epoch"] == life.epoch}
    assert {n: body for n, body in mine.items() if life.bodies.get(n) != body and n <= life.last} == {}, said
    if here.epoch == life.epoch:
        assert here.seq == life.last + 2, said  # the rollup that was left open, and the alert
    else:
        first = json.loads(found[min(n for n in found if n not in mine)])
        assert first["seq"] == 1
        assert "ledger" in first or not any(one.get("ledger") for one in gaps(life.folder)), said
    assert took < 10
