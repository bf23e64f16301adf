import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.handoff import Bell, Blocking, Bounded, Heartbeat, Latest

T = TypeVar("T")

SOON_S = 20.0
"""Longest time that something which must happen may take on a busy machine."""


def started(body: Callable[[], T]) -> "Future[T]":
    """Run ``body`` on a thread of its own, one that a failed test can leave behind; its result, later."""
    result: Future[T] = Future()
    threading.Thread(target=lambda: result.set_result(body()), daemon=True).start()
    return result


@pytest.mark.parametrize(
    "give",
    [
        lambda bell: Latest[int](bell).put(1),
        lambda bell: Bounded[int](bell, size=1).offer(1),
        lambda bell: Blocking[int](bell, size=1).put(1),
        lambda bell: bell.ring(),
    ],
    ids=["latest", "bounded", "blocking", "by hand"],
)
def test_whatever_arrives_rings_the_bell(give: Callable[[Bell], object]) -> None:
    """An arrival in any kind of place wakes the sleeper, also when it came before the sleep."""
    bell = Bell()
    give(bell)
    assert bell.wait(SOON_S)
    assert not bell.wait(0)


def test_a_sleeper_is_woken_by_another_thread() -> None:
    """A thread that sleeps on the bell goes on when another one rings it."""
    bell = Bell()
    woken = started(lambda: bell.wait(SOON_S))
    bell.ring()
    assert woken.result(SOON_S)


def test_a_refused_item_does_not_ring() -> None:
    """What found no room wakes nobody."""
    bell = Bell()
    queue = Bounded[int](bell, size=1)
    queue.offer(1)
    bell.wait(0)
    assert not queue.offer(2)
    assert not bell.wait(0)


@given(st.lists(st.none() | st.integers()))
def test_latest_accounts_for_every_item(steps: list[int | None]) -> None:
    """Whatever the order of puts and takes, each item was taken, replaced and counted, or still waits."""
    slot = Latest[int](Bell())
    put, taken, replaced, newest = 0, 0, 0, None
    for step in [*steps, None]:
        if step is not None:
            slot.put(step)
            put, newest = put + 1, step
            continue
        item, missed = slot.take()
        assert item == newest
        taken, replaced, newest = taken + (item is not None), replaced + missed, None
    assert taken + replaced == put
    assert len(slot) == 0


def test_latest_counts_across_threads() -> None:
    """With a giver and a taker racing, taken and replaced still add up to what was put, newest last."""
    slot, count = Latest[int](Bell()), 20_000
    done = threading.Event()

    def give() -> None:
        for number in range(1, count + 1):
            slot.put(number)
        done.set()

    taken: list[int] = []
    replaced = 0
    giver = started(give)
    over = False
    while not over:
        over = done.is_set()  # asked before the take, so that the last take sees everything
        item, missed = slot.take()
        if item is not None:
            taken.append(item)
            replaced += missed
    giver.result(SOON_S)
    assert len(taken) + replaced == count
    assert taken == sorted(taken)
    assert taken[-1] == count


@given(st.integers(1, 5), st.lists(st.none() | st.integers()))
def test_bounded_refuses_instead_of_losing(size: int, steps: list[int | None]) -> None:
    """A bounded queue gives back what it accepted, in order, and accepts exactly while there is room."""
    queue = Bounded[int](Bell(), size=size)
    model: list[int] = []
    for step in steps:
        assert queue.peek() == (model[0] if model else None)
        if step is None:
            assert queue.take() == (model.pop(0) if model else None)
        else:
            room = len(model) < size
            assert queue.offer(step) is room
            model += [step] if room else []
        assert len(queue) == len(model)


def test_blocking_never_drops() -> None:
    """A giver that is faster than the taker waits: every item arrives, once, in order."""
    bell, count = Bell(), 2_000
    queue = Blocking[int](bell, size=3)

    def give() -> int:
        return sum(queue.put(number) for number in range(count))

    accepted = started(give)
    taken: list[int] = []
    while len(taken) < count:
        assert len(queue) <= 3
        item = queue.take()
        if item is not None:
            taken.append(item)
        else:
            assert bell.wait(SOON_S)
    assert accepted.result(SOON_S) == count
    assert taken == list(range(count))
    assert queue.take() is None


def test_closing_lets_waiting_givers_go() -> None:
    """A giver that waits for room is told no when the queue closes; what was accepted can still be taken."""
    bell = Bell()
    queue = Blocking[str](bell, size=1)
    assert queue.put("accepted")
    assert bell.wait(0)
    about_to_wait = threading.Barrier(3)

    def give() -> bool:
        about_to_wait.wait(SOON_S)
        return queue.put("refused")

    givers = [started(give) for _ in range(2)]
    about_to_wait.wait(SOON_S)
    assert not bell.wait(0.1)  # there is no room: both wait
    queue.close()
    assert [giver.result(SOON_S) for giver in givers] == [False, False]
    assert queue.put("too late") is False
    assert queue.take() == "accepted"
    assert queue.take() is None


def test_a_heartbeat_ages_until_the_next_beat() -> None:
    """The age counts from the last beat."""
    heart = Heartbeat()
    waited = threading.Event()
    waited.wait(0.02)
    old = heart.age_s()
    heart.beat()
    assert old >= 0.02
    assert heart.age_s() < old
