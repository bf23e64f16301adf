"""A journal on a real database, steered by hand, and what its ledger says when it is read like a consumer would."""

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import pytest
from sqlite_utils import Database

from agent.clock import new_uuid7
from agent.inspection.frame import Moment
from agent.ledger.rollups import MINUTE_NS, added
from agent.ledger.sealing import Origin
from agent.store.journal import Journal
from agent.store.opening import Opening
from agent.store.schema import FILE, hold_write_lock
from agent.store.settlements import SettleEntry
from agent.store.transaction import Transaction, VerdictEntry
from samples import MOMENT, ORIGIN, a_record


class ManualClock:
    """Both clocks stand still until the test moves them."""

    def __init__(self) -> None:
        self.moment = MOMENT

    def __call__(self) -> Moment:
        return self.moment

    def pass_minutes(self, minutes: float) -> None:
        """Move on."""
        wall = self.moment.wall + timedelta(minutes=minutes)
        later_ns = self.moment.monotonic_ns + int(minutes * MINUTE_NS)
        self.moment = replace(self.moment, wall=wall, monotonic_ns=later_ns)


class Store:
    """One process on a store: the lock, the connection and the journal. ``crash`` ends it without a last word."""

    def __init__(
        self,
        folder: Path,
        *,
        boot: str = ORIGIN.boot,
        size: int = 64,
        clock: ManualClock | None = None,
        hardware: str = "hardware",
        device: str = ORIGIN.device,
        limit: int = 0,
        **heard: Any,
    ) -> None:
        self.folder = folder
        self.clock = clock or ManualClock()
        self.woken = 0
        self._lock: IO[str] = hold_write_lock(folder)
        origin = replace(ORIGIN, boot=boot, device=device)
        self.opening = Opening(folder, origin=origin, now=self.clock, new_id=new_uuid7, hardware=hardware, limit=limit)
        self.journal = a_journal(
            self.opening, origin=origin, size=size, clock=self.clock, on_commit=self._wake, **heard
        )

    @property
    def db(self) -> Database:
        """The connection that the journal writes on."""
        return self.opening.db

    def _wake(self) -> None:
        self.woken += 1

    def write(self) -> None:
        """Let the journal write what waits."""
        self.journal.step(0)

    def settle_all(self) -> None:
        """Everything that waits for the broker has been acknowledged."""
        self.journal.put(SettleEntry([n for (n,) in rows(self.folder, "SELECT n FROM outbox")]))
        self.write()

    def stop(self) -> None:
        """End in order."""
        self.journal.stop()
        self.journal.run()
        self._lock.close()

    def crash(self) -> None:
        """End like a killed process: no last commit."""
        self.db.conn.close()
        self._lock.close()

    def fill_the_disk(self) -> None:
        """From now on the database cannot grow: SQLite says that the disk is full."""
        pages = self.db.execute("PRAGMA page_count").fetchone()[0]
        self.db.execute(f"PRAGMA max_page_count = {pages}")

    def free_the_disk(self) -> None:
        """The database can grow again."""
        self.db.execute("PRAGMA max_page_count = 1000000")


def a_journal(
    opening: Opening,
    *,
    clock: ManualClock,
    origin: Origin = ORIGIN,
    size: int = 64,
    on_commit: Callable[[], None],
    **heard: Any,
) -> Journal:
    """A journal that does not let entries gather; ``heard`` are its further listeners."""
    return Journal(
        opening,
        origin=origin,
        now=clock,
        new_id=new_uuid7,
        commit_ms=0,
        size=size,
        on_commit=on_commit,
        retry_s=0.05,
        **heard,
    )


@contextlib.contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[Path]:
    """A disk of its own at ``folder``, so small that a test can fill it; skips where nobody may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class FailsOnce:
    """An entry that makes its transaction fail in the middle, the first time."""

    urgent = False

    def __init__(self) -> None:
        self._tried = False

    def write(self, transaction: Transaction) -> None:
        if not self._tried:
            self._tried = True
            transaction.db.execute("INSERT INTO no_such_table VALUES (1)")

    def committed(self) -> None:
        pass


def an_entry(number: int = 1, *, done: Callable[[], None] | None = None, bulk: int = 0, **facts: Any) -> VerdictEntry:
    """The verdict of a frame; ``bulk`` bytes of metadata make its record need pages of its own."""
    record = a_record(number=number, **facts)
    if bulk:
        trigger = replace(record.frame.trigger, metadata={"bulk": "x" * bulk})
        record = replace(record, frame=replace(record.frame, trigger=trigger))
    entry = VerdictEntry(new_uuid7(), record)
    return entry if done is None else replace(entry, done=done)


def ledger(folder: Path) -> list[dict[str, Any]]:
    """All messages in order of their numbers, after the proof that nothing is missing, changed or out of order."""
    connection = sqlite3.connect(folder / FILE)
    rows = connection.execute("SELECT n, kind, id, body, sha256 FROM messages ORDER BY n").fetchall()
    head = connection.execute("SELECT epoch, seq, sha256 FROM head").fetchone()
    connection.close()
    prev, messages = "0" * 64, []
    for place, (seq, kind, identity, body, sha256) in enumerate(rows, start=1):
        message = json.loads(body)
        assert seq == message["seq"] == place
        assert message["id"] == identity
        assert message["prev"] == prev
        assert message["epoch"] == head[0]
        prev = hashlib.sha256(body).hexdigest()
        assert sha256 == prev
        messages.append({**message, "kind": kind})
    assert head[1:] == (len(rows), prev)
    assert len({message["id"] for message in messages}) == len(messages)
    return messages


def of_kind(kind: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of one kind."""
    return [message for message in messages if message["kind"] == kind]


def rollup_sum(folder: Path) -> dict[str, Any]:
    """The sum of all sealed rollups."""
    return added(of_kind("rollups", ledger(folder)))


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the database directly."""
    connection = sqlite3.connect(folder / FILE)
    found = connection.execute(sql).fetchall()
    connection.close()
    return found
