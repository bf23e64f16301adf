"""How much leaves per second and per day, at which hours, and when many devices come back at once."""

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.hours import spans_of, within
from agent.exchange import local_time
from agent.inspection.frame import Moment
from agent.store.outbox import sent_on
from agent.store.settlements import SentBytesEntry
from agent.sync.budget import Bucket, LocalTime
from store_rig import Store, rows
from uplink_rig import LEDGER, SECOND, Desk

NOON = LocalTime("2026-11-24", 12 * 60)


def ledger_bytes(desk: Desk) -> int:
    """Topics and bodies of the ledger messages that were published."""
    return sum(len(topic) + len(body) for topic, body, _ in desk.server.published if topic.startswith(LEDGER))


def test_messages_per_second_are_never_exceeded_for_long() -> None:
    """After ten seconds no more than eleven seconds' worth has left, and no less than nine's."""
    desk = Desk(rows=500, messages_per_s=10, batch_bytes=0)
    desk.work()
    for _ in range(100):
        desk.work(after_s=0.1)
    assert 90 <= len(desk.sent) <= 111


def test_bytes_per_second_are_kept_by_batches_too() -> None:
    """A batch is paid for before the next one goes."""
    desk = Desk(bytes_per_s=5_000, batch_bytes=5_000)
    desk.add(20_000, size=30)
    desk.work()
    for _ in range(100):
        desk.work(after_s=0.1)
    assert 45_000 <= ledger_bytes(desk) <= 60_000
    assert desk.shown["batches"] > 5


def test_an_alert_does_not_wait_for_the_bytes_of_others() -> None:
    """The budget is overdrawn for it, and the others wait the longer."""
    desk = Desk(bytes_per_s=100, batch_bytes=0)
    desk.add(50, size=500)
    desk.work()
    sent = len(desk.sent)
    desk.add(3, kind="alerts")
    desk.work()
    assert desk.sent[sent:] == [51, 52, 53]


def test_a_flood_of_alerts_keeps_the_number_per_second() -> None:
    """Some brokers throw away what is above it: an alert too many would be lost."""
    desk = Desk(messages_per_s=10, batch_bytes=0)
    desk.add(500, kind="alerts")
    desk.work()
    for _ in range(100):
        desk.work(after_s=0.1)
    assert 90 <= len(desk.sent) <= 121


def test_the_budget_of_a_day_counts_across_restarts_and_ends_at_midnight() -> None:
    """What an earlier process sent today counts; alerts go all the same; the next day everything goes."""
    day = [NOON]
    desk = Desk(bytes_per_day=10_000, batch_bytes=0, local=lambda: day[0])
    desk.disk.sent_bytes["2026-11-24"] = 8_000
    desk.add(100, size=300)
    desk.work()
    assert 0 < len(desk.sent) < 10
    sent = len(desk.sent)
    desk.add(1, kind="alerts")
    desk.work(after_s=3_600)
    assert desk.sent[sent:] == [101]
    assert desk.disk.sent_bytes["2026-11-24"] == 8_000 + ledger_bytes(desk) >= 10_000
    assert desk.shown["sent_today"]["limit"] == 10_000
    day[0] = LocalTime("2026-11-25", 0)
    desk.work()
    assert len(desk.sent) > sent + 1
    assert set(desk.disk.sent_bytes) == {"2026-11-24", "2026-11-25"}


def test_a_backlog_waits_for_its_hours_and_what_is_live_does_not() -> None:
    """With a clock that is unset every hour is open: rather early than never."""
    clock: list[LocalTime | None] = [NOON]
    desk = Desk(rows=5, backlog_hours=((22 * 60, 6 * 60),), local=lambda: clock[0])
    desk.work()
    desk.add(2)
    desk.add(1, kind="rollups")
    desk.work(after_s=3_600)
    assert desk.sent == [6, 7, 8]
    assert not desk.uplink.drained
    clock[0] = LocalTime("2026-11-24", 22 * 60)
    desk.work(after_s=1)
    assert desk.sent == [6, 7, 8, 1, 2, 3, 4, 5]
    lost = Desk(rows=5, backlog_hours=((22 * 60, 6 * 60),), local=lambda: None)
    lost.work()
    assert lost.sent == [1, 2, 3, 4, 5]


