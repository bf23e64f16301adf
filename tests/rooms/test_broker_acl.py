"""The access list that is shipped, loaded by a real Mosquitto that knows its clients by their certificates."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.sections import MqttSection
from agent.sync.broker import PahoBroker
from agent.sync.wire import Acknowledged, Arrived, Connected, Event, Subscribed, Will
from certificates import authority, certificate, identity, open_to_all
from mosquitto import Mosquitto, needs_mosquitto, running

pytestmark = [needs_mosquitto, pytest.mark.broker]

ACL = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "mosquitto.acl"
OWN, NEIGHBOUR, NAMESAKE = "fieldgate/1/plant-a/cam-7", "fieldgate/1/plant-a/cam-8", "fieldgate/1/plant-b/cam-7"
NOT_AUTHORIZED = 0x87


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mosquitto, Path]]:
    """The broker of the how-to page, and the folder with everybody's certificates."""
    keys = tmp_path_factory.mktemp("keys")
    authority(keys, "ca")
    certificate(keys, "broker", address="IP:127.0.0.1")
    identity(keys, "cam-7", subject="/CN=plant-a\\/cam-7")
    identity(keys, "desk", subject="/CN=desk")
    identity(keys, "collector", subject="/CN=collector")
    shutil.copy(ACL, keys / "fieldgate.acl")
    open_to_all(keys)
    lines = (
        f"cafile {keys / 'ca.crt'}",
        f"certfile {keys / 'broker.crt'}",
        f"keyfile {keys / 'broker.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        f"acl_file {keys / 'fieldgate.acl'}",
    )
    with running(keys / "broker", lines=lines) as broker:
        yield broker, keys


class Client:
    """Somebody with a certificate, connected."""

    def __init__(self, mosquitto: tuple[Mosquitto, Path], name: str) -> None:
        broker, keys = mosquitto
        files = {"ca_file": keys / "ca.crt", "cert_file": keys / f"{name}.crt", "key_file": keys / f"{name}.key"}
        address = {"host": "127.0.0.1", "port": broker.port, "tls": True, "session_s": 0}
        settings = MqttSection.model_validate({**address, **files})
        self._wire = PahoBroker(settings, client_id=name)
        self._wire.connect(Will(f"{OWN}/up/online", b"", retain=False))
        assert isinstance(self.hears(), Connected)

    def says(self, topic: str) -> bool:
        """Publish; whether the broker let it."""
        self._wire.publish(topic, b"word")
        event = self.hears()
        assert isinstance(event, Acknowledged)
        assert event.code in {0, 0x10, NOT_AUTHORIZED}
        return event.code != NOT_AUTHORIZED

    def listens(self, *topics: str) -> None:
        """Subscribe; Mosquitto agrees to anything and filters what it delivers."""
        self._wire.subscribe(topics)
        assert isinstance(self.hears(), Subscribed)

    def hears(self) -> Event:
        """The next event."""
        return self._wire.events.get(timeout=10)

    def close(self) -> None:
        """Disconnect."""
        self._wire.disconnect(graceful=True, wait_s=2)


@pytest.fixture
def device(mosquitto: tuple[Mosquitto, Path]) -> Iterator[Client]:
    """The device cam-7 of plant-a."""
    client = Client(mosquitto, "cam-7")
    yield client
    client.close()


@pytest.fixture
def desk(mosquitto: tuple[Mosquitto, Path]) -> Iterator[Client]:
    """Where commands are given."""
    client = Client(mosquitto, "desk")
    yield client
    client.close()


@pytest.mark.parametrize("branch", ["online", "status", "health", "ledger/inspections", "evidence/x", "replies/c-1"])
def test_a_device_may_say_what_it_has_to_say(device: Client, branch: str) -> None:
    """Everything below its own up/ is taken."""
    assert device.says(f"{OWN}/up/{branch}")


@pytest.mark.parametrize("other", [NEIGHBOUR, NAMESAKE])
def test_a_device_cannot_speak_in_anothers_name(device: Client, other: str) -> None:
    """Neither as another device of its site nor as the device of the same name at another site."""
    assert not device.says(f"{other}/up/ledger/inspections")


@pytest.mark.parametrize("whose", [OWN, NEIGHBOUR, "fieldgate/1/plant-a/all"])
def test_a_device_cannot_give_commands(device: Client, whose: str) -> None:
    """Not even to itself: what lies below down/ is only for hearing."""
    assert not device.says(f"{whose}/down/commands/mode")


def test_a_device_hears_its_own_commands_and_those_for_all_and_no_others(device: Client, desk: Client) -> None:
    """Commands for a neighbour are not delivered to it, though it has asked for everything."""
    device.listens("fieldgate/1/#")
    for whose in (NEIGHBOUR, NAMESAKE, OWN, "fieldgate/1/plant-a/all"):
        assert desk.says(f"{whose}/down/commands/ping")
    heard = [device.hears() for _ in range(2)]
    topics = [event.topic for event in heard if isinstance(event, Arrived)]
    assert topics == [f"{OWN}/down/commands/ping", "fieldgate/1/plant-a/all/down/commands/ping"]


def test_a_consumer_hears_everything_and_gives_no_commands(mosquitto: tuple[Mosquitto, Path], device: Client) -> None:
    """It may say up to where it has stored a ledger, in its own name, and nothing else."""
    collector = Client(mosquitto, "collector")
    collector.listens("fieldgate/1/#")
    assert device.says(f"{OWN}/up/ledger/inspections")
    heard = collector.hears()
    assert isinstance(heard, Arrived)
    assert heard.topic == f"{OWN}/up/ledger/inspections"
    collector.listens("fieldgate/2/#")
    assert not collector.says(f"{OWN}/down/commands/mode")
    assert not collector.says(f"{OWN}/down/receipt/somebody-else")
    collector.close()
