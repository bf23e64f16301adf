"""One suite for every ``Broker``: paho with a real Mosquitto, and the fake that the uplink's tests steer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import pytest

from agent.config.sections import MqttSection
from agent.sync.broker import PahoBroker
from agent.sync.wire import (
    Acknowledged,
    Arrived,
    Broker,
    Connected,
    Disconnected,
    Event,
    Refused,
    Subscribed,
    Unreachable,
    Will,
)
from fakes import FakeBroker, FakeServer
from mosquitto import PROGRAM, Central, Mosquitto
from waiting import until

WILL = Will("site/online", b"lost", retain=True)
E = TypeVar("E", bound=Event)


class Listener(Protocol):
    """The other end."""

    received: list[tuple[str, bytes, bool]]

    def bodies(self, topic_prefix: str) -> list[bytes]: ...

    def publish(self, topic: str, body: bytes) -> None: ...


class Rig(Protocol):
    """A broker to connect to, in one of its two kinds."""

    def broker(self, *, word: str = "right") -> Broker: ...

    def listener(self, *topics: str) -> Listener: ...

    def end(self) -> None: ...


class MosquittoRig:
    def __init__(self, folder: Path, version: Literal["5", "3.1.1"]) -> None:
        users = {"device": "right", "central": "right"}
        self.mosquitto = Mosquitto(folder / "broker", lines=("max_inflight_messages 7",), users=users)
        self.mosquitto.start()
        self._folder, self._version = folder, version
        self._opened: list[Central | PahoBroker] = []

    def broker(self, *, word: str = "right") -> Broker:
        (self._folder / "password").write_text(f"{word}\n", encoding="utf-8")
        settings = MqttSection(
            host="127.0.0.1",
            port=self.mosquitto.port,
            version=self._version,
            username="device",
            password_file=self._folder / "password",
        )
        self._opened.append(broker := PahoBroker(settings, client_id="device"))
        return broker

    def listener(self, *topics: str) -> Listener:
        self._opened.append(central := Central(self.mosquitto.port, *topics, user="central", password="right"))
        return central

    def end(self) -> None:
        self.mosquitto.kill()

    def close(self) -> None:
        for one in self._opened:
            if isinstance(one, Central):
                one.close()
            else:
                one.disconnect(graceful=True, wait_s=2)
        self.end()


class FakeListener:
    def __init__(self, server: FakeServer, topics: tuple[str, ...]) -> None:
        self.received: list[tuple[str, bytes, bool]] = []
        self._server = server
        for topic in topics:
            server.listen(topic, lambda *message: self.received.append(message))

    def bodies(self, topic_prefix: str) -> list[bytes]:
        return [body for topic, body, _ in self.received if topic.startswith(topic_prefix)]

    def publish(self, topic: str, body: bytes) -> None:
        self._server.take(topic, body, retain=False)


class FakeRig:
    def __init__(self) -> None:
        self.server = FakeServer()
        self.server.receive_maximum = 7
        self._broker: FakeBroker | None = None

    def broker(self, *, word: str = "right") -> Broker:
        self.server.refusal = None if word == "right" else 0x87
        self._broker = FakeBroker(self.server)
        return self._broker

    def listener(self, *topics: str) -> Listener:
        return FakeListener(self.server, topics)

    def end(self) -> None:
        self.server.reachable = False
        if self._broker is not None:
            self._broker.cut()

    def close(self) -> None: ...


@pytest.fixture(params=["fake", "paho-5", "paho-3.1.1"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Every broker that there is."""
    if request.param == "fake":
        yield FakeRig()
        return
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed")
    real = MosquittoRig(tmp_path, "5" if request.param == "paho-5" else "3.1.1")
    yield real
    real.close()


def heard(broker: Broker, kind: type[E], *, passing: Callable[[Event], None] = lambda _: None) -> E:
    """The next event of a kind."""
    while True:
        event = broker.events.get(timeout=15)
        if isinstance(event, kind):
            return event
        passing(event)


def test_a_connection_is_announced_once_with_the_brokers_limits(rig: Rig) -> None:
    """``connect`` returns a new number, and ``Connected`` carries it."""
    broker = rig.broker()
    link = broker.connect(WILL)
    event = broker.events.get(timeout=15)
    assert isinstance(event, Connected)
    assert event.link == link
    assert event.retain_available
    assert broker.events.empty()


def test_the_brokers_receive_maximum_is_told(rig: Rig, request: pytest.FixtureRequest) -> None:
    """The number of unacknowledged messages that the broker takes reaches the uplink (MQTT 5)."""
    broker = rig.broker()
    broker.connect(WILL)
    told = heard(broker, Connected).receive_maximum
    assert told == (65_535 if "3.1.1" in request.node.name else 7)


def test_wrong_credentials_are_a_refusal_with_its_code_and_nothing_else(rig: Rig) -> None:
    """A broker that does not know us answers with ``Refused``, once, and no ``Disconnected`` follows."""
    broker = rig.broker(word="wrong")
    link = broker.connect(WILL)
    event = broker.events.get(timeout=15)
    assert isinstance(event, Refused)
    assert (event.link, event.code) in {(link, 0x86), (link, 0x87)}
    again = broker.connect(WILL)
    assert broker.events.get(timeout=15) == Refused(again, event.code, event.text)