def test_after_a_reconnect_a_large_backlog_waits_a_random_time_and_a_small_one_does_not() -> None:
    """A plant's devices come back together; what they have saved up does not."""
    for rows_waiting, waits in ((1_000, True), (100, False)):
        desk = Desk(backlog_jitter_s=10, draw=lambda: 0.5)
        desk.work()
        desk.server.reachable = False
        desk.broker.cut()
        desk.work()
        desk.add(rows_waiting)
        desk.server.reachable = True
        desk.work(after_s=60)
        desk.add(1, kind="alerts")
        desk.work(after_s=1)
        assert desk.sent[0 if waits else -1] == rows_waiting + 1
        assert (len(desk.sent) == 1) == waits
        desk.work(after_s=6)
        assert len(desk.sent) == rows_waiting + 1


def test_a_key_bounds_packets_where_the_broker_says_nothing() -> None:
    """With MQTT 3.1.1 no broker can say it."""
    desk = Desk(packet_bytes=1_000)
    desk.disk.add(1, size=2_000)
    desk.disk.add(1)
    desk.work()
    assert desk.sent == [2]
    assert desk.shown["held_messages"][0]["code"] == "too-large"
    assert desk.shown["broker"]["largest_packet"] == 1_000


@given(
    st.floats(0.5, 1e6),
    st.lists(st.tuples(st.integers(0, 5 * SECOND), st.floats(0, 1e6)), min_size=1, max_size=50),
)
def test_a_bucket_gives_no_more_than_its_rate(rate: float, steps: list[tuple[int, float]]) -> None:
    """Whoever takes only when something is left gets no more than rate * time, one second's worth and one piece."""
    bucket, now, taken = Bucket(rate), SECOND, 0.0
    bucket.left(now)
    largest = max(size for _, size in steps)
    for wait, size in steps:
        now += wait
        if bucket.left(now) > 0:
            bucket.take(size)
            taken += size
        due = bucket.due_ns(now)
        assert due is None or bucket.left(due) > -1e-6 * max(rate, largest)
        now = due or now
        assert taken <= rate * (now - SECOND) / SECOND + rate + largest + 1e-3


@pytest.mark.parametrize(
    ("text", "minute", "inside"),
    [
        ("", 0, True),
        ("22:00-06:00", 22 * 60, True),
        ("22:00-06:00", 5 * 60 + 59, True),
        ("22:00-06:00", 6 * 60, False),
        ("08:00-09:30, 12:00-13:00", 12 * 60 + 30, True),
        ("08:00-09:30, 12:00-13:00", 10 * 60, False),
    ],
)
def test_hours_are_read_as_a_person_writes_them(text: str, minute: int, inside: bool) -> None:
    """Spans may cross midnight; their end does not belong to them; no span means always."""
    assert within(spans_of(text), minute) is inside


@pytest.mark.parametrize("text", ["22-6", "24:00-06:00", "22:00", "22:00-06:00;", "nights"])
def test_other_words_for_hours_are_refused(text: str) -> None:
    """The sentence shows how it is written."""
    with pytest.raises(ValueError, match="22:00-06:00"):
        spans_of(text)


def test_the_day_and_the_hour_are_those_of_the_device() -> None:
    """In its own time zone, whatever the messages say in UTC."""
    wall = datetime(2026, 11, 23, 23, 30, tzinfo=timezone.utc)
    there = local_time(Moment(wall, 1, "synced"), ZoneInfo("Europe/Berlin"))
    assert there == LocalTime("2026-11-24", 30)
    assert local_time(Moment(wall, 1, "unset"), timezone.utc) is None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that is closed afterwards."""
    one = Store(tmp_path)
    yield one
    one.stop()


def test_the_bytes_of_a_day_add_up_on_the_disk_and_old_days_go(store: Store) -> None:
    """The last month is kept."""
    for day in range(1, 41):
        for _ in range(2):
            store.journal.put(SentBytesEntry(f"2026-{1 + day // 29:02}-{1 + day % 28:02}", 50))
    store.write()
    kept = rows(store.folder, "SELECT count(*), min(bytes), max(bytes) FROM sent_bytes")
    assert json.dumps(kept) == "[[31, 100, 100]]"
    assert sent_on(store.db, "2026-02-13") == 100
    assert sent_on(store.db, "2025-01-01") == 0
