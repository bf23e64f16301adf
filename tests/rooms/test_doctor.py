"""Each check of the doctor, against the real thing broken in the way that it is made for."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.doctor.check import FAIL, SKIPPED, WARN, Finding, examine, with_needs
from agent.doctor.checks import ALL
from agent.doctor.installation import Installation
from agent.store.schema import hold_write_lock, open_writer
from daemon import FIELDGATE, daemon, environment, toml
from mosquitto import Central, Mosquitto, free_port, needs_mosquitto, running
from tiny_models import a_pack, manifest, quiet_heads, yolo_model
from waiting import until

Config = dict[str, Any]
DYNAMIC_SECURITY = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")
TOPICS = "fieldgate/1/lab/dev-1"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A healthy installation without a broker: a folder of one picture, a tiny pack, a store."""
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), np.full((48, 64, 3), 90, np.uint8))
    return {
        "device": {"site": "lab", "name": "dev-1"},
        "cameras": [{"name": "top", "kind": "folder", "path": images, "engine": "tiny-trace"}],
        "engines": {"tiny-trace": {"pack": a_pack(tmp_path / "pack")}},
        "store": {"dir": tmp_path / "store", "database_mb": 50, "evidence_mb": 50, "free_mb": 50},
        "mqtt": {"host": ""},
    }


def written(config: Config) -> Path:
    """The config as a file."""
    path = Path(config["store"]["dir"]).parent / "config.toml"
    path.write_text(toml(config), encoding="utf-8")
    return path


def examined(config: Config | Path) -> list[Finding]:
    """Everything that the doctor finds."""
    path = config if isinstance(config, Path) else written(config)
    return list(examine(Installation(path), ALL))


def wrong(findings: list[Finding]) -> list[tuple[str, str]]:
    """Result and code of what is not well."""
    return [(one.answer.result, one.code) for one in findings if one.answer.result in {FAIL, WARN}]


def the(findings: list[Finding], code: str) -> Finding:
    """The finding with this code."""
    (one,) = (one for one in findings if one.code == code)
    return one


@contextlib.contextmanager
def listened(config: Config, folder: Path, **facts: Any) -> Iterator[Mosquitto]:
    """A real broker that the config names, with a central consumer on the device's topics."""
    with running(folder / "broker", **facts) as broker:
        config["mqtt"].update(host="127.0.0.1", port=broker.port)
        with Central(broker.port, f"{TOPICS}/up/#"):
            yield broker


# -- nothing is wrong


def test_a_healthy_installation_passes_every_check(config: Config):
    """Where nothing is wrong no check fails or warns; without a broker its checks are skipped with the reason."""
    findings = examined(config)
    assert wrong(findings) == []
    assert {one.code for one in findings if one.answer.result == SKIPPED} == {
        check.code for check in ALL if check.code.startswith("broker-")
    }
    assert the(findings, "broker-login").answer.seen == "no broker is configured (mqtt.host)"


def test_every_check_needs_only_checks_before_it():
    """The table of checks is in an order in which each comes after those that it needs, and codes are unique."""
    codes = [check.code for check in ALL]
    assert len(set(codes)) == len(codes)
    for place, check in enumerate(ALL):
        assert set(check.needs) <= set(codes[:place])


def test_one_check_can_be_asked_for_with_what_it_needs():
    """A single check runs with the chain of those that it needs, in order."""
    assert [check.code for check in with_needs("engine-latency", ALL)] == [
        "config-readable",
        "config-valid",
        "engine-pack",
        "engine-model",
        "engine-latency",
    ]


@needs_mosquitto
@pytest.mark.broker
def test_a_broker_that_takes_everything_passes_every_check(config: Config, tmp_path: Path):
    """With a broker, a login and a consumer that listens nothing fails or warns; TLS is skipped where it is off."""
    with listened(config, tmp_path):
        findings = examined(config)
    assert wrong(findings) == []
    assert [one.code for one in findings if one.answer.result == SKIPPED] == ["broker-tls"]


# -- one thing is broken


def no_file(config: Config) -> Config | Path:
    """--config names a file that is not there."""
    return written(config).with_name("other.toml")


def no_toml(config: Config) -> Config | Path:
    """A bracket is missing."""
    path = written(config)
    path.write_text("[device\n", encoding="utf-8")
    return path


def unknown_key(config: Config) -> Config:
    """A key is mistyped."""
    return {**config, "device": {"sit": "lab"}}


