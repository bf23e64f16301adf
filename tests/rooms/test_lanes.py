"""What leaves first: alerts before the backlog, live records before old ones, pictures last; what leaves in bulk."""

import random
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sync.bulk import LARGEST, RAW, packed
from agent.sync.lanes import PAGE
from agent.sync.wire import Picture
from mosquitto import Central, needs_mosquitto, running
from uplink_rig import LEDGER, TOPICS, Desk, Running, arrived
from waiting import until


class Album:
    """Pictures that wait to be sent."""

    def __init__(self, *bodies: bytes) -> None:
        self.waiting = list(bodies)
        self.asked_within: list[int | None] = []
        self.told: list[tuple[int, int]] = []
        self.mids: list[int] = []
        self.cuts = 0

    def next(self, room_bytes: int | None) -> Picture | None:
        self.asked_within.append(room_bytes)
        if not self.waiting:
            return None
        return Picture(f"{TOPICS.root}/up/evidence/r-1", self.waiting.pop(0), (("record", "r-1"),))

    def sent(self, mid: int) -> None:
        self.mids.append(mid)

    def acknowledged(self, mid: int, code: int) -> None:
        self.told.append((mid, code))

    def cut(self) -> None:
        self.cuts += 1


def publications(desk: Desk) -> list[list[int]]:
    """The ledger messages of each publication, in order."""
    found = []
    for topic, body, _ in desk.server.published:
        if topic == TOPICS.batch:
            found.append([int(one) for one in zlib.decompress(body).split(b"\n")])
        elif topic.startswith(LEDGER):
            found.append([int(body)])
    return found


def test_lanes_leave_in_their_order() -> None:
    """Urgent first, then what came since the connection, then rollups, then what waited before it."""
    desk = Desk(window=3)
    desk.add(3)
    desk.add(2, kind="rollups")
    desk.add(1, kind="alerts")
    desk.server.patient = True
    desk.work()
    assert desk.sent == [6], "online, status and the alert fill the window"
    desk.add(2)
    desk.server.patient = False
    desk.server.answer_waiting()
    desk.work()
    assert desk.sent == [6, 7, 8, 4, 5, 1, 2, 3]
    assert desk.uplink.drained


@pytest.mark.parametrize("batch_bytes", [0, 100_000])
def test_a_backlog_delays_an_alert_by_no_more_than_one_window(batch_bytes: int) -> None:
    """Whenever an alert is committed, it is the next publication after those already in flight."""
    desk = Desk(window=10, batch_bytes=batch_bytes)
    desk.add(20_000, size=600)
    desk.server.patient = True
    desk.work()
    desk.server.answer_waiting(4)
    desk.work()
    before = len(publications(desk))
    desk.add(1, kind="alerts")
    desk.work()
    assert len(publications(desk)) == before
    desk.server.answer_waiting(1)
    desk.work()
    assert publications(desk)[before] == [20_001]


def test_a_backlog_goes_out_in_batches_whose_messages_are_unchanged() -> None:
    """One publication holds many sealed messages, byte for byte; its PUBACK settles all of them at once."""
    desk = Desk(window=5)
    desk.add(2_500, size=600)
    desk.server.patient = True
    desk.work()
    assert desk.disk.told == []
    batches = [one for one in publications(desk) if len(one) > 1]
    assert len(desk.server.waiting_words()) == 5, "a batch counts as one in flight"
    desk.server.answer_waiting(3)  # online, status and the first batch
    desk.work()
    assert desk.disk.told == batches[0]
    desk.server.patient = False
    desk.server.answer_waiting()
    desk.work()
    assert desk.sent == list(range(1, 2_501))
    assert desk.broker.user_properties["content-encoding"] == "zlib"


@pytest.mark.parametrize(("rows", "settings"), [(299, {}), (2_000, {"batch_bytes": 0})])
def test_few_messages_or_a_key_mean_single_messages(rows: int, settings: dict[str, Any]) -> None:
    """Batches begin where 300 wait, and ``batch = "off"`` keeps them away."""
    desk = Desk(rows=rows, **settings)
    for _ in range(8):
        desk.work()
    assert publications(desk) == [[seq] for seq in range(1, rows + 1)]


def test_a_cut_sends_unacknowledged_batches_again_and_settled_ones_not() -> None:
    """What a PUBACK settled is done; the rest goes out again on the next connection."""
    desk = Desk(window=5)
    desk.add(3_000, size=600)
    desk.server.patient = True
    desk.work()
    desk.server.answer_waiting(4)
    desk.work()
    done = set(desk.disk.told)
    desk.broker.cut()
    desk.server.patient = False
    desk.work(after_s=2)
    desk.work(after_s=2)
    assert sorted(desk.disk.told) == list(range(1, 3_001))
    times = Counter(desk.sent)
    assert done.isdisjoint(seq for seq, count in times.items() if count > 1)
    assert desk.shown["resent"] == times.total() - 3_000 > 0


