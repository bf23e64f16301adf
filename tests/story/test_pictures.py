"""Pictures of the whole agent on their way to a server that cuts the line and is away for a while."""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from certificates import authority, certificate
from consumer import Ledger
from daemon import daemon
from mosquitto import Central, needs_mosquitto, running
from picture_server import PictureServer
from tiny_models import a_pack, one_box
from waiting import until

pytestmark = [needs_mosquitto, pytest.mark.broker, pytest.mark.timeout(120)]

BOARDS = 12
UP = "fieldgate/1/lab/bench-1/up"
DOWN = "fieldgate/1/lab/bench-1/down"
FATES_SETTLED = "SELECT count(*) FROM messages m JOIN settled s ON s.n = m.n WHERE kind = 'evidence'"


def config(tmp_path: Path, port: int, upload: dict[str, Any]) -> dict[str, Any]:
    """A daemon whose tiny engine finds a short on every bright board of a folder."""
    boards = tmp_path / "boards"
    boards.mkdir()
    rng = np.random.default_rng(1)
    for number in range(BOARDS):
        cv2.imwrite(str(boards / f"{number:03d}.png"), rng.integers(120, 255, (80, 80, 3), np.uint8))
    release = {
        "project": "pcb",
        "defect_type": "trace",
        "version": "1.0",
        "created": "2026-11-22T09:00:00Z",
        "change": "Made for a test",
    }
    pack = a_pack(tmp_path / "pcb-trace-v1.0", raw=one_box(0.9), pack=release)
    return {
        "device": {"site": "lab", "name": "bench-1"},
        "cameras": [{"name": "files", "kind": "folder", "path": boards, "engine": "pcb-trace"}],
        "engines": {"pcb-trace": {"pack": pack}},
        "store": {"dir": tmp_path / "store"},
        "mqtt": {"host": "127.0.0.1", "port": port, "retry_max_s": 1.0},
        "upload": upload,
    }


def test_every_picture_is_at_the_centre_once_and_its_fate_in_the_ledger(tmp_path: Path) -> None:
    """The server cuts two lines, is full once, and the daemon is killed once in the middle: no picture is missing."""
    keys = tmp_path / "keys"
    keys.mkdir()
    authority(keys, "ca")
    certificate(keys, "server", address="IP:127.0.0.1")
    with (
        running(tmp_path / "broker") as broker,
        Central(broker.port, "fieldgate/#") as central,
        PictureServer(keys, resumes=True).running() as server,
    ):
        server.steps.extend([201, ("cut", 2_000), 507, 201, ("cut", 1_000)])
        upload = {"how": "https", "url": server.url, "ca_file": keys / "ca.crt", "retry_max_s": 1.0}
        with daemon(tmp_path / "agent", config(tmp_path, broker.port, upload)) as agent:
            agent.start()
            assert until(lambda: len(server.stored) >= 2, within_s=30), agent.told()
            agent.kill()
            agent.start()
            stored = "SELECT count(*) FROM evidence WHERE state = 'stored'"
            assert until(lambda: agent.ask(stored) == [(BOARDS,)], within_s=60), agent.told()
            status = agent.status()
            assert status["upload"]["state"] in {"idle", "sending"}
            assert agent.terminate() == 0
        ledger = Ledger.of(central.bodies(f"{UP}/ledger/"))
        ledger.prove_whole()
        records = {one["id"]: one["evidence"]["sha256"] for one in ledger.of_kind("inspection")}
        fates = ledger.of_kind("evidence")
    assert len(records) == BOARDS
    assert {one["record"]: one["sha256"] for one in fates} == records
    assert {one["fate"] for one in fates} == {"stored"}
    came = {Path(path).stem: hashlib.sha256(body).hexdigest() for path, body in server.stored.items()}
    assert came == records


def command(identity: str, record: str, action: str) -> str:
    """The command ``evidence``."""
    now = datetime.now(timezone.utc)
    issued, expires = (moment.isoformat().replace("+00:00", "Z") for moment in (now, now + timedelta(seconds=60)))
    args = {"record": record, "action": action}
    body = {"id": identity, "issued_at": issued, "expires_at": expires, "by": "anna", "reason": "trial", "args": args}
    return json.dumps(body)