def test_a_broker_that_is_not_there_is_unreachable(rig: Rig) -> None:
    """Nobody listening is one ``Unreachable`` with the cause network."""
    broker = rig.broker()
    rig.end()
    link = broker.connect(WILL)
    event = heard(broker, Unreachable)
    assert (event.link, event.cause) == (link, "network")


def test_a_message_with_a_subscriber_is_acknowledged_with_success(rig: Rig) -> None:
    """``publish`` returns the number that ``Acknowledged`` carries, and the body arrives unchanged."""
    listener, broker = rig.listener("site/#"), rig.broker()
    link = broker.connect(WILL)
    heard(broker, Connected)
    mid = broker.publish("site/x", b"\x00\xffbody")
    assert heard(broker, Acknowledged) == Acknowledged(link, mid, 0)
    assert until(lambda: listener.bodies("site/x") == [b"\x00\xffbody"])


def test_a_message_that_nobody_subscribes_to_is_acknowledged_with_0x10(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    """With MQTT 5 the broker tells that nobody listens; with 3.1.1 it cannot."""
    broker = rig.broker()
    link = broker.connect(WILL)
    heard(broker, Connected)
    mid = broker.publish("elsewhere/x", b"body")
    expected = 0 if "3.1.1" in request.node.name else 0x10
    assert heard(broker, Acknowledged) == Acknowledged(link, mid, expected)


def test_a_broken_line_lets_the_broker_speak_the_will(rig: Rig) -> None:
    """Giving a link up without a goodbye publishes the will, retained."""
    listener, broker = rig.listener("site/#"), rig.broker()
    broker.connect(WILL)
    heard(broker, Connected)
    broker.disconnect(graceful=False)
    assert until(lambda: listener.bodies("site/online") == [b"lost"])
    late = rig.listener("site/#")
    assert until(lambda: late.received == [("site/online", b"lost", True)])


def test_a_goodbye_is_sent_after_what_was_published_and_without_the_will(rig: Rig) -> None:
    """A graceful end delivers the last words and keeps the will quiet."""
    listener, broker = rig.listener("site/#"), rig.broker()
    broker.connect(WILL)
    heard(broker, Connected)
    broker.publish("site/online", b"stopped", retain=True)
    broker.disconnect(graceful=True, wait_s=5)
    assert until(lambda: listener.bodies("site/online") == [b"stopped"])
    # A new connection of the same client would make a broker speak a will that it still holds.
    broker.connect(WILL)
    heard(broker, Connected)
    assert listener.bodies("site/online") == [b"stopped"]


def test_a_retained_message_is_kept_for_later_subscribers(rig: Rig) -> None:
    """``retain`` makes the broker show the last message to whoever comes."""
    broker = rig.broker()
    broker.connect(WILL)
    heard(broker, Connected)
    broker.publish("site/status", b"1", retain=True)
    broker.publish("site/status", b"2", retain=True)
    heard(broker, Acknowledged)
    heard(broker, Acknowledged)
    late = rig.listener("site/#")
    assert until(lambda: late.received == [("site/status", b"2", True)])


def test_a_command_that_was_not_acknowledged_comes_again(rig: Rig) -> None:
    """What was not acknowledged is delivered again on the next link; what was is not."""
    central, broker = rig.listener("none"), rig.broker()
    broker.connect(WILL)
    heard(broker, Connected)
    broker.subscribe(["site/down/+"])
    assert heard(broker, Subscribed).codes == (1,)
    central.publish("site/down/first", b"1")
    broker.acknowledge(heard(broker, Arrived))
    central.publish("site/down/second", b"2")
    lost = heard(broker, Arrived)
    assert (lost.topic, lost.body, lost.retained) == ("site/down/second", b"2", False)
    broker.disconnect(graceful=True, wait_s=5)
    link = broker.connect(WILL)
    assert heard(broker, Connected).session_present
    again = heard(broker, Arrived)
    assert (again.link, again.topic, again.body) == (link, "site/down/second", b"2")


def test_the_end_of_a_broker_is_a_disconnect_event(rig: Rig) -> None:
    """A connection that ends by itself is announced once."""
    broker = rig.broker()
    link = broker.connect(WILL)
    heard(broker, Connected)
    rig.end()
    assert heard(broker, Disconnected).link == link
    assert broker.events.empty()


def test_each_attempt_has_its_own_number(rig: Rig) -> None:
    """Events of an earlier link can be told from those of the present one."""
    broker = rig.broker()
    first = broker.connect(WILL)
    heard(broker, Connected)
    second = broker.connect(WILL)
    event = heard(broker, Connected)
    assert first != second == event.link


def test_publishing_on_a_link_that_has_just_broken_raises_nothing(rig: Rig) -> None:
    """The message is lost, which the coming ``Disconnected`` tells."""
    broker = rig.broker()
    broker.connect(WILL)
    heard(broker, Connected)
    rig.end()
    mids = {broker.publish("site/x", b"1"), broker.publish("site/x", b"2")}
    assert len(mids) == 2
    heard(broker, Disconnected)
