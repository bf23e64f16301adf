"""The demo: what a person sees who has just cloned the repository."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo import demo_settings, shipped_pack
from agent.cli.demo_tally import Tally
from agent.errors import UsageError
from agent.sync.topics import Topics
from daemon import FIELDGATE, environment
from mosquitto import Central, free_port, needs_mosquitto, running
from tiny_models import a_pack
from waiting import until

ROOT = Path(__file__).parents[2]


def command(tmp_path: Path, *words: str) -> list[str]:
    """The demo with a tiny engine, in a folder of its own."""
    pack = tmp_path / "pack"
    if not pack.exists():
        a_pack(pack)
    return [FIELDGATE, "demo", "--engine", str(pack), "--dir", str(tmp_path / "demo"), *words]


def finished(tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The demo, run to its end."""
    return subprocess.run(
        command(tmp_path, *words), capture_output=True, text=True, check=False, env=environment(), timeout=60
    )


def stored(tmp_path: Path) -> int:
    """How many records the demo has stored."""
    path = tmp_path / "demo" / "fieldgate.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM records").fetchone()[0])
        except sqlite3.OperationalError:  # the tables are just being made
            return 0


def parts_in(text: str) -> int:
    """How many parts the summary speaks of."""
    found = re.search(r"the agent inspected ([\d,]+) simulated parts", text)
    assert found, text
    return int(found[1].replace(",", ""))


def test_without_a_broker_the_backlog_grows_and_says_so(tmp_path: Path):
    """In a pipe the demo prints lines, not a table; with no broker it counts the backlog and loses nothing."""
    done = finished(tmp_path, "--seconds", "6", "--broker", f"localhost:{free_port()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the backlog grows" in done.stdout
    assert "none is lost" in done.stdout
    assert parts_in(done.stdout) == stored(tmp_path) > 0
    for line in (tmp_path / "demo" / "demo.log").read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["level"] in {"info", "warning"}


@needs_mosquitto
@pytest.mark.broker
def test_a_broker_that_can_be_reached_gets_everything(tmp_path: Path):
    """With a broker at hand each part's record arrives there, and the summary says what was acknowledged."""
    with running(tmp_path / "broker") as broker, Central(broker.port, "fieldgate/1/demo/demo/up/#") as central:
        done = finished(tmp_path, "--seconds", "6", "--broker", f"127.0.0.1:{broker.port}")
        sources = {json.loads(body)["source"] for body in central.bodies(f"{topics().root}/up/ledger/inspections")}
    assert done.returncode == 0
    assert f"the broker 127.0.0.1:{broker.port} acknowledged" in done.stdout
    # The backlog is not drained at a stop: the last few may wait for the next start.
    assert 0 < len(sources) <= stored(tmp_path)


def topics() -> Topics:
    """The demo's topics."""
    return Topics.of("fieldgate/1", "demo", "demo")


def test_ctrl_c_ends_it_cleanly(tmp_path: Path):
    """Ctrl-C ends the demo with 0 and its summary, and what was inspected is stored."""
    process = subprocess.Popen(
        command(tmp_path, "--broker", "none"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert until(lambda: stored(tmp_path) >= 2, within_s=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert parts_in(out) == stored(tmp_path)
    assert "no broker was tried" in out


def test_at_a_terminal_it_is_a_live_table(tmp_path: Path):
    """At a terminal the demo draws a table of the last verdicts beside the truth, and ends with its summary."""
    master, slave = pty.openpty()
    words = command(tmp_path, "--broker", "none", "--seconds", "5")
    size = {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(words, stdout=slave, stderr=slave, env={**environment(), **size})
    os.close(slave)
    try:
        shown = everything(master)
        assert process.wait(10) == 0
    finally:
        process.kill()
        os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    for column in ("part", "truth", "verdict", "why", "compared"):
        assert re.search(rf"\b{column}\b", text)
    assert "parts    " in text
    assert parts_in(text.replace("\r\n", " ")) == stored(tmp_path)


def everything(master: int) -> str:
    """What a program writes to its terminal until it closes it."""
    read = b""
    while True:
        try:
            part = os.read(master, 65_536)
        except OSError:  # Linux' way to say that the other side is closed
            return read.decode(errors="replace")
        if not part:
            return read.decode(errors="replace")
        read += part


def test_a_second_demo_goes_on_in_the_same_folder(tmp_path: Path):
    """Run again in its folder, the demo keeps what is there and counts only what is new."""
    first = finished(tmp_path, "--seconds", "3", "--broker", "none")
    before = stored(tmp_path)
    second = finished(tmp_path, "--seconds", "3", "--broker", "none")
    assert (first.returncode, second.returncode) == (0, 0)
    assert parts_in(second.stdout) == stored(tmp_path) - before > 0


def test_the_shipped_engine_is_the_one_that_is_used(tmp_path: Path):
    """Without --engine the demo runs the pack in engines/ on a simulated camera and records every part."""
    try:
        pack = shipped_pack()
    except UsageError as error:
        pytest.skip(str(error))
    settings = demo_settings(pack, tmp_path, "localhost")
    (camera,) = settings.cameras
    assert pack.parent == ROOT / "engines"
    assert (camera.kind, camera.records(triggered=False)) == ("simulated", "all")
    assert (settings.mqtt.host, settings.mqtt.port) == ("localhost", 1883)


@pytest.mark.parametrize(
    ("truth", "outcome", "agreement"),
    [
        ((), "pass", "right"),
        ((), "fail", "false alarm"),
        (("dent",), "fail", "found"),
        (("dent",), "pass", "missed"),
        (("dent",), "inconclusive", "no verdict"),
    ],
)
def test_each_verdict_is_compared_with_the_truth(truth: tuple[str, ...], outcome: str, agreement: str):
    """A defective part is found or missed, a good one is right or a false alarm."""
    tally = Tally()
    tally.add(a_record(outcome), truth)
    assert tally.agreements == {agreement: 1}
    assert tally.parts == 1


def test_latencies_are_told_from_all_parts():
    """The tally's p50 and p99 are the values below which half and 99 in 100 of the times lie."""
    tally = Tally()
    assert tally.latency_ms(0.5) is None
    for total in range(1, 101):
        tally.add(a_record("pass", total=float(total)), ())
    assert (tally.latency_ms(0.5), tally.latency_ms(0.99)) == (51.0, 100.0)


def a_record(outcome: str, *, total: float = 20.0) -> dict[str, Any]:
    """As much of a record as the tally reads."""
    return {
        "source": "1",
        "outcome": outcome,
        "disposition": "none",
        "reason": {"code": "cleared", "text": "screening 0.10 < 0.30"},
        "latency_ms": {"total": total},
    }


def test_where_venv_is_split_off_the_package_to_install_is_named(tmp_path: Path):
    """On a distribution whose Python has no venv module scripts/demo ends with 1 and names the package."""
    for name in ("scripts/demo", "scripts/bootstrap", "pyproject.toml", "uv.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "bin" / "python3.12"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\n', encoding="utf-8")
    python.chmod(0o755)
    path = f"{python.parent}:/usr/bin:/bin"
    done = subprocess.run(
        [str(tmp_path / "scripts" / "demo")], capture_output=True, text=True, check=False, env={"PATH": path}
    )
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()