@pytest.mark.parametrize("code", [0x83, 0x99])
def test_a_broker_that_refuses_large_bodies_gets_smaller_batches(code: int) -> None:
    """Mosquitto answers 0x83 above its ``message_size_limit``: batches are halved until they pass."""
    draw = random.Random(7)
    desk = Desk()
    desk.disk.add(3_000)
    for seq, row in list(desk.disk.rows.items()):
        desk.disk.rows[seq] = type(row)(seq, row.kind, b"%d%s" % (seq, b" " * draw.randint(100, 300)))
    largest = 2_000
    desk.server.answer = lambda topic, body: code if topic == TOPICS.batch and len(body) > largest else None
    for _ in range(20):
        desk.work(after_s=61)
    assert sorted(desk.disk.told) == list(range(1, 3_001))
    assert desk.shown["held"] == 0


def test_a_batch_fits_into_the_brokers_largest_packet() -> None:
    """With a limit in CONNACK no packet is larger; where not even a small batch fits, single messages go."""
    for limit in (20_000, 1_000):
        desk = Desk()
        desk.server.maximum_packet_size = limit
        desk.disk.add(2_000, size=200)
        for seq, row in list(desk.disk.rows.items()):
            noise = random.Random(seq).randbytes(100).hex().encode()
            desk.disk.rows[seq] = type(row)(seq, row.kind, b"%d " % seq + b" " * len(noise))
        for _ in range(6):
            desk.work()
        assert sorted(desk.disk.told) == list(range(1, 2_001))
        assert max(len(topic) + len(body) for topic, body, _ in desk.server.published) < limit
        assert (desk.shown["batches"] > 0) == (limit == 20_000)


def test_more_than_a_page_waits_and_everything_leaves_once() -> None:
    """Pages end and begin anywhere; nothing is left out or sent twice."""
    desk = Desk(rows=2 * PAGE + 7, at_once=False, batch_bytes=0)
    for _ in range(80):
        desk.work()
    assert desk.sent == list(range(1, 2 * PAGE + 8))
    desk.disk.commit()
    desk.add(1)
    desk.work()
    assert desk.sent[-1] == 2 * PAGE + 8


def test_pictures_are_served_when_every_lane_is_dry() -> None:
    """A picture waits for all messages, two are in flight at most, and each hears its answer."""
    album = Album(b"one", b"two", b"three")
    desk = Desk(rows=30, pictures=album)
    desk.server.patient = True
    desk.work()
    assert album.mids == []
    desk.server.answer_waiting()
    desk.work()
    assert len(desk.sent) == 30
    assert len(album.mids) == 2
    desk.add(1, kind="alerts")
    desk.work()
    assert desk.sent[-1] == 31, "pictures in flight do not keep an alert back"
    desk.server.patient = False
    desk.server.answer_waiting()
    desk.work()
    assert [mid for mid, _ in album.told] == album.mids
    assert {code for _, code in album.told} == {0}
    assert desk.server.bodies(f"{TOPICS.root}/up/evidence/") == [b"one", b"two", b"three"]


def test_pictures_learn_the_room_of_a_packet_and_of_a_cut() -> None:
    """Where the broker names a largest packet, a picture is told what fits; a cut makes them unknown."""
    album = Album(b"one")
    desk = Desk(pictures=album)
    desk.server.maximum_packet_size = 10_000
    desk.server.patient = True
    desk.work()
    assert len(album.mids) == 1
    assert album.asked_within[0] is not None
    assert 9_000 < album.asked_within[0] < 10_000
    cuts = album.cuts
    desk.broker.cut()
    desk.work()
    assert album.cuts == cuts + 1
    assert album.told == []


@given(st.lists(st.binary(min_size=1, max_size=2_000).filter(lambda body: b"\n" not in body), max_size=60))
def test_a_batch_holds_the_first_messages_and_stays_within_its_bounds(bodies: list[bytes]) -> None:
    """Whatever the messages: unchanged, from the first one on, not more bytes than allowed, or none at all."""
    for largest in (500, 5_000, LARGEST):
        count, body = packed(bodies, largest=largest)
        assert len(body) <= largest
        assert (zlib.decompress(body).split(b"\n") if count else []) == bodies[:count]
        assert count != 1


def test_a_batch_inflates_to_no_more_than_is_promised() -> None:
    """A consumer may refuse what inflates to more than 300,000 bytes."""
    count, body = packed([b"x" * 999] * 1_000)
    assert count == RAW // 1_000
    assert len(zlib.decompress(body)) <= RAW


@needs_mosquitto
@pytest.mark.broker
def test_an_alert_overtakes_a_backlog_at_a_real_broker(tmp_path: Path) -> None:
    """20,000 messages wait; an alert committed in the middle arrives within one window of publications."""
    window, rows = 20, 20_000
    with (
        running(tmp_path / "broker", lines=("max_queued_messages 0",)) as broker,
        Central(broker.port, f"{TOPICS.root}/up/#") as central,
    ):
        agent = Running(broker.port, rows=rows, window=window, batch_bytes=0)
        try:
            assert until(lambda: len(central.received) >= 2_000)
            agent.disk.add(1, kind="alerts")
            agent.uplink.wake()
            settled = agent.uplink.snapshot()["settled"]
            assert until(lambda: b"%d" % (rows + 1) in arrived(central))
        finally:
            agent.end()
        # When the uplink was woken no more than a window was in flight, and each acknowledgement lets one follow.
        assert arrived(central).index(b"%d" % (rows + 1)) <= settled + 2 * window
