"""Pictures of the whole agent on their way to a server that cuts the line and is away for a while."""

import hashlib
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
        ledger = Ledger.of(central.bodies("fieldgate/1/lab/bench-1/up/ledger/"))
        ledger.prove_whole()
        records = {one["id"]: one["evidence"]["sha256"] for one in ledger.of_kind("inspection")}
        fates = ledger.of_kind("evidence")
    assert len(records) == BOARDS
    assert {one["record"]: one["sha256"] for one in fates} == records
    assert {one["fate"] for one in fates} == {"stored"}
    came = {Path(path).stem: hashlib.sha256(body).hexdigest() for path, body in server.stored.items()}
    assert came == records
