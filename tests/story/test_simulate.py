import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.central.ledgers import LedgerFile
from agent.central.verifying import verify
from mosquitto import Central, Mosquitto, needs_mosquitto, running
from waiting import until

pytestmark = [needs_mosquitto, pytest.mark.broker]

SEED = 2026


def command(*words: object) -> "subprocess.Popen[str]":
    """The installed command, started."""
    program = [sys.executable, "-m", "agent", *map(str, words)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]", *, within_s: float = 100) -> dict[str, Any]:
    """What a command that ends well has said."""
    said, complaint = process.communicate(timeout=within_s)
    assert process.returncode == 0, f"{complaint}{said}"
    found: dict[str, Any] = json.loads(said)
    return found


def heads(told: dict[str, Any]) -> dict[tuple[str, str], int]:
    """The head of each device's last epoch; how far one that was lost before had come, nobody can know."""
    last = {one["device"]: one for one in told["ledgers"]}
    return {(one["device"], one["epoch"]): one["head"] for one in last.values()}


def collecting(url: str, path: Path) -> "subprocess.Popen[str]":
    """A collector that listens by now."""
    collector = command("collect", "--broker", url, "--to", path, "--json")
    assert collector.stderr is not None
    assert collector.stderr.readline().startswith("connected")
    return collector


def proved(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The verdict on each ledger by device and epoch."""
    with LedgerFile(path, writing=False) as file:
        return {(one.ledger.device, one.ledger.epoch): one.to_json() for one in verify(file)}


def all_proved(path: Path, told: dict[str, Any], collector: "subprocess.Popen[str]") -> dict[tuple[str, str], Any]:
    """The verdicts, once every ledger is proved up to the head that its device has told; the collector ends."""

    def whole() -> bool:
        found = proved(path)
        upto = {key: found[key]["complete_up_to"] for key in heads(told) if key in found}
        return upto == heads(told) and all(one["holds"] for one in found.values())

    assert until(whole, within_s=30), [one for one in proved(path).values() if not one["holds"]]
    collector.send_signal(signal.SIGTERM)
    ended(collector)
    return proved(path)


def test_a_consumers_team_can_develop_without_hardware(tmp_path: Path) -> None:
    """Five simulated devices with every trouble keep the contract, and the collector proves all that they sealed."""
    with (
        running(tmp_path / "broker", lines=("max_queued_messages 0",)) as broker,
        Central(broker.port, "fieldgate/1/simulated/#") as central,
    ):
        url, path = f"mqtt://127.0.0.1:{broker.port}", tmp_path / "plant.db"
        collector = collecting(url, path)
        words = ["--devices", 5, "--parts", 300, "--rate", 300, "--with", "all", "--seed", SEED, "--json"]
        told = ended(command("simulate", "--broker", url, *words))
        all_proved(path, told, collector)
        states = {json.loads(body)["state"] for body in central.bodies("fieldgate/1/simulated/simulated-1/up/online")}
    assert told["waiting"] == 0
    assert told["frames_lost"] > 0
    assert len(told["ledgers"]) > len(heads(told)) == 5
    assert {"online", "stopped"} <= states


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_500_devices_are_lost_and_back_at_once(tmp_path: Path) -> None:
    """The broker goes away under 500 devices and comes back: every message of each is proved at the collector."""
    began = time.monotonic()
    kept = tmp_path / "broker" / "kept"
    kept.mkdir(parents=True)
    kept.chmod(0o777)
    lines = ("max_queued_messages 0", "persistence true", f"persistence_location {kept}/", "user root")
    broker = Mosquitto(tmp_path / "broker", lines=lines)
    broker.start()
    try:
        url, path = f"mqtt://127.0.0.1:{broker.port}", tmp_path / "plant.db"
        collector = collecting(url, path)
        words = ["--devices", 500, "--parts", 20, "--rate", 1, "--with", "batches,gaps,replays,epochs,clocks"]
        devices = command("simulate", "--broker", url, *words, "--seed", SEED, "--drain", 120, "--json")
        assert until(lambda: size_of(path) > 200_000, within_s=60), "the devices do not get through"
        broker.stop()
        away = time.monotonic()
        assert not until(lambda: devices.poll() is not None, within_s=5), "a device may not end while it is offline"
        broker.start()
        offline_s = time.monotonic() - away
        told = ended(devices, within_s=200)
        found = all_proved(path, told, collector)
    finally:
        broker.kill()
    lost = sum(one["explained"] for one in found.values())
    print(
        f"seed {SEED}: 500 devices, {told['sealed']} messages, {offline_s:.1f} s without a broker, "
        f"{sum(one['received'] for one in found.values())} received, {lost} explained by gaps, "
        f"{time.monotonic() - began:.0f} s"
    )


def size_of(path: Path) -> int:
    """Bytes of a database and its log."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))
