"""The daemon as its user starts it: the installed command in a process of its own."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FIELDGATE = str(Path(sys.executable).with_name("fieldgate"))


def toml(table: Mapping[str, Any]) -> str:
    """A config as TOML: sections of plain values, ``cameras`` a list of tables, ``engines`` a table of tables."""
    lines: list[str] = []
    for section, values in table.items():
        if isinstance(values, list):
            for one in values:
                lines += [f"[[{section}]]", *_pairs(one)]
        elif any(isinstance(value, dict) for value in values.values()):
            for name, inner in values.items():
                lines += [f"[{section}.{name}]", *_pairs(inner)]
        else:
            lines += [f"[{section}]", *_pairs(values)]
    return "\n".join([*lines, ""])


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


class Daemon:
    """``fieldgate run`` on one config, started, killed and started again as a test needs it."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.toml"
        self.config.write_text(toml(config), encoding="utf-8")
        self.store = Path(config["store"]["dir"])
        self.log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, under: Sequence[str] = (), settings: Mapping[str, str] | None = None) -> None:
        """Start it, under another command (a tracer) and with more in its environment if wanted; returns at once."""
        command = [*under, FIELDGATE, "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **(settings or {})}, start_new_session=True
            )

    def resident_mb(self) -> float:
        """Memory that the process holds, in megabytes."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, to a tracer around it too."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def terminate(self, within_s: float = 10.0) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float) -> int:
        """Wait for its own end; the exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read its database from outside; nothing while there is none."""
        path = self.store / "fieldgate.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError:  # the tables are just being made
                return []

    def count(self, table: str) -> int:
        """How many rows one of its tables has."""
        rows = self.ask(f"SELECT count(*) FROM {table}")  # noqa: S608 - named by the test
        return int(rows[0][0]) if rows else 0

    def status(self) -> dict[str, Any]:
        """What ``fieldgate status --json`` says."""
        command = [FIELDGATE, "status", "--config", str(self.config), "--json"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=20)
        return dict(json.loads(answer.stdout))

    def told(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@contextlib.contextmanager
def daemon(folder: Path, config: Mapping[str, Any]) -> Iterator[Daemon]:
    """A daemon that is gone at the end of the ``with``, whatever the test did."""
    one = Daemon(folder, config)
    try:
        yield one
    finally:
        if one.running:
            one.kill()


def environment() -> dict[str, str]:
    """The environment without settings of this project."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("FIELDGATE_")}
