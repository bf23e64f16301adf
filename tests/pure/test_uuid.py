import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import Uuid7Source, new_uuid7

YEAR_10000_MS = 253_402_300_800_000


def milliseconds(identity: str) -> int:
    """The wall time in an id of version 7: its first 48 bits (RFC 9562, section 5.7)."""
    return uuid.UUID(identity).int >> 80


@given(st.integers(0, YEAR_10000_MS))
def test_an_id_carries_version_variant_and_time(wall_ms):
    """An id is a UUID of version 7 in RFC 9562's variant, and begins with the milliseconds of wall time."""
    identity = Uuid7Source(lambda: wall_ms).new()
    found = uuid.UUID(identity)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identity)
    assert milliseconds(identity) == wall_ms or wall_ms == 0


@given(st.lists(st.integers(0, YEAR_10000_MS), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_does(times):
    """Ids rise strictly as text, also when the wall clock stands still or jumps back."""
    clock = iter(times)
    source = Uuid7Source(lambda: next(clock))
    made = [source.new() for _ in times]
    assert made == sorted(set(made))


def test_ids_of_many_threads_are_distinct():
    """Four threads that ask at once never get the same id."""
    source = Uuid7Source()
    with ThreadPoolExecutor(4) as pool:
        made = [
            identity
            for batch in pool.map(lambda _: [source.new() for _ in range(2_000)], range(4))
            for identity in batch
        ]
    assert len(set(made)) == 8_000


def test_two_processes_do_not_agree():
    """Two sources with the same clock give different ids: the rest of the bits is random."""
    assert len({Uuid7Source(lambda: 1_800_000_000_000).new() for _ in range(100)}) == 100


def test_an_id_made_now_says_now():
    """The agent's own ids carry the wall time of this moment."""
    before = time.time_ns() // 1_000_000
    made = milliseconds(new_uuid7())
    assert before <= made <= time.time_ns() // 1_000_000
