from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store.budget import (
    MB,
    Quotas,
    Usage,
    is_low,
    messages_to_free,
    pictures_to_free,
    room_for_pictures,
    to_json,
)

QUOTAS = Quotas(database=100 * MB, evidence=1000 * MB, packs=0, free=500 * MB, ballast=16 * MB)
USAGE = Usage(
    database=50 * MB,
    unused=10 * MB,
    evidence=900 * MB,
    held=0,
    classes={"fail": 900 * MB},
    packs=0,
    free=5000 * MB,
    evidence_free=5000 * MB,
    together=True,
)


def used(*, together: bool = True, **megabytes: int) -> Usage:
    """Sizes in MB."""
    return replace(USAGE, together=together, **{key: one * MB for key, one in megabytes.items()})  # type: ignore[arg-type]


def test_within_the_budget_nothing_goes():
    """No picture and no message goes while there is room."""
    assert pictures_to_free(USAGE, QUOTAS, low=False) == 0
    assert messages_to_free(USAGE, QUOTAS, stuck=False) == 0
    assert room_for_pictures(USAGE, QUOTAS)


@pytest.mark.parametrize(
    ("usage", "low", "megabytes"),
    [
        (used(evidence=1010), False, 40),  # down to 97 percent
        (used(evidence_free=400), True, 150),  # up to 110 percent of the floor
        (used(evidence=1010, evidence_free=540), True, 40),  # the larger of both
        (used(evidence=30, evidence_free=100), True, 30),  # never more than there is
        (used(evidence=1010, held=1000), False, 10),  # never what is held
    ],
)
def test_pictures_go_for_their_quota_and_for_free_space(usage, low, megabytes):
    """So many bytes must go that it does not begin again at once."""
    assert pictures_to_free(usage, QUOTAS, low=low) == megabytes * MB


@pytest.mark.parametrize(
    ("usage", "stuck", "megabytes"),
    [
        (used(database=89), False, 0),
        (used(database=91), False, 6),  # down to 85 percent
        (used(unused=0, evidence=0), False, 0),
        (used(unused=1, evidence=0), True, 0),
        (used(unused=0, evidence=0), True, 1),  # one MB of its pages holds nothing
        (used(unused=0, evidence=100, held=100), True, 1),
        (used(unused=0), True, 0),  # pictures go first
        (used(unused=0, together=False), True, 1),  # and do not help from another disk
    ],
)
def test_messages_go_for_their_quota_and_where_the_file_may_not_grow(usage, stuck, megabytes):
    """They go before the quota is reached, so that there is room in which to make room."""
    assert messages_to_free(usage, QUOTAS, stuck=stuck) == megabytes * MB


def test_a_low_disk_is_low_until_there_is_clearly_enough():
    """It is short below the floor, and no longer at a tenth above it."""
    assert not is_low(used(free=501), QUOTAS, before=False)
    assert is_low(used(free=499), QUOTAS, before=False)
    assert is_low(used(evidence_free=540), QUOTAS, before=True)
    assert not is_low(used(free=551), QUOTAS, before=True)


@pytest.mark.parametrize(
    ("usage", "room"), [(used(evidence=1019), True), (used(evidence=1021), False), (used(evidence_free=249), False)]
)
def test_records_come_before_pictures(usage, room):
    """No more pictures are taken above their quota, or in the lower half of the floor."""
    assert room_for_pictures(usage, QUOTAS) is room


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_without_limits_nothing_goes(database, evidence, free):
    """A quota of 0 is no limit."""
    none = Quotas(database=0, evidence=0, packs=0, free=0, ballast=0)
    usage = replace(USAGE, database=database, evidence=evidence, free=free, evidence_free=free)
    assert not is_low(usage, none, before=True)
    assert pictures_to_free(usage, none, low=False) == 0
    assert messages_to_free(usage, none, stuck=False) == 0
    assert {share["limit"] for key, share in to_json(usage, none).items() if key != "free"} == {None}
