"""What every ordeal stands on: pictures, a tiny engine, a daemon with its outside log, a broker and the centre."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon import Daemon, daemon
from mosquitto import Central, Mosquitto
from oracle import Proof, prove, read_log
from tiny_models import a_pack, one_box
from waiting import until

UNLIMITED = ("max_queued_messages 0",)  # else it drops what a slow subscriber has not taken, after its PUBACK
WINDOW = 20
CUT_COPIES = 5 * WINDOW
"""Copies that one cut may cause: what is in flight, and what was acknowledged while a settlement was being written."""
HURRY = {"FIELDGATE_CAMERAS__0__INTERVAL_S": "0.001"}
ID_BYTES = 37  # an id and the end of its line
ENGINE = "tiny-trace"


@dataclass
class Ground:
    """One agent, its broker and its centre.

    Attributes:
        agent: The installed command on a config of its own.
        broker: A real Mosquitto.
        central: Keeps everything that the broker passes on.
        recorded_log: Where the agent says what it has recorded.
    """

    agent: Daemon
    broker: Mosquitto
    central: Central
    recorded_log: Path

    def recorded(self) -> int:
        """How many records the agent has said are committed; cheap."""
        return self.recorded_log.stat().st_size // ID_BYTES if self.recorded_log.exists() else 0

    def heads(self) -> dict[str, int]:
        """The last number of the present epoch, as the database has it."""
        return dict(self.agent.ask("SELECT epoch, seq FROM head"))

    def drained(self) -> bool:
        """Whether every message has been acknowledged and the journal knows it."""
        return self.agent.ask("SELECT count(*) FROM outbox") == [(0,)]

    def prove(self) -> Proof:
        """Hold the outside log against all that came; waits a moment for what the broker still passes on."""
        found: list[Proof] = []

        def holds() -> bool:
            deliveries = [(topic, body) for topic, body, _ in list(self.central.received)]
            found[:] = [prove(read_log(self.recorded_log), deliveries, self.heads())]
            return found[0].holds

        until(holds, within_s=5)
        return found[0]

    def finish(self, within_s: float = 300.0) -> Proof:
        """A last life without a fault, to the end of the pictures; all is delivered, nothing lost or unexplained."""
        self.agent.start(settings=HURRY)
        assert self.agent.wait(within_s) == 0, self.agent.told()[-4000:]
        assert self.drained()
        proof = self.prove()
        assert proof.holds, (sorted(proof.lost), proof.unexplained, proof.broken)
        return proof

    def each_once(self, proof: Proof, images: Path) -> None:
        """Each picture of the folder is exactly one record at the centre."""
        sources = Counter(record["source"] for record in proof.of_kind("inspection"))
        assert sources == Counter(path.name for path in images.iterdir())

    def record_more(self, records: int, *, within_s: float = 30.0) -> None:
        """Wait until the agent has said that so many more are committed, or has ended."""
        least = self.recorded() + records
        assert until(lambda: self.recorded() >= least or not self.agent.running, within_s=within_s), self.agent.told()


@contextlib.contextmanager
def ground(folder: Path, *cameras: Mapping[str, Any], store: Path | None = None, **sections: Any) -> Iterator[Ground]:
    """A broker that runs and an agent that does not yet; ``sections`` are added to its config, key by key."""
    broker = Mosquitto(folder / "broker", lines=UNLIMITED)
    broker.start()
    try:
        with (
            Central(broker.port, "fieldgate/#", name="centre") as central,
            daemon(folder / "agent", config(folder, *cameras, store=store, port=broker.port, **sections)) as agent,
        ):
            yield Ground(agent, broker, central, folder / "recorded.txt")
    finally:
        broker.kill()


def config(folder: Path, *cameras: Mapping[str, Any], store: Path | None, port: int, **sections: Any) -> dict[str, Any]:
    """An agent with a tiny engine that confirms one short on every bright picture."""
    release = {"project": "tiny", "defect_type": "trace", "version": "1.0", "change": "Made for a test"}
    pack = a_pack(folder / "tiny-trace-v1.0", raw=one_box(0.9), pack={**release, "created": "2026-11-22T09:00:00Z"})
    table: dict[str, dict[str, Any]] = {
        "device": {"site": "lab", "name": "bench-1"},
        "store": {"dir": store or folder / "store", "recorded_log": folder / "recorded.txt"},
        "mqtt": {"host": "127.0.0.1", "port": port, "retry_max_s": 1.0, "exit_wait_s": 60, "window": WINDOW},
    }
    for name, keys in sections.items():
        table.setdefault(name, {}).update(keys)
    return {**table, "cameras": [dict(camera) for camera in cameras], "engines": {ENGINE: {"pack": pack}}}


def folder_camera(path: Path, *, every_s: float = 0.0, **keys: Any) -> dict[str, Any]:
    """A camera over a folder, as fast as it goes or at a pace."""
    pace = {"trigger": "interval", "interval_s": every_s} if every_s else {}
    return {"name": "top", "kind": "folder", "path": path, "engine": ENGINE, "record": "all", **pace, **keys}


def pictures(folder: Path, count: int) -> Path:
    """So many names of eight small bright pictures; more can be added later."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        name = folder / f"{number:06d}.png"
        if number < 8:
            cv2.imwrite(str(name), rng.integers(120, 255, (48, 48, 3), np.uint8))
        else:
            os.link(folder / f"{number % 8:06d}.png", name)
    return folder
