"""Bad input through the installed command: one clear sentence, the right exit code, and a daemon that goes on."""

import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.control.client import ask
from agent.store.schema import hold_write_lock, open_writer
from daemon import FIELDGATE, Daemon, daemon, environment, toml
from mosquitto import Central, needs_mosquitto, running
from tiny_models import a_pack, one_box, yolo_model
from waiting import until

Config = dict[str, Any]
TOPICS = "fieldgate/1/lab/dev-1"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A simulated camera whose every part is suspicious and flagged, so that every record has a picture."""
    return {
        "device": {"site": "lab", "name": "dev-1"},
        "cameras": [{"name": "sim", "kind": "simulated", "engine": "tiny-trace", "fps": 5.0, "record": "all"}],
        "engines": {"tiny-trace": {"pack": a_pack(tmp_path / "pack", raw=one_box(0.9), screening=None)}},
        "store": {"dir": tmp_path / "store"},
        "mqtt": {"host": ""},
    }


def fieldgate(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The installed command in a process of its own."""
    return subprocess.run(
        [FIELDGATE, *arguments], capture_output=True, text=True, check=False, env=environment(), timeout=60
    )


def written(config: Config) -> Path:
    """The config as a file."""
    path = Path(config["store"]["dir"]).parent / "config.toml"
    path.write_text(toml(config), encoding="utf-8")
    return path


def status(agent: Daemon) -> dict[str, Any]:
    """What the daemon tells ``fieldgate status``."""
    return ask(agent.store / "control.sock", "status")


# -- what no restart would mend: exit 78 and one sentence


def no_file(config: Config) -> Path:
    """--config names a file that is not there."""
    return written(config).with_name("nowhere.toml")


def no_toml(config: Config) -> Path:
    """A bracket is missing."""
    path = written(config)
    path.write_text("[device\n", encoding="utf-8")
    return path


def no_text(config: Config) -> Path:
    """The file holds bytes that are no text."""
    path = written(config)
    path.write_bytes(b"\xff\xfe\x00")
    return path


def unknown_key(config: Config) -> Path:
    """A key is mistyped."""
    config["store"]["comit_ms"] = 10
    return written(config)


def wrong_type(config: Config) -> Path:
    """Text where a number must stand."""
    config["mqtt"]["port"] = "eighteen"
    return written(config)


def no_camera(config: Config) -> Path:
    """Nothing to inspect."""
    del config["cameras"]
    return written(config)


def no_pack(config: Config) -> Path:
    """The pack's folder is not there."""
    config["engines"]["tiny-trace"]["pack"] = "/nowhere/tiny-trace-v1.0"
    return written(config)


def another_pack(config: Config) -> Path:
    """The table is named after another engine than the pack."""
    config["engines"] = {"pcb": config["engines"]["tiny-trace"]}
    config["cameras"][0]["engine"] = "pcb"
    return written(config)


def model_of_another_size(config: Config) -> Path:
    """The model takes another size than the manifest says."""
    yolo_model(config["engines"]["tiny-trace"]["pack"] / "verify.onnx", size=128)
    return written(config)


def model_of_other_labels(config: Config) -> Path:
    """The model's heads have room for another number of labels."""
    yolo_model(config["engines"]["tiny-trace"]["pack"] / "verify.onnx", labels=5)
    return written(config)


def corrupt_model(config: Config) -> Path:
    """The ONNX file is garbage."""
    (config["engines"]["tiny-trace"]["pack"] / "verify.onnx").write_bytes(b"\x00garbage" * 100)
    return written(config)


