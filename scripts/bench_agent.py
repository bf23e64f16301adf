"""One run of the whole agent, as its user starts it, and what its own database says about it."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_ground import Ground

from agent.engine.pack import Pack
from daemon import FIELDGATE, environment, toml

ENDED_S = 10.0
POLL_S = 0.2
ATTEMPTS = 20


@dataclass(frozen=True)
class Frame:
    """What a record says about its frame; times in milliseconds, ``verdict_ns`` on the monotonic clock."""

    number: int
    verdict_ns: int
    wait: float
    total: float

    @property
    def work(self) -> float:
        """From capture to verdict, less the wait for the line."""
        return self.total - self.wait


class AgentRun:
    """``fieldgate run`` on a folder of files. Made by ``agent_run``.

    Attributes:
        started_ns: Monotonic time just before the process was made.
        before: Records that earlier runs left in its store.
    """

    def __init__(self, config: Path, store: Path) -> None:
        self._database = store / "fieldgate.db"
        self.before = self.recorded()
        self._numbered = self._one("SELECT max(n) FROM messages")
        self._log = config.with_suffix(".log")
        self.started_ns = time.monotonic_ns()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [FIELDGATE, "run", "--config", str(config)], stdout=log, stderr=log, env=_environment(config.parent)
            )

    def until(self, condition: Callable[[], bool], *, within_s: float) -> None:
        """Wait for something that the database shows."""
        end = time.monotonic() + within_s
        while not condition():
            if self._process.poll() is not None or time.monotonic() > end:
                said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise SystemExit(f"scripts/bench: the agent did not get there; its log ends with:\n{said}")
            time.sleep(POLL_S)

    def until_recorded(self, records: int, *, within_s: float) -> None:
        """Wait for so many records, those of earlier runs included."""
        self.until(lambda: self.recorded() >= records, within_s=within_s)

    def recorded(self) -> int:
        """How many records this and earlier runs have committed."""
        return self._one("SELECT count(*) FROM records")

    def unsettled(self) -> int:
        """How many ledger messages wait for their acknowledgement."""
        return self._one("SELECT count(*) FROM outbox")

    def last_verdict_ns(self) -> int:
        """Monotonic time of the verdict committed last; 0 before the first."""
        rows = self._rows("SELECT body FROM messages WHERE kind = 'inspections' ORDER BY n DESC LIMIT 1")
        return _frame(json.loads(rows[0][0])).verdict_ns if rows else 0

    def frames(self) -> list[Frame]:
        """The frames of this run in the order of their verdicts."""
        sql = "SELECT body FROM messages WHERE kind = 'inspections' AND n > ? ORDER BY n"
        return sorted(
            (_frame(json.loads(body)) for (body,) in self._rows(sql, self._numbered)), key=lambda one: one.number
        )

    def memory_mb(self, key: str) -> float:
        """VmHWM (peak) or VmRSS (now) of the process, MiB."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def end(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(ENDED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _one(self, sql: str) -> int:
        rows = self._rows(sql)
        return int(rows[0][0] or 0) if rows else 0

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database from outside; nothing before it has tables."""
        for attempt in range(ATTEMPTS):
            if not self._database.exists():
                return []
            try:
                with contextlib.closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=5)) as db:
                    return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(POLL_S)  # a reader may come while the write-ahead log is being made
        return []


def _environment(folder: Path) -> dict[str, str]:
    """As on a device, where Python finds its modules compiled from the second start on, whoever owns them."""
    known = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**known, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _frame(body: dict[str, Any]) -> Frame:
    latency = body["latency_ms"]
    verdict_ns = body["monotonic_ns"] + round(latency["total"] * 1e6)
    return Frame(body["frame"], verdict_ns, latency["wait"], latency["total"])


@contextlib.contextmanager
def agent_run(
    ground: Ground,
    store: str,
    *,
    files: int,
    rate: float | None = None,
    evidence: str = "none",
    pack: Pack | None = None,
) -> Iterator[AgentRun]:
    """The whole agent at work: ``record = all``, syncing to the broker.

    Args:
        ground: What it stands on.
        store: Name of its store; the same name goes on with the same database.
        files: How many files its folder camera has.
        rate: Images/s; None: as fast as it goes.
        evidence: ``store.evidence``.
        pack: Another engine than the ground's.
    """
    camera: dict[str, Any] = {
        "name": "top",
        "kind": "folder",
        "path": ground.links(files),
        "engine": (pack or ground.pack).engine,
        "record": "all",
    }
    if rate is not None:
        camera |= {"trigger": "interval", "interval_s": 1 / rate}
    config = {
        "device": {"site": "bench", "name": f"{os.getpid()}-{store}"},
        "engines": {camera["engine"]: {"pack": (pack or ground.pack).folder}},
        "store": {"dir": ground.folder / store, "evidence": evidence},
        "mqtt": {"host": "127.0.0.1", "port": ground.broker},
        "cameras": [camera],
    }
    path = ground.folder / f"{store}.toml"
    path.write_text(toml(config), encoding="utf-8")
    run = AgentRun(path, ground.folder / store)
    try:
        yield run
    finally:
        run.end()