def no_camera(config: Config) -> Config:
    """There is no [[cameras]] table."""
    return {key: value for key, value in config.items() if key != "cameras"}


def no_pack(config: Config) -> Config:
    """The pack's folder is gone."""
    shutil.rmtree(config["engines"]["tiny-trace"]["pack"])
    return config


def another_pack(config: Config) -> Config:
    """The table is named after another engine."""
    config["cameras"][0]["engine"] = "pcb"
    return {**config, "engines": {"pcb": config["engines"]["tiny-trace"]}}


def corrupt_model(config: Config) -> Config:
    """The ONNX file is cut short."""
    model = config["engines"]["tiny-trace"]["pack"] / "verify.onnx"
    model.write_bytes(model.read_bytes()[:200])
    return config


def model_of_another_size(config: Config) -> Config:
    """The model takes another size than the manifest says."""
    yolo_model(config["engines"]["tiny-trace"]["pack"] / "verify.onnx", size=128)
    return config


def slow_model(config: Config) -> Config:
    """The models need longer than the deadline."""
    pack = config["engines"]["tiny-trace"]["pack"]
    verification = manifest()["verification"]
    a_pack(pack, verification={**verification, "input": {**verification["input"], "width": 1280, "height": 1280}})
    yolo_model(pack / "verify.onnx", size=1280, raw=quiet_heads(size=1280))
    triggered = {"name": "sim", "kind": "simulated", "engine": "tiny-trace", "trigger": "mqtt", "deadline_ms": 1}
    return {**config, "cameras": [triggered]}


def no_folder(config: Config) -> Config:
    """The folder of images is gone."""
    shutil.rmtree(config["cameras"][0]["path"])
    return config


def no_device(config: Config) -> Config:
    """The USB camera is not plugged in."""
    return {**config, "cameras": [{"name": "u", "kind": "v4l2", "device": "/dev/video99", "engine": "tiny-trace"}]}


def no_network_camera(config: Config) -> Config:
    """Nobody listens at the network camera's address."""
    url = f"rtsp://127.0.0.1:{free_port()}/stream"
    return {**config, "cameras": [{"name": "r", "kind": "rtsp", "url": url, "engine": "tiny-trace"}]}


def corrupt_picture(config: Config) -> Config:
    """The file is no picture."""
    (config["cameras"][0]["path"] / "a.png").write_bytes(b"no picture")
    return config


def empty_folder(config: Config) -> Config:
    """The folder has no file."""
    (config["cameras"][0]["path"] / "a.png").unlink()
    return config


def region_outside(config: Config) -> Config:
    """The region is one pixel wider than the picture."""
    config["cameras"][0]["region"] = [0, 0, 65, 48]
    return config


def file_for_a_folder(config: Config) -> Config:
    """Where the store should be is a file."""
    config["store"]["dir"].write_bytes(b"")
    return config


def garbage_for_a_database(config: Config) -> Config:
    """The database's file holds something else."""
    config["store"]["dir"].mkdir()
    (config["store"]["dir"] / "fieldgate.db").write_bytes(b"garbage" * 1000)
    return config


