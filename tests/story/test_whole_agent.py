import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boards import Boards, demo_boards, real_boards
from consumer import Ledger
from daemon import Daemon, daemon
from mosquitto import Central, Mosquitto, needs_mosquitto, running
from oracle import ledger_bodies
from waiting import until

pytestmark = [needs_mosquitto, pytest.mark.broker, pytest.mark.timeout(300)]

LONG_S = 200.0
UNLIMITED = ("max_queued_messages 0",)  # else it drops what a slow subscriber has not taken, after its PUBACK


@pytest.fixture(params=["real boards", "demo pack"])
def boards(request: pytest.FixtureRequest, tmp_path: Path) -> Boards:
    """Real boards where they are at hand, and the same story on the demo pack everywhere."""
    return real_boards() if request.param == "real boards" else demo_boards(tmp_path / "images")


def config(boards: Boards, store: Path, port: int, **mqtt: Any) -> dict[str, Any]:
    """A daemon that inspects a folder and ends."""
    camera = {
        "name": "top",
        "kind": "folder",
        "path": boards.folder,
        "engine": boards.engine,
        "on_end": "exit",
        "record": "all",
    }
    return {
        "device": {"site": "lab", "name": "bench-1"},
        "cameras": [camera],
        "engines": {boards.engine: {"pack": boards.pack}},
        "store": {"dir": store},
        "mqtt": {"host": "127.0.0.1", "port": port, "retry_max_s": 1.0, "exit_wait_s": 60, **mqtt},
    }


def prove(agent: Daemon, boards: Boards, central: Central) -> Ledger:
    """Each source once in SQLite and at the subscriber, the chain whole, rollups equal to records."""
    stored = agent.ask("SELECT source, count(*) FROM records GROUP BY source")
    assert Counter(dict(stored)) == Counter(boards.sources)
    ledger = Ledger.of(arrived(central))
    ledger.prove_whole(head=agent.ask("SELECT seq FROM head")[0][0])
    assert Counter(one["source"] for one in ledger.of_kind("inspection")) == Counter(boards.sources)
    ledger.prove_rollups_add_up()
    assert agent.count("outbox") == 0
    return ledger


def arrived(central: Central) -> list[bytes]:
    """Every ledger message that the subscriber has, those in batches too."""
    return list(ledger_bodies((topic, body) for topic, body, _ in central.received))


def progress(agent: Daemon, least: int) -> Callable[[], bool]:
    """Whether at least so many records are committed."""
    return lambda: agent.count("records") >= least


def test_every_board_arrives_once(boards: Boards, tmp_path: Path) -> None:
    """A folder of boards ends up, each source exactly once, in SQLite and at a subscriber who can prove it."""
    with running(tmp_path / "broker", lines=UNLIMITED) as broker, Central(broker.port, "fieldgate/#") as central:
        with daemon(tmp_path / "agent", config(boards, tmp_path / "store", broker.port)) as agent:
            agent.start()
            assert agent.wait(LONG_S) == 0, agent.told()
            ledger = prove(agent, boards, central)
        online = [json.loads(body)["state"] for body in central.bodies("fieldgate/1/lab/bench-1/up/online")]
        assert online == ["online", "stopped"]
    evidence = {one["id"]: one["evidence"] for one in ledger.of_kind("inspection") if one["evidence"]}
    pictures = {path.stem: path for path in (tmp_path / "store" / "evidence").rglob("*.jpg")}
    assert set(pictures) == set(evidence)
    for identity, path in pictures.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == evidence[identity]["sha256"]


def test_a_broker_that_is_away_in_the_middle_changes_nothing(boards: Boards, tmp_path: Path) -> None:
    """The broker is stopped in the middle and started later: everything arrives all the same."""
    broker = Mosquitto(tmp_path / "broker", lines=UNLIMITED)
    broker.start()
    try:
        with (
            Central(broker.port, "fieldgate/#", name="central") as central,
            daemon(tmp_path / "agent", config(boards, tmp_path / "store", broker.port)) as agent,
        ):
            agent.start()
            assert until(progress(agent, len(boards.sources) // 4), within_s=LONG_S)
            broker.stop()
            assert until(progress(agent, len(boards.sources) // 2), within_s=LONG_S), "inspection goes on offline"
            assert agent.count("outbox") > 0
            broker.start()
            assert agent.wait(LONG_S) == 0, agent.told()
            prove(agent, boards, central)
    finally:
        broker.kill()


def test_five_kills_lose_nothing(boards: Boards, tmp_path: Path) -> None:
    """The daemon is killed five times on the way: each board exactly once, the chain whole."""
    draw = random.Random(2026)
    total = len(boards.sources)
    with running(tmp_path / "broker", lines=UNLIMITED) as broker, Central(broker.port, "fieldgate/#") as central:
        with daemon(tmp_path / "agent", config(boards, tmp_path / "store", broker.port)) as agent:
            for kill in range(5):
                agent.start()
                # At least a few boards further than the last kill, so that none is in hand at two in a row.
                least = total * kill // 6 + draw.randint(6, max(7, total // 8))
                assert until(progress(agent, least), within_s=LONG_S), agent.told()
                assert agent.running, agent.told()
                agent.kill()
            agent.start()
            assert agent.wait(LONG_S) == 0, agent.told()
            ledger = prove(agent, boards, central)
        restarts = {one["boot"] for one in ledger.messages}
        assert len(restarts) == 6
        assert {one["closed"] for one in ledger.of_kind("rollup")} >= {"restart", "stop"}
        received = len(arrived(central))
        assert received - len(ledger.messages) <= 5 * 20 * 2, "duplicates stay within windows and settlements"
