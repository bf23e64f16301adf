"""Pictures by MQTT: handed over on one thread, taken by the uplink's, settled by the broker's word."""

import threading
from collections.abc import Callable, Iterator

import pytest

from agent.config.upload import UploadSection
from agent.ledger.sealing import sha256_hex
from agent.store.pictures import KeptPicture
from agent.sync.delivery import Meaning, Outcome
from agent.sync.mqtt_pictures import MqttPictures
from agent.sync.parcels import Parcels
from agent.sync.topics import Topics
from agent.sync.wire import Picture
from waiting import until

TOPICS = Topics.of("fieldgate/1", "plant-a", "cam-7")
BODY = b"\xff\xd8" + b"x" * 998
PARCEL = Picture("fieldgate/1/plant-a/cam-7/up/evidence/r1", BODY, (("record", "r1"),))


def a_picture(body: bytes = BODY) -> KeptPicture:
    """The row of a picture with these bytes."""
    sha256 = sha256_hex(body)
    at = "2026-11-22T09:00:00.123456Z"
    return KeptPicture("r1", "top", "fail", "x.jpg", len(body), sha256, at, "kept", asked=False, held=False, attempts=0)


class Delivery:
    """Parcels with a thread that waits for what becomes of one; the test plays the uplink."""

    def __init__(self, timeout_s: float = 30.0) -> None:
        self.stop = threading.Event()
        self.woken = threading.Event()
        self.parcels = Parcels(require_subscriber=True, timeout_s=timeout_s, stop=self.stop)
        self.parcels.attach(self.woken.set)
        self.came: list[Outcome] = []
        self._thread: threading.Thread | None = None

    def begin(self, send: Callable[[], Outcome] | None = None) -> None:
        """Hand a parcel over on another thread."""
        self._thread = threading.Thread(target=lambda: self.came.append((send or self._deliver)()))
        self._thread.start()
        assert self.woken.wait(5)

    def _deliver(self) -> Outcome:
        return self.parcels.deliver(PARCEL)

    def outcome(self) -> Outcome:
        """What became of it."""
        assert self._thread is not None
        self._thread.join(5)
        (came,) = self.came
        return came


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    """A parcel's way; nobody waits at the end."""
    one = Delivery()
    yield one
    one.stop.set()


def test_a_parcel_is_delivered_by_the_brokers_word(delivery: Delivery) -> None:
    """Only its acknowledgement settles it, and its address says where it went."""
    delivery.begin()
    assert delivery.parcels.next(None) == PARCEL
    assert delivery.parcels.next(None) is None, "it is given once"
    delivery.parcels.sent(7)
    delivery.parcels.acknowledged(8, 0)
    assert delivery.came == []
    delivery.parcels.acknowledged(7, 0)
    assert delivery.outcome() == Outcome(Meaning.STORED, sent=1_000, url=f"mqtt:{PARCEL.topic}")


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (0x10, Meaning.LATER),
        (0x80, Meaning.LATER),
        (0x97, Meaning.LATER),
        (0x87, Meaning.FORBIDDEN),
        (0x99, Meaning.REFUSED),
    ],
)
def test_a_word_against_it_says_what_is_next(delivery: Delivery, code: int, meaning: Meaning) -> None:
    """The same table as for messages: nobody listens, not now, not permitted, not this one."""
    delivery.begin()
    delivery.parcels.next(None)
    delivery.parcels.sent(1)
    delivery.parcels.acknowledged(1, code)
    outcome = delivery.outcome()
    assert (outcome.meaning, outcome.code, outcome.sent) == (meaning, f"0x{code:02X}", 1_000)


def test_a_connection_that_ends_leaves_it_in_doubt(delivery: Delivery) -> None:
    """It is sent again later, and its bytes count as sent."""
    delivery.begin()
    delivery.parcels.next(None)
    delivery.parcels.sent(1)
    delivery.parcels.cut()
    assert delivery.outcome() == Outcome(Meaning.LATER, "network", "the connection to the broker ended", 1_000)


def test_a_parcel_that_does_not_fit_the_broker_is_never_sent(delivery: Delivery) -> None:
    """It would end the connection; the user properties count."""
    delivery.begin()
    assert delivery.parcels.next(1_000 + len("record") + len("r1") - 1) is None
    outcome = delivery.outcome()
    assert (outcome.meaning, outcome.code, outcome.sent) == (Meaning.NEVER, "too-large", 0)


def test_nobody_waits_for_a_broker_that_is_away() -> None:
    """After the time-out it is taken back and can never be sent twice."""
    delivery = Delivery(timeout_s=0.2)
    delivery.begin()
    outcome = delivery.outcome()
    assert (outcome.meaning, outcome.code) == (Meaning.LATER, "offline")
    assert delivery.parcels.next(None) is None


@pytest.mark.parametrize("on_the_wire", [False, True])
def test_a_stop_ends_the_wait(delivery: Delivery, on_the_wire: bool) -> None:
    """Whether it waits or is on the wire."""
    delivery.begin()
    if on_the_wire:
        delivery.parcels.next(None)
        delivery.parcels.sent(1)
    delivery.stop.set()
    assert delivery.outcome().code == "stopped"


def test_a_picture_goes_to_its_topic_with_record_hash_and_size(delivery: Delivery) -> None:
    """What a consumer needs to store it without opening it."""
    settings = UploadSection.model_validate({"how": "mqtt", "mqtt_max_kb": 1})
    way = MqttPictures(delivery.parcels, TOPICS, settings, stop=delivery.stop)
    delivery.begin(lambda: way.send(a_picture(), BODY))
    given = delivery.parcels.next(None)
    assert given is not None
    assert given.topic == "fieldgate/1/plant-a/cam-7/up/evidence/r1"
    assert dict(given.user_properties) == {"record": "r1", "sha256": sha256_hex(BODY), "size": "1000"}
    assert given.body == BODY
    delivery.parcels.sent(1)
    delivery.parcels.acknowledged(1, 0)
    assert delivery.outcome().meaning is Meaning.STORED


def test_a_picture_above_the_limit_does_not_reach_the_uplink(delivery: Delivery) -> None:
    """``upload.mqtt_max_kb`` holds whatever the broker would take."""
    settings = UploadSection.model_validate({"how": "mqtt", "mqtt_max_kb": 1})
    outcome = MqttPictures(delivery.parcels, TOPICS, settings, stop=delivery.stop).send(a_picture(), BODY + b"y")
    assert (outcome.meaning, outcome.code) == (Meaning.NEVER, "too-large")
    assert delivery.parcels.next(None) is None


def test_the_pace_is_kept_by_a_pause_after_each_picture(delivery: Delivery) -> None:
    """With 1 kB per second a picture of 1 kB is followed by a pause, which a stop ends."""
    settings = UploadSection.model_validate({"how": "mqtt", "kb_per_s": 1})
    way = MqttPictures(delivery.parcels, TOPICS, settings, stop=delivery.stop)
    delivery.begin(lambda: way.send(a_picture(), BODY))
    delivery.parcels.next(None)
    delivery.parcels.sent(1)
    delivery.parcels.acknowledged(1, 0)
    assert not until(lambda: delivery.came, within_s=0.5)
    delivery.stop.set()
    assert delivery.outcome().meaning is Meaning.STORED
