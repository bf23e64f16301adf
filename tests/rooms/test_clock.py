import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.clock import (
    FLOOR,
    Clock,
    ClockState,
    Uuid7Source,
    clock_state,
    judge_clock,
    kernel_boot_id,
    kernel_disciplined,
    new_uuid7,
)

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("wall", "disciplined", "state"),
    [
        pytest.param(NOW, True, "synced", id="steered"),
        pytest.param(NOW, False, "holdover", id="not steered"),
        pytest.param(NOW, None, "holdover", id="the kernel does not say"),
        pytest.param(FLOOR, True, "synced", id="exactly at the floor"),
        pytest.param(FLOOR - timedelta(seconds=1), False, "unset", id="just before the floor"),
        pytest.param(datetime(1970, 1, 1, tzinfo=timezone.utc), True, "unset", id="at the epoch"),
    ],
)
def test_trust(wall: datetime, disciplined: bool | None, state: str) -> None:
    """A clock before 2025 is unset whatever the kernel says; else the kernel's word decides."""
    assert judge_clock(wall, disciplined=disciplined) == state


def test_the_real_kernel_answers() -> None:
    """Reading the kernel's clock needs no privilege and agrees with the judgement of the same answer."""
    answer = kernel_disciplined()
    assert answer in {True, False, None}
    assert clock_state() == judge_clock(datetime.now(timezone.utc), disciplined=answer)


def test_boot_id_is_the_kernels() -> None:
    """The boot id is the kernel's own, and stays the same."""
    told = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert kernel_boot_id() == kernel_boot_id() == told


@pytest.mark.parametrize("content", [None, b"", b"\xff"], ids=["missing", "empty", "not text"])
def test_boot_id_without_a_kernel_that_tells(tmp_path: Path, content: bytes | None) -> None:
    """Where the kernel hides its boot id, the process keeps one of its own."""
    path = tmp_path / "boot_id"
    if content is not None:
        path.write_bytes(content)
    made = kernel_boot_id(path)
    assert uuid.UUID(made).version == 4
    assert kernel_boot_id(path) == made


def test_a_stamp_is_one_moment() -> None:
    """A stamp has aware wall time in UTC and monotonic time that never falls."""
    clock = Clock()
    before = datetime.now(timezone.utc)
    first, second = clock.now(), clock.now()
    assert before <= first.wall <= datetime.now(timezone.utc)
    assert first.wall.utcoffset() == timedelta(0)
    assert first.monotonic_ns <= second.monotonic_ns
    assert first.state == clock_state()


def test_the_kernel_is_asked_once_a_second() -> None:
    """However many frames are stamped, the state is read once a second, and a change is then seen."""
    answers: list[ClockState] = ["holdover", "synced"]
    elapsed = iter([0, 1, 999_999_999, 1_000_000_000, 1_500_000_000])
    clock = Clock(read_state=lambda: answers.pop(0), monotonic_ns=lambda: next(elapsed))
    states = [clock.now().state for _ in range(5)]
    assert states == ["holdover", "holdover", "holdover", "synced", "synced"]


def _at(*milliseconds: int) -> Callable[[], int]:
    moments = iter(milliseconds)
    return lambda: next(moments)


def test_uuid7_follows_rfc_9562() -> None:
    """An id is a version 7 UUID of the RFC's variant that begins with the milliseconds since 1970."""
    made = uuid.UUID(Uuid7Source(_at(0x017F22E279B0)).new())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == 0x017F22E279B0


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([5_000] * 200, id="one millisecond"),
        pytest.param([5_000, 5_001, 5_001, 5_002], id="time passes"),
        pytest.param([9_000_000, 1_000, 1_001, 1_002], id="the wall clock jumps back"),
    ],
)
def test_uuid7_rises(moments: list[int]) -> None:
    """Ids of one process rise strictly as text, also when the wall clock stands still or jumps back."""
    source = Uuid7Source(_at(*moments))
    made = [source.new() for _ in moments]
    assert made == sorted(set(made))
    assert {uuid.UUID(one).version for one in made} == {7}
    assert {uuid.UUID(one).variant for one in made} == {uuid.RFC_4122}


def test_uuid7_from_several_threads() -> None:
    """Threads that make ids at the same time never get the same one, and each sees its own rise."""
    ready = threading.Barrier(4)
    made: list[list[str]] = []

    def make() -> None:
        ready.wait()
        made.append([new_uuid7() for _ in range(500)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for ids in made for one in ids}) == 2000
    assert all(ids == sorted(ids) for ids in made)