def damaged_page(config: Config) -> Config:
    """A page of the database was overwritten."""
    store = config["store"]["dir"]
    with hold_write_lock(store):
        db = open_writer(store)
        db.execute("PRAGMA journal_mode = DELETE")
        db.conn.close()
    with (store / "fieldgate.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    return config


def newer_database(config: Config) -> Config:
    """A newer agent has written the database."""
    store = config["store"]["dir"]
    with hold_write_lock(store):
        open_writer(store).conn.close()
    with contextlib.closing(sqlite3.connect(store / "fieldgate.db")) as db:
        db.execute("PRAGMA user_version = 9999")
    return config


def unknown_host(config: Config) -> Config:
    """The broker's name does not exist."""
    return {**config, "mqtt": {"host": "no-such-broker.invalid"}}


def closed_port(config: Config) -> Config:
    """No broker listens on the port."""
    return {**config, "mqtt": {"host": "127.0.0.1", "port": free_port()}}


@pytest.mark.parametrize(
    ("break_it", "result", "code"),
    [
        (no_file, FAIL, "config-readable"),
        (no_toml, FAIL, "config-readable"),
        (unknown_key, FAIL, "config-valid"),
        (no_camera, FAIL, "config-valid"),
        (no_pack, FAIL, "engine-pack"),
        (another_pack, FAIL, "engine-pack"),
        (corrupt_model, FAIL, "engine-model"),
        (model_of_another_size, FAIL, "engine-model"),
        (slow_model, WARN, "engine-latency"),
        (no_folder, FAIL, "camera-opens"),
        (no_device, FAIL, "camera-opens"),
        (no_network_camera, FAIL, "camera-opens"),
        (corrupt_picture, FAIL, "camera-frames"),
        (empty_folder, WARN, "camera-frames"),
        (region_outside, FAIL, "camera-region"),
        (file_for_a_folder, FAIL, "store-writable"),
        (garbage_for_a_database, FAIL, "store-database"),
        (damaged_page, FAIL, "store-database"),
        (newer_database, FAIL, "store-database"),
        (unknown_host, FAIL, "broker-dns"),
        (closed_port, FAIL, "broker-tcp"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_broken_is_found_by_its_own_check_only(
    config: Config, break_it: Callable[[Config], Config | Path], result: str, code: str
):
    """One broken thing makes exactly its own check speak, with what was seen, a likely cause and a fix."""
    findings = examined(break_it(config))
    assert wrong(findings) == [(result, code)]
    answer = the(findings, code).answer
    assert answer.seen
    assert answer.cause
    assert answer.fix


def test_a_check_whose_need_failed_is_skipped_and_says_which(config: Config):
    """What cannot be tried is skipped and names the check that stands in the way."""
    findings = examined(no_pack(config))
    assert the(findings, "engine-latency").answer.result == SKIPPED
    assert the(findings, "engine-model").answer.seen == "not tried, since engine-pack failed"


def test_quotas_that_the_disk_does_not_hold_are_found(config: Config):
    """More granted than there is room for is a warning, and so is a store without any limit."""
    config["store"]["evidence_mb"] = 10**9
    found = the(examined(config), "store-budget").answer
    assert (found.result, "1,000,000,1" in found.seen) == (WARN, True)
    config["store"].update(evidence_mb=0, free_mb=0)
    found = the(examined(config), "store-budget").answer
    assert (found.result, found.seen) == (WARN, "evidence_mb without a limit, and no free_mb")
    config["store"].update(free_mb=50)
    assert the(examined(config), "store-budget").answer.result == "ok"


def test_a_disk_without_room_is_found(config: Config):
    """A nearly full disk fails the check of space and no other."""
    store = config["store"]["dir"]
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(store)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        assert wrong(examined(config)) == [(FAIL, "store-space")]
    finally:
        subprocess.run(["umount", store], check=True)


def test_a_store_that_another_process_holds_is_found(config: Config):
    """A held lock behind which no daemon answers fails the check of the lock and no other."""
    with hold_write_lock(config["store"]["dir"]):
        assert wrong(examined(config)) == [(FAIL, "store-lock")]


# -- one thing is broken at a real broker


def readable_by_mosquitto(path: Path) -> Path:
    """Started by root, Mosquitto reads its files as its own user."""
    path.chmod(0o644)
    for folder in path.parents[:4]:
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o111)
    return path


@needs_mosquitto
@pytest.mark.broker
def test_an_authority_that_did_not_sign_the_broker_is_found(config: Config, tmp_path: Path):
    """A broker whose certificate another authority signed fails the check of TLS and no other."""
    for name in ("broker", "stranger"):
        command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")]
        subprocess.run(["openssl", *command.split(), *files], check=True, capture_output=True)
    certificate, key = (readable_by_mosquitto(tmp_path / f"broker.{kind}") for kind in ("crt", "key"))
    with running(tmp_path / "broker", lines=(f"certfile {certificate}", f"keyfile {key}")) as broker:
        config["mqtt"] = {"host": "127.0.0.1", "port": broker.port, "tls": True, "ca_file": tmp_path / "stranger.crt"}
        assert wrong(examined(config)) == [(FAIL, "broker-tls")]


@needs_mosquitto
@pytest.mark.broker
@pytest.mark.parametrize("password", ["wrong", None], ids=["wrong password", "no password file"])
def test_a_login_that_the_broker_refuses_is_found(config: Config, tmp_path: Path, password: str | None):
    """A wrong password, or a password file that is not there, fails the check of the login and no other."""
    secret = tmp_path / "password"
    if password is not None:
        secret.write_text(password, encoding="utf-8")
    with running(tmp_path / "broker", users={"dev": "right"}) as broker:
        config["mqtt"] = {"host": "127.0.0.1", "port": broker.port, "username": "dev", "password_file": secret}
        findings = examined(config)
    assert wrong(findings) == [(FAIL, "broker-login")]
    assert "wrong" not in the(findings, "broker-login").answer.seen


@needs_mosquitto
@pytest.mark.broker
def test_rules_that_forbid_publishing_are_found(config: Config, tmp_path: Path):
    """A broker whose rules let this device only read fails the check of publishing and no other."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n", encoding="utf-8")
    with listened(config, tmp_path, lines=(f"acl_file {readable_by_mosquitto(rules)}",)):
        assert wrong(examined(config)) == [(FAIL, "broker-publish")]


@needs_mosquitto
@pytest.mark.broker
def test_a_broker_without_a_consumer_is_found(config: Config, tmp_path: Path):
    """A broker that says that nobody subscribes makes the check of the subscriber warn and no other."""
    with running(tmp_path / "broker") as broker:
        config["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        assert wrong(examined(config)) == [(WARN, "broker-subscriber")]


@needs_mosquitto
@pytest.mark.broker
@pytest.mark.skipif(not DYNAMIC_SECURITY.exists(), reason="Mosquitto's dynamic security plugin is not installed")
def test_rules_that_forbid_commands_are_found(config: Config, tmp_path: Path):
    """Where nobody may subscribe the check of the commands warns, and so does that of the subscriber."""
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"defaultACLAccess": access}), encoding="utf-8")
    lines = (f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {readable_by_mosquitto(rules)}")
    with running(tmp_path / "broker", lines=lines) as broker:
        config["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        assert wrong(examined(config)) == [(WARN, "broker-subscriber"), (WARN, "broker-commands")]


# -- beside a running daemon


def test_the_doctor_asks_a_running_daemon_instead_of_opening_its_cameras(config: Config, tmp_path: Path):
    """Beside a daemon cameras, models and store are judged by what it says, and nothing is opened twice."""
    config["cameras"] = [
        {"name": "sim", "kind": "simulated", "engine": "tiny-trace", "fps": 20.0},
        {"name": "usb", "kind": "v4l2", "device": "/dev/video99", "engine": "tiny-trace"},
        {"name": "asked", "kind": "simulated", "engine": "tiny-trace", "trigger": "mqtt"},
    ]
    with daemon(tmp_path / "run", config) as agent:
        agent.start()
        assert until(lambda: agent.count("open_rollups"), within_s=30), agent.told()
        findings = examined(agent.config)
        assert wrong(findings) == [(FAIL, "camera-opens")]
        seen = {(one.code, one.about): one.answer.seen for one in findings}
        assert seen["camera-opens", "sim"] == "the running daemon has it open (running)"
        assert seen["camera-frames", "sim"] == "a picture of 640 x 480 pixels"
        assert "has not inspected a picture yet" in seen["camera-frames", "asked"]
        assert "/dev/video99 is not there" in seen["camera-opens", "usb"]
        assert seen["engine-model", "tiny-trace"].startswith("the running daemon uses tiny-trace-v1.0")
        assert seen["store-lock", ""].startswith("a daemon is running")
        assert agent.terminate() == 0


# -- the verb


def doctor(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The installed command."""
    command = [FIELDGATE, "doctor", "--config", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment())


@pytest.mark.parametrize(("break_it", "code"), [(None, 0), (no_pack, 1), (unknown_key, 78)])
def test_the_exit_code_says_whether_something_failed(
    config: Config, break_it: Callable[[Config], Config] | None, code: int
):
    """Doctor exits with 0 when nothing failed, 78 when the config did, else 1, and prints every finding as JSON."""
    done = doctor(written(break_it(config) if break_it else config), "--json")
    assert done.returncode == code
    assert [one["code"] for one in json.loads(done.stdout)] == [check.code for check in ALL]
    assert done.stderr == ""


def test_a_fix_is_printed_below_its_finding(config: Config):
    """In text each finding is one line, and below a failing one stand its likely cause and fix."""
    done = doctor(written(no_pack(config)), "--only", "engine-pack")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["ok", "config-readable:"],
        ["ok", "config-valid:"],
        ["FAIL", "engine-pack"],
    ]
    assert lines[3].strip().startswith("likely cause: ")
    assert lines[4].strip().startswith("fix: ")


def test_an_unknown_check_is_wrong_usage(config: Config):
    """--only with a code that does not exist exits with 2 and lists the codes."""
    done = doctor(written(config), "--only", "engine")
    assert done.returncode == 2
    assert "engine-latency" in done.stderr
