"""The encrypted wire: what it accepts, and what it will not talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.sections import MqttSection
from agent.sync.broker import PahoBroker
from agent.sync.wire import Connected, Event, Refused, Unreachable, Will
from certificates import authority, certificate, identity, open_to_all
from mosquitto import Mosquitto, needs_mosquitto, running

pytestmark = [needs_mosquitto, pytest.mark.broker]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, a broker for this address and one for another, and a device."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ca", "stranger"):
        authority(folder, name)
    certificate(folder, "broker", address="IP:127.0.0.1")
    certificate(folder, "elsewhere", address="DNS:elsewhere.example")
    certificate(folder, "device", address="DNS:device")
    identity(folder, "expired", subject="/CN=device", days=-1)
    identity(folder, "foreign", subject="/CN=device", signer="stranger")
    return open_to_all(folder)


def tls_lines(keys: Path, name: str, *more: str) -> tuple[str, ...]:
    """Mosquitto's configuration for a certificate."""
    return (f"cafile {keys / 'ca.crt'}", f"certfile {keys / f'{name}.crt'}", f"keyfile {keys / f'{name}.key'}", *more)


@pytest.fixture
def mutual(keys: Path, tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that wants to see the device's certificate."""
    with running(tmp_path / "broker", lines=tls_lines(keys, "broker", "require_certificate true")) as broker:
        yield broker


def first_word(mosquitto: Mosquitto, **settings: object) -> Event:
    """What a connection with these settings comes to."""
    section = MqttSection.model_validate({"host": "127.0.0.1", "port": mosquitto.port, "tls": True, **settings})
    broker = PahoBroker(section, client_id="device")
    broker.connect(Will("x", b"", retain=False))
    event = broker.events.get(timeout=15)
    broker.disconnect(graceful=True, wait_s=2)
    return event


def test_both_sides_show_their_certificates(mutual: Mosquitto, keys: Path) -> None:
    """With the authority, the certificate and the key, the connection stands."""
    files = {"ca_file": keys / "ca.crt", "cert_file": keys / "device.crt", "key_file": keys / "device.key"}
    assert isinstance(first_word(mutual, **files), Connected)


def test_a_device_without_a_certificate_is_turned_away(mutual: Mosquitto, keys: Path) -> None:
    """A broker that requires one ends the attempt, which is a state and no crash."""
    assert isinstance(first_word(mutual, ca_file=keys / "ca.crt"), Unreachable | Refused)


@pytest.mark.parametrize(("name", "why"), [("expired", "certificate expired"), ("foreign", "unknown ca")])
def test_a_device_whose_certificate_is_not_taken_is_told_why(
    mutual: Mosquitto, keys: Path, name: str, why: str
) -> None:
    """An expired certificate and one of another authority are refused, in a sentence that names the file's key."""
    files = {"ca_file": keys / "ca.crt", "cert_file": keys / f"{name}.crt", "key_file": keys / f"{name}.key"}
    event = first_word(mutual, **files)
    assert isinstance(event, Unreachable)
    assert event.cause == "tls"
    assert why in event.text
    assert "mqtt.cert_file" in event.text


def test_a_broker_of_a_strange_authority_is_not_talked_to(mutual: Mosquitto, keys: Path) -> None:
    """Its certificate is not signed by ``ca_file``: cause tls."""
    event = first_word(mutual, ca_file=keys / "stranger.crt")
    assert isinstance(event, Unreachable)
    assert event.cause == "tls"
    assert "certificate verify failed" in event.text


def test_a_broker_with_a_certificate_for_another_name_is_not_talked_to(keys: Path, tmp_path: Path) -> None:
    """The host name is always checked; there is no key to turn that off."""
    with running(tmp_path / "broker", lines=tls_lines(keys, "elsewhere")) as broker:
        event = first_word(broker, ca_file=keys / "ca.crt")
    assert isinstance(event, Unreachable)
    assert event.cause == "tls"


@pytest.mark.parametrize("missing", ["ca_file", "cert_file"])
def test_a_missing_file_is_a_reason_that_names_it(mutual: Mosquitto, keys: Path, missing: str) -> None:
    """The technician reads which file it is."""
    files = {"ca_file": keys / "ca.crt", "key_file": keys / "device.key", missing: keys / "nowhere.crt"}
    event = first_word(mutual, **files)
    assert isinstance(event, Unreachable)
    assert event.cause == "tls"
    assert "nowhere.crt" in event.text


def test_a_broker_that_speaks_no_tls_is_not_talked_to(tmp_path: Path, keys: Path) -> None:
    """Encryption is never given up silently."""
    with running(tmp_path / "broker") as broker:
        event = first_word(broker, ca_file=keys / "ca.crt")
    assert isinstance(event, Unreachable)
