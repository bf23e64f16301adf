import time
from pathlib import Path

import pytest

from mosquitto import needs_mosquitto
from oracle import Proof
from ordeals.full_disk import BUDGET, DISK_KB, LIVE, fill_slowly, neighbour
from ordeals.ground import Ground, ground
from store_rig import small_disk
from waiting import until

pytestmark = [needs_mosquitto, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]


def frames(ground: Ground) -> int:
    """How many frames the line has inspected."""
    return int(ground.agent.status()["line"]["frames"])


def accounted(ground: Ground) -> Proof:
    """Everything is drained; every number came or is in a gap, and what is lost was told to be lost."""
    assert until(ground.drained, within_s=60), ground.agent.told()[-3000:]
    proof = ground.prove()
    assert (proof.unexplained, proof.broken) == ({}, [])
    evicted = sum(gap["seqs"]["count"] for gap in proof.of_kind("gap") if "seqs" in gap)
    assert len(proof.lost) <= evicted
    return proof


def frames_told(proof: Proof) -> int:
    """Each record of the first life is counted once by the rollups that are left; how many frames are in gaps."""
    boot = min(record["boot"] for record in proof.of_kind("inspection"))
    delivered = sum(record["boot"] == boot for record in proof.of_kind("inspection"))
    counted = sum(rollup["frames"] for rollup in proof.of_kind("rollup") if rollup["boot"] == boot)
    evicted = sum(gap["seqs"]["count"] for gap in proof.of_kind("gap") if "seqs" in gap)
    if evicted == len(proof.lost):
        assert counted == delivered + len(proof.lost)
    else:  # other messages had to go, too, perhaps a rollup
        assert counted <= delivered + len(proof.lost)
    return sum(gap["frames"]["count"] for gap in proof.of_kind("gap") if "frames" in gap)


def test_a_disk_that_fills_slowly_suddenly_and_is_freed(tmp_path: Path) -> None:
    """Pictures make room, first for newer ones, then for records; inspection never stops, and all is accounted for."""
    began = time.monotonic()
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, kilobytes=DISK_KB), ground(tmp_path, LIVE, store=disk / "store") as here:
        here.broker.stop()
        here.agent.start(settings=BUDGET)
        here.record_more(50)
        fill_slowly(here, pictures=50)
        assert here.agent.status()["journal"]["frames_lost"] == 0
        with neighbour(disk, greedy=False):
            here.record_more(200)
        with neighbour(disk, greedy=True):
            before = frames(here)
            assert until(lambda: frames(here) > before + 200, within_s=30), "inspection goes on"
        here.record_more(100)
        assert here.agent.terminate() == 0
        here.broker.start()
        here.agent.start(settings={**BUDGET, "FIELDGATE_CAMERAS__0__FRAMES": "1"})
        proof = accounted(here)
        told = frames_told(proof)
    alerts = {one["code"] for one in proof.of_kind("alert")}
    assert "disk-low" in alerts
    pictures = {record for gap in proof.of_kind("gap") for record in gap.get("evidence", [])}
    print(
        f"full disk: {len(proof.of_kind('inspection'))} records arrived, {len(proof.lost)} were evicted, "
        f"{told} frames could not be written, {len(pictures)} pictures went; alerts {sorted(alerts)}; "
        f"{time.monotonic() - began:.0f} s"
    )


def test_a_daemon_starts_on_a_full_disk(tmp_path: Path) -> None:
    """Started where not a byte is free, it gives up the ballast and records."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, kilobytes=DISK_KB), ground(tmp_path, LIVE, store=disk / "store") as here:
        here.broker.stop()
        here.agent.start(settings=BUDGET)
        here.record_more(100)
        assert here.agent.terminate() == 0
        with neighbour(disk, greedy=False):
            here.agent.start(settings=BUDGET)
            here.record_more(50)
            assert here.agent.terminate() == 0
        assert "Traceback" not in here.agent.told()
