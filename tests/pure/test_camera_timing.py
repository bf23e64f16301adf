import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.camera.backoff import delay_s
from agent.camera.pace import Pace
from agent.camera.stillness import Stillness
from fakes import a_picture

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (60, 30.0), (10_000, 30.0)]
)
def test_the_ceiling_doubles_up_to_the_longest(attempt: int, ceiling: float) -> None:
    """With the largest draw a wait is 0.5 s, then twice as long each time, and never above the longest."""
    assert delay_s(attempt, 1.0, longest=30.0) == ceiling


@given(attempt=st.integers(0, 10_000), draw=st.floats(0, 1), longest=st.floats(0.1, 3_600))
def test_the_jitter_is_full(attempt: int, draw: float, longest: float) -> None:
    """A wait lies anywhere between nothing and its ceiling, in proportion to the draw."""
    assert delay_s(attempt, draw, longest=longest) == draw * delay_s(attempt, 1.0, longest=longest)
    assert 0.0 <= delay_s(attempt, draw, longest=longest) <= longest


@given(late=st.lists(st.integers(0, SECOND), min_size=1, max_size=50))
def test_a_schedule_does_not_drift(late: list[int]) -> None:
    """However late each frame is taken within its interval, the n-th is due n intervals after the first."""
    pace, start = Pace(SECOND), 7 * SECOND
    for n, delay in enumerate(late):
        assert pace.due_ns(start + n * SECOND + delay * (n > 0)) == start + n * SECOND
        pace.taken()


def test_who_falls_behind_gets_no_burst() -> None:
    """After a pause of many intervals the schedule starts anew instead of catching up."""
    pace = Pace(SECOND)
    pace.due_ns(0)
    pace.taken()
    assert pace.due_ns(100 * SECOND) == 100 * SECOND
    pace.taken()
    assert pace.due_ns(100 * SECOND + 1) == 101 * SECOND


def test_a_picture_that_stays_the_same_is_frozen_after_the_limit() -> None:
    """Bit-identical pictures are frozen once they have come for the limit, not before."""
    stillness = Stillness(10.0)
    seen = [stillness.frozen(a_picture(3), n * SECOND) for n in range(12)]
    assert seen == [False] * 10 + [True] * 2


def test_one_different_bit_is_life() -> None:
    """A change of one bit in one pixel, in the coarse sample or beside it, starts the count anew."""
    for place in ((0, 0, 0), (17, 33, 2)):
        stillness = Stillness(10.0)
        stillness.frozen(a_picture(3), 0)
        other = a_picture(3)
        other[place] ^= 1
        assert not stillness.frozen(other, 9 * SECOND)
        assert not stillness.frozen(other.copy(), 18 * SECOND)
        assert stillness.frozen(other.copy(), 19 * SECOND)


def test_a_reopened_camera_stays_suspect_until_it_shows_something_else() -> None:
    """After reopening, the frozen picture has the whole limit again, and counts as suspect meanwhile."""
    stillness = Stillness(10.0)
    stillness.frozen(a_picture(3), 0)
    assert stillness.frozen(a_picture(3), 10 * SECOND)
    stillness.reopened(20 * SECOND)
    assert not stillness.frozen(a_picture(3), 29 * SECOND)
    assert stillness.suspect
    assert not stillness.frozen(a_picture(4), 29 * SECOND)
    assert not stillness.suspect


def test_another_size_is_another_picture() -> None:
    """Pictures of different sizes are never the same."""
    stillness = Stillness(1.0)
    stillness.frozen(np.zeros((48, 64, 3), np.uint8), 0)
    assert not stillness.frozen(np.zeros((64, 48, 3), np.uint8), 2 * SECOND)