def newer_database(config: Config) -> Path:
    """A newer agent has written the database."""
    store = config["store"]["dir"]
    with hold_write_lock(store):
        open_writer(store).conn.close()
    with contextlib.closing(sqlite3.connect(store / "fieldgate.db")) as db:
        db.execute("PRAGMA user_version = 9999")
    return written(config)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (no_file, "there is no such file"),
        (no_toml, "is not valid TOML"),
        (no_text, "cannot be read"),
        (unknown_key, "did you mean 'commit_ms'?"),
        (wrong_type, "must be a whole number"),
        (no_camera, "there is no camera"),
        (no_pack, "there is no such folder"),
        (another_pack, "name the table [engines.tiny-trace]"),
        (model_of_another_size, "verification.input"),
        (model_of_other_labels, "verification"),
        (corrupt_model, "ONNX Runtime cannot load it"),
        (newer_database, "newer fieldgate"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_daemon_refuses_what_a_restart_would_not_mend(
    config: Config, break_it: Callable[[Config], Path], says: str
):
    """Run exits with 78 and says in one sentence on stderr what is wrong, without a traceback."""
    done = fieldgate("run", "--config", str(break_it(config)))
    assert done.returncode == 78
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("fieldgate: ")
    assert says in sentence


def test_a_second_daemon_on_one_store_is_refused(config: Config):
    """Run exits with 1 and one sentence where another process holds the store."""
    path = written(config)
    with hold_write_lock(config["store"]["dir"]):
        done = fieldgate("run", "--config", str(path))
    assert done.returncode == 1
    assert "another fieldgate is running on this store" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# -- what passes: the daemon goes on, logs one line, shows it in status and ends with 0


@contextlib.contextmanager
def running_daemon(config: Config, folder: Path) -> Iterator[Daemon]:
    """A daemon that inspects; at the end it must end in order."""
    with daemon(folder / "run", config) as agent:
        agent.start()
        assert until(lambda: agent.count("records") >= 3, within_s=60), agent.told()
        yield agent
        goes_on(agent)
        assert agent.terminate() == 0
        assert "Traceback" not in agent.told()


def goes_on(agent: Daemon) -> None:
    """Records are still being written."""
    before = agent.count("records")
    assert until(lambda: agent.count("records") > before, within_s=30), agent.told()


def lines(agent: Daemon, *words: str) -> list[str]:
    """The log lines at warning or above that hold all these words."""
    found = [line for line in agent.told().splitlines() if all(word in line for word in words)]
    return [line for line in found if json.loads(line)["level"] in {"warning", "error"}]


def test_a_full_disk_for_evidence_does_not_stop_the_records(config: Config, tmp_path: Path):
    """With the evidence folder full, records go on without a picture and say so; one log line, seen in status."""
    evidence = config["store"]["dir"] / "evidence"
    evidence.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(evidence)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        with running_daemon(config, tmp_path) as agent:
            assert until(lambda: lines(agent, "evidence"), within_s=60), agent.told()
            without = "SELECT count(*) FROM messages WHERE instr(CAST(body AS TEXT), ?)"
            assert until(lambda: agent.ask(without, '"evidence_reason":"no-room"')[0][0] >= 3, within_s=30), (
                agent.told()
            )
            told = status(agent)["evidence"]
            assert told["state"] == "failing"
            assert "no room" in told["reason"]
            shown = fieldgate("status", "--config", str(agent.config))
            assert shown.returncode == 0
            assert "! evidence: " in shown.stdout
        assert len(lines(agent, "evidence")) == 1
    finally:
        subprocess.run(["umount", str(evidence)], check=True)


@needs_mosquitto
@pytest.mark.broker
def test_a_broker_that_refuses_the_credentials_does_not_stop_the_records(config: Config, tmp_path: Path):
    """Refused by the broker, the daemon keeps everything; one log line, seen in status, never the password."""
    secret = tmp_path / "secret"
    secret.write_text("not-the-password\n", encoding="utf-8")
    with running(tmp_path / "broker", users={"dev": "the-password"}) as broker:
        config["mqtt"] = {"host": "127.0.0.1", "port": broker.port, "username": "dev", "password_file": secret}
        config["mqtt"]["retry_max_s"] = 0.2
        with running_daemon(config, tmp_path) as agent:
            assert until(lambda: status(agent)["uplink"]["state"] == "refused", within_s=30)
            assert until(lambda: refusals(broker.folder) >= 3, within_s=30), agent.told()
            told = fieldgate("status", "--config", str(agent.config)).stdout
        assert len(lines(agent, "uplink", "refused")) == 1
    assert "broker: refused" in told
    assert "none is lost" in told
    assert "not-the-password" not in told + agent.told()


def refusals(folder: Path) -> int:
    """How often the broker has refused a login, by its own log."""
    return (folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace").count("not authorised")


@needs_mosquitto
@pytest.mark.broker
def test_garbage_for_commands_does_not_stop_the_daemon(config: Config, tmp_path: Path):
    """Commands that are no JSON, too large, expired or unknown are refused, counted in status, and change nothing."""
    with running(tmp_path / "broker") as broker, Central(broker.port, f"{TOPICS}/up/#") as central:
        config["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        with running_daemon(config, tmp_path) as agent:
            # It says that it is there behind its subscription, on the same connection.
            assert until(lambda: central.bodies(f"{TOPICS}/up/online"), within_s=30), agent.told()
            for verb, body in GARBAGE:
                central.publish(f"{TOPICS}/down/commands/{verb}", body)
            assert until(lambda: refused(agent) >= len(GARBAGE), within_s=30), (status(agent), agent.told())
            told = fieldgate("status", "--config", str(agent.config)).stdout
            assert f"commands: {len(GARBAGE)} were refused" in told
            assert status(agent)["modes"] == {"tiny-trace": "shadow"}
    assert len(lines(agent, "command-refused")) == 1


GARBAGE: tuple[tuple[str, bytes], ...] = (
    ("mode", b"\xff\xfe garbage"),
    ("mode", b"[" * 20_000),
    ("mode", b'{"id": "x"}'),
    ("mode", b'{"id": "' + b"x" * 200_000 + b'"}'),
    ("no-such-verb", b"{}"),
)


def refused(agent: Daemon) -> int:
    """How many commands the daemon has refused."""
    return sum(status(agent)["uplink"]["commands"]["refused"].values())


def test_a_picture_that_cannot_be_decoded_becomes_a_record(config: Config, tmp_path: Path):
    """Among good files a corrupt one becomes one inconclusive record that names it, and the daemon ends with 0."""
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "good.png"), np.zeros((48, 64, 3), np.uint8))
    (images / "bad.png").write_bytes(b"no picture")
    config["cameras"] = [
        {"name": "top", "kind": "folder", "path": images, "engine": "tiny-trace", "on_end": "exit"},
    ]
    with daemon(tmp_path / "run", config) as agent:
        agent.start()
        assert agent.wait(60) == 0
        assert agent.ask("SELECT source, outcome FROM records WHERE outcome = 'inconclusive'") == [
            ("bad.png", "inconclusive")
        ]
        assert agent.count("records") == 2
