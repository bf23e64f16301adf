import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from consumer import Ledger
from daemon import Daemon, daemon
from mosquitto import Central, Mosquitto, free_port, needs_mosquitto, running
from rtsp_camera import RtspServer, why_not
from tiny_models import a_pack, one_box
from waiting import until

pytestmark = pytest.mark.timeout(120)

UP = "fieldgate/1/lab/bench-1/up"
DOWN = "fieldgate/1/lab/bench-1/down"


def release(defect_type: str) -> dict[str, str]:
    """The first table of a manifest."""
    return {
        "project": "pcb",
        "defect_type": defect_type,
        "version": "1.0",
        "created": "2026-11-22T09:00:00Z",
        "change": "Made for a test",
    }


def config(tmp_path: Path, *cameras: dict[str, Any], port: int = 0, **sections: Any) -> dict[str, Any]:
    """A daemon with a tiny engine that confirms one short wherever the picture is bright enough."""
    pack = a_pack(tmp_path / "pcb-trace-v1.0", raw=one_box(0.9), pack=release("trace"))
    mqtt = {"host": "127.0.0.1", "port": port, "retry_max_s": 1.0, "exit_wait_s": 20} if port else {}
    return {
        "device": {"site": "lab", "name": "bench-1"},
        "cameras": list(cameras),
        "engines": {"pcb-trace": {"pack": pack}},
        "store": {"dir": tmp_path / "store"},
        "mqtt": mqtt,
        **sections,
    }


def simulated(name: str = "top", **keys: Any) -> dict[str, Any]:
    """A simulated camera."""
    return {"name": name, "kind": "simulated", "engine": "pcb-trace", "fps": 20.0, **keys}


def folder_camera(path: Path, name: str = "files", **keys: Any) -> dict[str, Any]:
    """A folder camera."""
    return {"name": name, "kind": "folder", "path": path, "engine": "pcb-trace", **keys}


