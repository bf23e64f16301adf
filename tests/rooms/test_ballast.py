import os

import pytest

from agent.store.ballast import FILE, Ballast
from store_rig import small_disk

MB = 1_000_000


def free(folder):
    """Free bytes."""
    here = os.statvfs(folder)
    return here.f_bavail * here.f_frsize


def test_the_ballast_takes_room_and_gives_it_back(tmp_path):
    """Its room is really taken, once, and there again after the release."""
    with small_disk(tmp_path, kilobytes=8_000) as folder:
        before = free(folder)
        ballast = Ballast(folder, 2 * MB)
        assert ballast.state == "released"
        for _ in range(2):
            ballast.keep(free(folder))
            assert ballast.state == "held"
            assert before - free(folder) == pytest.approx(2 * MB, abs=8192)
        ballast.release()
        assert ballast.state == "released"
        assert free(folder) == before


def test_the_ballast_does_not_fill_a_disk(tmp_path):
    """It is made only where twice its room is free, and leaves nothing behind where the room is gone after all."""
    with small_disk(tmp_path, kilobytes=3_000) as folder:
        ballast = Ballast(folder, 2 * MB)
        ballast.keep(free(folder))
        assert ballast.state == "released"
        Ballast(folder, 4 * MB).keep(100 * MB)  # somebody else was quicker
        assert not (folder / FILE).exists()


def test_a_ballast_of_another_size_is_made_anew(tmp_path):
    """The settings decide; with 0 there is none."""
    Ballast(tmp_path, 20_000).keep(10 * MB)
    Ballast(tmp_path, 40_000).keep(10 * MB)
    assert (tmp_path / FILE).stat().st_size == 40_000
    none = Ballast(tmp_path, 0)
    none.keep(10 * MB)
    assert (none.state, (tmp_path / FILE).exists()) == ("none", False)
