"""When to try again, and what a broker's answer means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sync.pace import SECOND_NS, Pace
from agent.sync.retry import PUBACK_CODES, Settlement, bad_credentials, delay_s, puback_text, settlement

S, H, B, F, R = (
    Settlement.SETTLE,
    Settlement.HOLD,
    Settlement.BACK_OFF,
    Settlement.FORBIDDEN,
    Settlement.REJECTED,
)


@pytest.mark.parametrize(
    ("code", "required", "free"),
    [
        (0x00, S, S),
        (0x10, H, S),  # no matching subscribers
        (0x80, B, B),
        (0x83, B, B),
        (0x87, F, F),  # not authorized
        (0x90, R, R),  # topic name invalid
        (0x91, B, B),
        (0x97, B, B),  # quota exceeded
        (0x99, R, R),  # payload format invalid
        (0x01, S, S),  # not in the standard's table: judged by its half
        (0x7F, S, S),
        (0x8A, B, B),
        (0xFF, B, B),
    ],
)
def test_each_acknowledgement_means_one_thing(code: int, required: Settlement, free: Settlement) -> None:
    """Only a success settles; ``require_subscriber`` decides about nobody listening."""
    assert settlement(code, require_subscriber=True) is required
    assert settlement(code, require_subscriber=False) is free


def test_no_failure_ever_settles() -> None:
    """Over all 256 codes, 0x80 and above keep the message."""
    for code in range(0x80, 0x100):
        assert settlement(code, require_subscriber=False) is not Settlement.SETTLE


def test_every_code_of_the_standard_is_named() -> None:
    """A code is shown in words and in hexadecimal, an unknown one too."""
    assert puback_text(0x97) == "quota exceeded (0x97)"
    assert puback_text(0xC1) == "unknown answer (0xC1)"
    assert set(PUBACK_CODES) == {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}


@pytest.mark.parametrize(
    ("code", "credentials"),
    [(0x86, True), (0x87, True), (4, True), (5, True), (0x88, False), (3, False), (0x9A, False)],
)
def test_a_refusal_is_about_who_we_are_or_about_the_broker(code: int, credentials: bool) -> None:
    """Codes of MQTT 5 and of 3.1.1."""
    assert bad_credentials(code) is credentials


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.01, 10), st.floats(10, 1_000))
def test_a_wait_never_leaves_its_bounds(attempt: int, draw: float, first: float, longest: float) -> None:
    """From nothing to the smaller of the doubled first and the longest wait, for any number of failures."""
    wait = delay_s(attempt, draw, first=first, longest=longest)
    assert 0 <= wait <= min(longest, first * 2.0 ** min(attempt, 32)) + 1e-9


def test_the_bound_doubles_with_each_failure() -> None:
    """1, 2, 4, 8, ... seconds up to the longest, with the largest draw."""
    assert [delay_s(n, 1.0, first=1, longest=60) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.lists(st.floats(0, 0.999), min_size=2, max_size=40))
def test_there_is_at_most_one_attempt_per_second(draws: list[float]) -> None:
    """Whatever is drawn, and however fast attempts fail."""
    line = iter(draws)
    pace = Pace(draw=lambda: next(line), longest_s=60, now_ns=0)
    now = 0
    for _ in draws:
        pace.attempted(now)
        pace.lost(now)
        assert pace.connect_at_ns - now >= SECOND_NS
        now = pace.connect_at_ns


def planned_s(pace: Pace, now_s: int) -> float:
    """How long after now the next attempt is, when the line is lost now."""
    pace.lost(now_s * SECOND_NS)
    return pace.connect_at_ns / SECOND_NS - now_s


def test_a_broker_that_accepts_and_drops_is_tried_ever_more_rarely() -> None:
    """A connection alone does not start the backoff again."""
    pace = Pace(draw=lambda: 1.0, longest_s=60, now_ns=0)
    waits = []
    for now_s in (0, 100, 200, 300):
        pace.attempted(now_s * SECOND_NS)
        pace.connected(now_s * SECOND_NS)
        waits.append(planned_s(pace, now_s + 1))
    assert waits == [1, 2, 4, 8]


def test_only_a_minute_of_connection_starts_the_backoff_again() -> None:
    """A broker that takes a message and hangs up has proved nothing."""
    for minute in (False, True):
        pace = Pace(draw=lambda: 1.0, longest_s=60, now_ns=0)
        for now_s in (0, 10, 20):
            pace.lost(now_s * SECOND_NS)
        pace.connected(100 * SECOND_NS)
        pace.settled()
        assert planned_s(pace, 160 if minute else 101) == (1 if minute else 8)


def test_many_refusals_of_one_pause_count_once() -> None:
    """A whole window that bounces is one failure, not twenty."""
    pace = Pace(draw=lambda: 1.0, longest_s=60, now_ns=0)
    for _ in range(20):
        pace.pause(0)
    assert pace.send_at_ns == SECOND_NS
    pace.pause(SECOND_NS)
    assert pace.send_at_ns == 3 * SECOND_NS