def pictures(folder: Path, count: int, *, size: int = 80) -> Path:
    """Random bright pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        image = rng.integers(120, 255, (size, size, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return folder


def command(identity: str, args: dict[str, Any]) -> str:
    """A command as an operator would send it."""
    now = datetime.now(timezone.utc)
    issued, expires = (moment.isoformat().replace("+00:00", "Z") for moment in (now, now + timedelta(seconds=60)))
    body = {"id": identity, "issued_at": issued, "expires_at": expires, "by": "anna", "reason": "trial", "args": args}
    return json.dumps(body)


def replies(central: Central, identity: str) -> list[dict[str, Any]]:
    """All replies to one command so far."""
    return [json.loads(body) for body in central.bodies(f"{UP}/replies/{identity}")]


def final(central: Central, identity: str) -> dict[str, Any]:
    """The last word on a command."""
    states = ("done", "failed", "refused")
    assert until(lambda: any(one["state"] in states for one in replies(central, identity)), within_s=20)
    return next(one for one in replies(central, identity) if one["state"] in states)


def inspections(central: Central) -> list[dict[str, Any]]:
    """All records that arrived so far."""
    return [json.loads(body) for body in central.bodies(f"{UP}/ledger/inspections")]


def statuses(central: Central) -> list[dict[str, Any]]:
    """All that up/status said so far."""
    return [json.loads(body) for body in central.bodies(f"{UP}/status")]


@needs_mosquitto
@pytest.mark.broker
def test_a_trigger_over_mqtt_yields_one_record_with_its_metadata(tmp_path: Path) -> None:
    """A trigger is answered with its record, which carries metadata and subject; repeated, it is not done again."""
    camera = simulated(trigger="mqtt")
    with (
        running(tmp_path / "broker") as broker,
        Central(broker.port, "fieldgate/#") as central,
        daemon(tmp_path, config(tmp_path, camera, port=broker.port)) as agent,
    ):
        agent.start()
        assert until(lambda: any(one["cameras"][0]["state"] == "running" for one in statuses(central)), within_s=30)
        args = {"camera": "top", "metadata": {"shift": "B"}, "subject": {"part": "A-17", "asset": "press-4"}}
        central.publish(f"{DOWN}/commands/trigger", command("t-1", args))
        answer = final(central, "t-1")
        assert answer["state"] == "done", answer
        assert until(lambda: inspections(central))
        (record,) = inspections(central)
        assert record["id"] == answer["result"]["record"]
        assert record["trigger"] == {"kind": "mqtt", "metadata": {"shift": "B"}}
        assert (record["subject"]["part"], record["subject"]["asset"]) == ("A-17", "press-4")
        assert record["kept"] == "all"
        agent.kill()
        agent.start()
        assert until(lambda: len([1 for b in central.bodies(f"{UP}/online") if b"online" in b]) >= 2, within_s=30)
        central.publish(f"{DOWN}/commands/trigger", command("t-1", args))
        assert until(lambda: sum(one["state"] == "done" for one in replies(central, "t-1")) == 2, within_s=20)
        assert agent.count("records") == 1
        assert agent.terminate() == 0


@needs_mosquitto
@pytest.mark.broker
def test_a_change_of_mode_is_audited_and_survives_a_restart(tmp_path: Path) -> None:
    """The mode command changes the mode, the ledger says who and why, and a restart keeps it."""
    with (
        running(tmp_path / "broker") as broker,
        Central(broker.port, "fieldgate/#") as central,
        daemon(tmp_path, config(tmp_path, simulated(), port=broker.port)) as agent,
    ):
        agent.start()
        assert until(lambda: statuses(central), within_s=30)
        assert statuses(central)[0]["modes"] == {"pcb-trace": "shadow"}
        central.publish(f"{DOWN}/commands/mode", command("m-1", {"engine": "pcb-trace", "mode": "production"}))
        assert final(central, "m-1")["result"] == {"engine": "pcb-trace", "old": "shadow", "new": "production"}
        assert until(lambda: central.bodies(f"{UP}/ledger/audit"))
        (audit,) = (json.loads(body) for body in central.bodies(f"{UP}/ledger/audit"))
        assert (audit["old"], audit["new"], audit["by"], audit["reason"], audit["way"]) == (
            "shadow",
            "production",
            "anna",
            "trial",
            "mqtt",
        )
        assert until(lambda: statuses(central)[-1]["modes"] == {"pcb-trace": "production"})
        agent.kill()
        agent.start()
        assert until(lambda: inspections(central) and inspections(central)[-1]["mode"] == "production", within_s=30)
        assert agent.terminate() == 0


@needs_mosquitto
@pytest.mark.broker
def test_health_says_how_device_and_line_are(tmp_path: Path) -> None:
    """Health comes every interval, with the device, the line's rate and latencies, and the ledger."""
    settings = config(tmp_path, simulated(), monitor={"health_interval_s": 1.0})
    with running(tmp_path / "broker") as broker, Central(broker.port, "fieldgate/#") as central:
        settings["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        with daemon(tmp_path, settings) as agent:
            agent.start()
            assert until(lambda: len(central.bodies(f"{UP}/health")) >= 3, within_s=40)
            health = json.loads(central.bodies(f"{UP}/health")[-1])
            assert agent.terminate() == 0
    assert health["line"]["images_per_s"] > 0
    assert health["line"]["latency_ms"]["screen"]["p99"] > 0
    assert health["host"]["memory"]["total_bytes"] > 0
    assert health["ledger"]["head"] >= 1


def test_one_dead_camera_does_not_hold_the_others(tmp_path: Path) -> None:
    """Cameras and engines work side by side; a missing folder and a dead stream are shown, the rest goes on."""
    second = a_pack(tmp_path / "pcb-solder-v1.0", raw=one_box(0.9), pack=release("solder"))
    cameras = [
        simulated("live"),
        folder_camera(pictures(tmp_path / "images", 12), engine="pcb-solder"),
        folder_camera(tmp_path / "nowhere", "missing"),
        {"name": "far", "kind": "rtsp", "url": f"rtsp://127.0.0.1:{free_port()}/x", "engine": "pcb-trace"},
    ]
    settings = config(tmp_path, *cameras)
    settings["engines"]["pcb-solder"] = {"pack": second}
    with daemon(tmp_path, settings) as agent:
        agent.start()
        assert until(
            lambda: _inspected(agent) >= {("live", "pcb-trace-v1.0"), ("files", "pcb-solder-v1.0")}, within_s=30
        )
        assert until(lambda: agent.ask("SELECT count(*) FROM records WHERE camera = 'files'") == [(12,)], within_s=20)
        status = agent.status()
        states = {one["name"]: (one["state"], one["reason"]) for one in status["cameras"]}
        assert states["live"][0] == "running"
        assert states["missing"][0] == "offline"
        assert "nowhere" in states["missing"][1]
        assert states["far"][0] == "offline"
        assert agent.terminate() == 0


def _inspected(agent: Daemon) -> set[tuple[str, str]]:
    return set(agent.ask("SELECT DISTINCT camera, engine FROM records"))


def test_a_corrupt_file_becomes_a_record_that_names_it(tmp_path: Path) -> None:
    """A file that cannot be decoded is inconclusive, named in its record, and the next one is inspected."""
    folder = pictures(tmp_path / "images", 3)
    (folder / "001.png").write_bytes(b"\x89PNG not really")
    with daemon(tmp_path, config(tmp_path, folder_camera(folder, on_end="exit"))) as agent:
        agent.start()
        assert agent.wait(30) == 0
        rows = agent.ask("SELECT source, outcome, reason FROM records ORDER BY source")
    assert rows[1] == ("001.png", "inconclusive", "corrupt-file")
    assert [row[0] for row in rows] == ["000.png", "001.png", "002.png"]
    assert {row[1] for row in (rows[0], rows[2])} == {"fail"}


def test_a_file_in_hand_at_two_crashes_is_not_tried_again(tmp_path: Path) -> None:
    """A file that was in hand at two crashes in a row becomes inconclusive, and the line goes on."""
    folder = pictures(tmp_path / "images", 2)
    huge = np.full((9000, 9000, 3), 200, np.uint8)  # big enough for the line to be caught with it in hand
    cv2.imwrite(str(folder / "000.png"), huge, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    settings = config(tmp_path, folder_camera(folder, on_end="exit"))
    note = tmp_path / "store" / "in-hand" / "files.inspecting.json"
    with daemon(tmp_path, settings) as agent:
        for _crash in range(2):
            agent.start()
            _catch(note, held=False)  # the note of the last crash has been read
            _catch(note, held=True)
            agent.kill()
            assert agent.count("records") == 0, "it was caught too late"
        agent.start()
        assert agent.wait(40) == 0, agent.told()
        rows = agent.ask("SELECT source, outcome, reason FROM records ORDER BY source")
    assert rows[0] == ("000.png", "inconclusive", "crashed-twice")
    assert rows[1][1] == "fail"


def _catch(note: Path, *, held: bool) -> None:
    """Wait, without a pause since the moment is short, until the first file is (not) in hand."""
    end = time.monotonic() + 30
    while _holds(note) != held and time.monotonic() < end:
        pass


def _holds(note: Path) -> bool:
    try:
        told = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return False
    return bool(told["held"]) and told["item"] == "000.png"


@needs_mosquitto
@pytest.mark.broker
def test_sigterm_ends_it_within_five_seconds_whatever_hangs(tmp_path: Path) -> None:
    """A stalled network camera and a frozen broker do not keep the daemon from ending in time, with 0."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    server, broker = RtspServer(), Mosquitto(tmp_path / "broker")
    server.start()
    broker.start()
    stream: dict[str, Any] = {"name": "far", "kind": "rtsp", "url": server.url, "engine": "pcb-trace", "record": "all"}
    stream |= {"open_timeout_ms": 30_000, "read_timeout_ms": 30_000}
    try:
        settings = config(tmp_path, simulated(), stream, port=broker.port)
        with daemon(tmp_path, settings) as agent:
            agent.start()
            assert until(lambda: agent.ask("SELECT 1 FROM records WHERE camera = 'far'"), within_s=40), agent.told()
            server.stall()
            broker.freeze()
            before = time.monotonic()
            assert agent.terminate(within_s=10) == 0
            assert time.monotonic() - before < 5
    finally:
        server.go_on()
        server.kill()
        broker.kill()


def test_without_any_broker_everything_is_kept(tmp_path: Path) -> None:
    """With a broker that never answers, the daemon inspects, records, and its ledger waits whole in the outbox."""
    folder = pictures(tmp_path / "images", 20)
    settings = config(tmp_path, folder_camera(folder, on_end="exit"), port=free_port())
    settings["mqtt"]["exit_wait_s"] = 0.5
    with daemon(tmp_path, settings) as agent:
        agent.start()
        assert agent.wait(30) == 0
        bodies = [row[0] for row in agent.ask("SELECT body FROM messages JOIN outbox USING (n) ORDER BY n")]
    ledger = Ledger.of(bodies)
    ledger.prove_whole()
    ledger.prove_rollups_add_up()
    assert len(ledger.of_kind("inspection")) == 20
