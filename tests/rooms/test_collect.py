import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.central.collecting import Collector
from agent.central.ledgers import LedgerFile
from agent.central.verifying import verify
from agent.config.sections import MqttSection
from agent.errors import BrokerRefused
from agent.sync.broker import PahoBroker
from chains import ROOT, Chain
from mosquitto import Central, Mosquitto, needs_mosquitto, running
from waiting import until

pytestmark = [needs_mosquitto, pytest.mark.broker]

UP = f"{ROOT}/lab/bench-1/up"


class Desk:
    """A broker, a device's hand on it, and a collector that a test steps."""

    def __init__(self, broker: Mosquitto, path: Path) -> None:
        self.broker = broker
        self.path = path
        self.device = Central(broker.port, f"{ROOT}/+/+/down/#")
        self.file = LedgerFile(path, writing=True)
        self.collector = self.a_collector()

    def a_collector(self, **settings: Any) -> Collector:
        """A collector into the file, with a session that outlives it; its pauses are twenty times shorter."""
        section = MqttSection(host="127.0.0.1", port=self.broker.port, session_s=600, **settings.pop("section", {}))
        wire = PahoBroker(section, client_id=settings.pop("client_id", "collector"))
        hurried = {"consumer": "db", "monotonic": lambda: 20 * time.monotonic(), **settings}
        return Collector(wire, self.file, root=ROOT, **hurried)

    def until(self, condition: Callable[[], object]) -> bool:
        """Let it collect until something holds."""

        def step() -> object:
            self.collector.step(0.02)
            return condition()

        return until(step)

    def listening(self) -> bool:
        """Wait until its subscription stands: a retained message has come."""
        self.device.publish(f"{UP}/status", b'{"ledger": {"epoch": "epoch-1", "head": 1}}', retain=True)
        return self.until(self.file.ledgers)

    def send(self, chain: Chain, numbers: list[int] | None = None) -> None:
        """Publish messages one by one."""
        for topic, body in chain.deliveries(numbers):
            self.device.publish(topic, body)

    def receipts(self) -> list[dict[str, Any]]:
        """What the device was told."""
        return [json.loads(body) for body in self.device.bodies(f"{ROOT}/lab/bench-1/down/receipt/db")]

    def close(self) -> None:
        """End all of it."""
        self.collector.close()
        self.file.close()
        self.device.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with a running broker."""
    with running(tmp_path / "broker") as broker:
        made = Desk(broker, tmp_path / "plant.db")
        yield made
        made.close()


def test_what_devices_say_is_stored_and_proved(desk):
    """Single messages and batches, copies and rubbish: each message once, the rubbish beside them."""
    chain = Chain().alerts(40)
    assert desk.listening()
    desk.send(chain, [1, 2, 3, 2])
    desk.device.publish(f"{UP}/ledger/batch", zlib.compress(b"\n".join(one.body for one in chain.said[2:])))
    desk.device.publish(f"{UP}/ledger/alerts", b"rubbish")
    assert desk.until(lambda: desk.collector.counts.strange)
    (verdict,) = verify(desk.file)
    assert (verdict.proof.received, verdict.proof.complete_up_to, verdict.holds) == (40, 40, True)
    assert verdict.ledger.duplicates == 2
    assert [why for _topic, why, _times in desk.file.strange()] == [
        "not JSON: Expecting value: line 1 column 1 (char 0)"
    ]


def test_a_receipt_names_only_what_is_stored_without_a_hole(desk):
    """It stops before a hole, moves on when the hole is filled or explained, and comes again when a message does."""
    chain = Chain().alerts(6)
    chain.missing(4, 5)
    assert desk.listening()
    desk.send(chain, [1, 2, 6])
    assert desk.until(desk.receipts)
    assert desk.until(lambda: desk.receipts()[-1] == {"epoch": "epoch-1", "upto": 2})
    desk.send(chain, [3])
    assert desk.until(lambda: desk.receipts()[-1] == {"epoch": "epoch-1", "upto": 3})
    desk.send(chain, [7])
    assert desk.until(lambda: desk.receipts()[-1] == {"epoch": "epoch-1", "upto": 7})
    told = len(desk.receipts())
    desk.send(chain, [1])
    assert desk.until(lambda: len(desk.receipts()) > told)
    assert desk.receipts()[-1] == {"epoch": "epoch-1", "upto": 7}


def test_a_receipt_never_goes_beyond_a_break_of_the_chain(desk):
    """A message that does not fit is not confirmed: the device keeps it."""
    chain = Chain().alerts(4)
    assert desk.listening()
    desk.send(chain, [1, 2, 4])
    changed = chain.said[2].body.replace(b'"text":"2"', b'"text":"x"')
    desk.device.publish(f"{UP}/ledger/alerts", changed)
    assert desk.until(lambda: {"epoch": "epoch-1", "upto": 3} in desk.receipts())
    assert desk.receipts()[-1]["upto"] == 3


def test_a_device_that_comes_back_is_told_again(desk):
    """It may have been away when it was told; its status is a sign that it is here."""
    assert desk.listening()
    desk.send(Chain().alerts(2))
    assert desk.until(desk.receipts)
    told = len(desk.receipts())
    desk.device.publish(f"{UP}/online", b'{"state": "online", "boot": "b", "connects": 2}', retain=True)
    assert desk.until(lambda: len(desk.receipts()) > told)


def test_what_was_not_committed_comes_again(desk):
    """The broker is told only after the commit: a collector that dies before it gets the same messages once more."""
    assert desk.listening()
    desk.collector.close()
    desk.send(Chain().alerts(5))
    taken = desk.a_collector()
    desk.collector = taken
    assert desk.until(lambda: desk.collector.counts.stored == 5)
    assert [one.holds for one in verify(desk.file)] == [True]


def test_a_broker_that_restarts_is_found_again(desk):
    """Pauses of a second or more between the attempts; what is published afterwards is stored."""
    assert desk.listening()
    desk.broker.stop()
    assert desk.until(lambda: desk.collector.counts.state.startswith("no connection"))
    desk.broker.start()
    assert desk.until(lambda: desk.collector.counts.connects == 2)


def test_a_broker_that_refuses_ends_it_with_a_sentence(tmp_path):
    """A wrong password is a person's matter, not one to be tried again."""
    with running(tmp_path / "broker", users={"central": "right"}) as broker:
        wire = PahoBroker(MqttSection(host="127.0.0.1", port=broker.port), client_id="collector")
        with LedgerFile(tmp_path / "plant.db", writing=True) as file:
            collector = Collector(wire, file, root=ROOT)
            with pytest.raises(BrokerRefused, match="refuses the connection"):
                until(lambda: collector.step(0.05))
            collector.close()


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """The installed command, run to its end."""
    program = [sys.executable, "-m", "agent", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_the_commands_collect_verify_and_export(tmp_path):
    """From a broker into a file until a signal; verify exits 1 while something is missing; export gives the bytes."""
    chain = Chain().alerts(20)
    path = tmp_path / "plant.db"
    with running(tmp_path / "broker") as broker, Central(broker.port) as device:
        url = f"mqtt://127.0.0.1:{broker.port}"
        first = command("collect", "--broker", url, "--to", path, "--until-quiet", "0.5", "--json")
        assert (first.returncode, json.loads(first.stdout)["stored"]) == (0, 0)
        for topic, body in chain.deliveries([*range(1, 10), *range(11, 21)]):
            device.publish(topic, body)
        program = [sys.executable, "-m", "agent", "collect", "--broker", url, "--to", str(path)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running_one:
            reader = tmp_path / "plant.db"
            assert until(lambda: stored(reader) == 19, within_s=20)
            os.kill(running_one.pid, signal.SIGTERM)
            said, _ = running_one.communicate(timeout=20)
        assert running_one.returncode == 0
        assert "19 messages from 1 devices, 19 of them new" in said
        missing = command("collect", "verify", path)
        assert missing.returncode == 1
        assert "number 10 did not come and no gap explains it" in missing.stdout
        device.publish(*chain.deliveries([10])[0])
        assert command("collect", "--broker", url, "--to", path, "--until-quiet", "0.5").returncode == 0
    whole = command("collect", "verify", path, "--json")
    (ledger,) = json.loads(whole.stdout)["ledgers"]
    assert (whole.returncode, ledger["complete_up_to"], ledger["unexplained"]) == (0, 20, [])
    assert command("collect", "export", path, "--to", tmp_path / "out").returncode == 0
    assert (tmp_path / "out").read_bytes().splitlines() == [one.body for one in chain.said]


def stored(path: Path) -> int:
    """Messages in a file that another process writes."""
    with LedgerFile(path, writing=False) as file:
        return sum(1 for ledger in file.ledgers() for _ in file.bodies(ledger.number))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["collect"], "say where from and where to"),
        (["collect", "--broker", "http://x", "--to", "f"], "is no address"),
        (["collect", "--broker", "mqtt://u:secret@x", "--to", "f"], "use --password-file"),
        (["collect", "--broker", "mqtt://x", "--to", "f", "--receipt", "a/b"], "use letters, digits"),
    ],
)
def test_wrong_words_are_told_in_a_sentence(words, told, tmp_path):
    """Exit code 2, and a password is not repeated."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *words], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "secret" not in done.stderr