def last_reply(central: Central, identity: str) -> str:
    """The state in the last reply to a command."""
    replies = [json.loads(body)["state"] for body in central.bodies(f"{UP}/replies/{identity}")]
    return replies[-1] if replies else ""


def test_the_centre_asks_for_one_picture_and_has_another_erased(tmp_path: Path) -> None:
    """With uploads off nothing goes by itself; what is asked for comes over MQTT, what is ordered away is gone."""
    with (
        running(tmp_path / "broker") as broker,
        Central(broker.port, "fieldgate/#") as central,
        daemon(tmp_path / "agent", config(tmp_path, broker.port, {"how": "off"})) as agent,
    ):
        agent.start()
        settled = "SELECT count(*) FROM records r JOIN settled s ON s.n = r.n"
        assert until(lambda: agent.ask(settled) == [(BOARDS,)], within_s=30), agent.told()
        (wanted, path), (unwanted, gone) = agent.ask("SELECT record, path FROM evidence ORDER BY record LIMIT 2")
        assert central.bodies(f"{UP}/evidence/") == []
        central.publish(f"{DOWN}/commands/evidence", command("c-send", wanted, "send"))
        central.publish(f"{DOWN}/commands/evidence", command("c-erase", unwanted, "erase"))
        central.publish(f"{DOWN}/commands/evidence", command("c-none", "0193-none", "send"))
        final = {"c-send": "done", "c-erase": "done", "c-none": "refused"}
        assert until(lambda: {name: last_reply(central, name) for name in final} == final, within_s=20), agent.told()
        assert until(lambda: agent.ask(FATES_SETTLED) == [(2,)], within_s=20), agent.told()
        assert not (tmp_path / "store" / "evidence" / gone).exists()
        sent = (tmp_path / "store" / "evidence" / path).read_bytes()
        assert agent.terminate() == 0
        places = [index for index, one in enumerate(central.received) if one[0].startswith(f"{UP}/evidence/")]
        assert [central.received[index][:2] for index in places] == [(f"{UP}/evidence/{wanted}", sent)]
        beside = {"record": wanted, "sha256": hashlib.sha256(sent).hexdigest(), "size": str(len(sent))}
        assert central.user_properties[places[0]] == beside
        ledger = Ledger.of(central.bodies(f"{UP}/ledger/"))
        ledger.prove_whole()
    told = {one["record"]: (one["fate"], one["url"]) for one in ledger.of_kind("evidence")}
    assert told == {wanted: ("stored", f"mqtt:{UP}/evidence/{wanted}"), unwanted: ("erased", None)}
    audits = {(one["what"], one["new"], one["by"]) for one in ledger.of_kind("audit")}
    assert audits == {(f"evidence of {wanted}", "asked for", "anna"), (f"evidence of {unwanted}", "erased", "anna")}


def test_pictures_go_by_mqtt_and_one_that_is_too_large_is_told(tmp_path: Path) -> None:
    """Every picture on its own topic; above the limit its fate is failed, and the others come."""
    with running(tmp_path / "broker") as broker, Central(broker.port, "fieldgate/#") as central:
        settings = config(tmp_path, broker.port, {"how": "mqtt", "mqtt_max_kb": 20})
        rng = np.random.default_rng(2)
        cv2.imwrite(str(tmp_path / "boards" / "large.png"), rng.integers(120, 255, (400, 400, 3), np.uint8))
        with daemon(tmp_path / "agent", settings) as agent:
            agent.start()
            assert until(lambda: agent.ask(FATES_SETTLED) == [(BOARDS + 1,)], within_s=40), agent.told()
            assert agent.terminate() == 0
        ledger = Ledger.of(central.bodies(f"{UP}/ledger/"))
        ledger.prove_whole()
    records = {one["id"]: one for one in ledger.of_kind("inspection")}
    (large,) = [one["id"] for one in records.values() if one["source"] == "large.png"]
    came = {
        topic.rpartition("/")[2]: body for topic, body, _ in central.received if topic.startswith(f"{UP}/evidence/")
    }
    assert {one: hashlib.sha256(body).hexdigest() for one, body in came.items()} == {
        one: record["evidence"]["sha256"] for one, record in records.items() if one != large
    }
    failed = {one["record"]: one["reason"]["code"] for one in ledger.of_kind("evidence") if one["fate"] == "failed"}
    assert failed == {large: "too-large"}
