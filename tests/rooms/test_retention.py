import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.inspection.record import Evidence, evidence_name
from agent.inspection.screening import Screening
from agent.monitor.alerts import Alerts
from agent.store.budget import MB, Quotas
from agent.store.disk_alerts import CALM_S, DiskAlerts
from agent.store.reader import Reader
from agent.store.retention import Retention
from agent.store.schema import FILE
from agent.store.transaction import Entry, MessageEntry, VerdictEntry
from consumer import Ledger
from samples import a_detection
from store_rig import Store, an_entry, rows, small_disk
from waiting import until

NONE = Quotas(database=0, evidence=0, packs=0, free=0, ballast=0)
KEPT = {"audit": 30.0, "all": 30.0, "archive": 90.0, "inconclusive": 90.0, "fail": 365.0}


class Kept:
    """A store with its retention, both running or steered by hand."""

    def __init__(self, folder: Path, quotas: Quotas, *, size: int = 64, packs: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.store = Store(folder, size=size, limit=quotas.database, relief=self._relief)
        self.journal = self.store.journal
        self.alerts = Alerts(put=lambda body: self.journal.put(MessageEntry("alerts", body)), now=self.store.clock)
        self.retention = Retention(
            folder=folder,
            quotas=quotas,
            days=KEPT,
            hold_days=7,
            packs=packs,
            reader=Reader(folder),
            put=self.journal.put,
            failing=lambda: self.journal.failing,
            alerts=DiskAlerts(quotas, raised=self.alerts.raised, cleared=self.alerts.cleared),
        )
        self._number = 0

    def _relief(self) -> list[Entry]:
        return self.retention.relief()

    def round(self) -> None:
        """Look once, and let the journal write what follows; twice, since files go after the commit."""
        for _ in range(2):
            self.retention.step()
            self.store.write()

    @contextlib.contextmanager
    def running(self) -> Iterator["Kept"]:
        """Both in threads of their own."""
        threads = [threading.Thread(target=body) for body in (self.journal.run, self.retention.run)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.journal.stop()
            threads[0].join(10)
            self.retention.stop()
            threads[1].join(10)
            self.store.crash()

    def entry(self, *, bulk: int = 0, fail: bool = False) -> VerdictEntry:
        """The next frame's verdict."""
        self._number += 1
        if fail:
            return an_entry(self._number, screening=Screening(0.9, 0.3), detections=[a_detection()])
        return an_entry(self._number, bulk=bulk)

    def picture(self, size: int, *, fail: bool = False) -> Path:
        """Record a frame with its picture; the file."""
        entry = self.entry(fail=fail)
        path = self.folder / "evidence" / evidence_name(entry.id, entry.record.frame.captured)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        self.journal.put(entry.with_evidence(Evidence("0" * 64, size, 64, 48)))
        return path

    def standing(self) -> list[str]:
        """The codes of the alerts that stand."""
        return [one["code"] for one in self.alerts.standing()]

    def prove(self) -> set[int]:
        """What a consumer says of all that is left, when it had nothing before."""
        return self.ledger().prove_accounted(rows(self.folder, "SELECT seq FROM head")[0][0])

    def ledger(self) -> Ledger:
        """All messages that are left."""
        return Ledger.of(row[0] for row in rows(self.folder, "SELECT body FROM messages"))

    @property
    def file_bytes(self) -> int:
        """How large the database's file is."""
        return (self.folder / FILE).stat().st_size


def fill(folder: Path) -> Path:
    """Another program fills the disk to its last byte."""
    other = folder / "other"
    with contextlib.suppress(OSError), other.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return other


def test_the_least_valuable_pictures_go_when_their_quota_is_exceeded(tmp_path):
    """The files go after the commit that says so, ordinary ones before those of fails; an alert says it."""
    kept = Kept(tmp_path, Quotas(database=0, evidence=100_000, packs=0, free=0, ballast=0))
    fails = [kept.picture(20_000, fail=True) for _ in range(3)]
    passes = [kept.picture(20_000) for _ in range(4)]
    kept.store.write()
    kept.round()
    assert [path.exists() for path in (*fails, *passes)] == [True] * 3 + [False, False, False, True]
    assert kept.standing() == ["evidence-evicted"]
    told = kept.retention.snapshot()
    assert told is not None
    assert (told["evidence"]["bytes"], told["went"]["evidence_evicted"]) == (80_000, 3)
    assert rows(tmp_path, "SELECT count(*) FROM messages WHERE kind = 'gaps'") == [(1,)]
    kept.store.stop()


def test_free_space_is_kept_whoever_fills_the_disk(tmp_path):
    """Pictures go while the disk has less free space than it should have; an alert stands as long."""
    with small_disk(tmp_path, kilobytes=24_000) as folder:
        kept = Kept(folder, Quotas(database=0, evidence=0, packs=0, free=10 * MB, ballast=0))
        pictures = [kept.picture(1 * MB) for _ in range(8)]
        kept.store.write()
        kept.round()
        assert all(path.exists() for path in pictures)
        other = folder / "other"
        with other.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 10 * MB)
        for _ in range(3):
            kept.round()
        assert 0 < sum(path.exists() for path in pictures) < 8
        here = os.statvfs(folder)
        assert here.f_bavail * here.f_frsize >= 11 * MB
        assert set(kept.standing()) == {"evidence-evicted"}, "low, and no longer"
        kept.store.stop()


def test_the_database_stays_within_its_quota_and_every_number_is_accounted_for(tmp_path):
    """Offline and over its quota, the oldest records make room; the file does not grow, and gaps name every number."""
    quota = 4 * MB
    kept = Kept(tmp_path, Quotas(database=quota, evidence=0, packs=0, free=0, ballast=0), size=10_000)
    for _ in range(60):
        for _ in range(40):
            kept.journal.put(kept.entry(bulk=2_000))
        kept.store.write()
        kept.retention.step()
    kept.round()
    assert kept.journal.snapshot()["frames_lost"] == 0
    assert kept.file_bytes <= quota
    assert kept.standing() == ["ledger-evicted"]
    assert len(kept.prove()) > 500
    assert rows(tmp_path, "SELECT max(frame) FROM records") == [(2400,)]
    kept.store.stop()


def test_a_burst_beyond_the_quota_finds_room_while_it_is_written(tmp_path):
    """When a commit finds no room within the quota, the journal lets go before it tries again; nothing is refused."""
    kept = Kept(tmp_path, Quotas(database=4 * MB, evidence=0, packs=0, free=0, ballast=0), size=10_000)
    for _ in range(3_000):
        kept.journal.put(kept.entry(bulk=2_000))
    while kept.journal.step(0):
        pass
    assert kept.file_bytes <= 4 * MB
    assert kept.prove()
    assert kept.journal.snapshot()["frames_lost"] == 0
    kept.store.stop()


def test_settled_messages_make_room_first(tmp_path):
    """What the centre has goes without a gap before anything that it does not have."""
    kept = Kept(tmp_path, Quotas(database=4 * MB, evidence=0, packs=0, free=0, ballast=0), size=10_000)
    for _ in range(400):
        kept.journal.put(kept.entry(bulk=2_000))
    kept.store.write()
    kept.store.settle_all()
    for _ in range(500):
        kept.journal.put(kept.entry(bulk=2_000))
        kept.store.write()
    for _ in range(5):
        kept.round()
    assert kept.standing() == []
    assert rows(tmp_path, "SELECT count(*) FROM settled")[0][0] < 400
    assert rows(tmp_path, "SELECT count(*) FROM messages WHERE kind = 'gaps'") == [(0,)]
    kept.store.stop()


def test_a_disk_that_is_suddenly_full_gets_its_room_from_the_pictures(tmp_path):
    """Verdicts are written again within seconds, though nobody frees the disk; every picture that went is told."""
    with small_disk(tmp_path, kilobytes=30_000) as folder:
        kept = Kept(folder, Quotas(database=0, evidence=0, packs=0, free=6 * MB, ballast=2 * MB), size=200)
        with kept.running():
            pictures = [kept.picture(500_000) for _ in range(20)]
            assert until(lambda: kept.retention.snapshot() is not None and kept.journal.head.seq >= 20)
            fill(folder)
            for _ in range(100):
                assert kept.journal.submit(kept.entry(bulk=20_000))
            assert kept.journal.flush(20), "records are written on a disk that another program has filled"
            assert 0 < sum(path.exists() for path in pictures) < 20
            (folder / "other").unlink()
            assert until(lambda: "disk-full" not in kept.standing() and "disk-low" not in kept.standing())
            assert (kept.retention.snapshot() or {})["ballast"] == "held"
        assert kept.prove() == set()
        told = [
            one["evidence"] for one in Ledger.of(r[0] for r in rows(folder, "SELECT body FROM messages")).of_kind("gap")
        ]
        gone = {path.stem for path in pictures if not path.exists()}
        assert {record for one in told for record in one} == gone


def test_on_a_disk_that_stays_full_new_records_take_the_place_of_the_oldest(tmp_path):
    """Without pictures to let go, the database lives on within its pages; a consumer can account for every number."""
    with small_disk(tmp_path, kilobytes=36_000) as folder:
        kept = Kept(folder, Quotas(database=0, evidence=0, packs=0, free=2 * MB, ballast=8 * MB), size=200)
        with kept.running():
            for _ in range(100):
                assert kept.journal.submit(kept.entry(bulk=40_000))
            assert kept.journal.flush(10)
            assert until(lambda: kept.retention.snapshot() is not None)
            fill(folder)
            for _ in range(20):
                for _ in range(20):
                    kept.journal.submit(kept.entry(bulk=40_000))
                assert kept.journal.flush(20)
            (folder / "other").unlink()
            assert until(lambda: "disk-full" not in kept.standing())
        assert kept.prove()
        recorded = rows(folder, "SELECT max(frame) FROM records")[0][0]
        assert recorded == 500


def test_packs_beyond_their_quota_are_told(tmp_path):
    """The packs are counted; an alert stands while they take more than their quota."""
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "verify.onnx").write_bytes(b"x" * 3_000)
    quotas = Quotas(database=0, evidence=0, packs=2_000, free=0, ballast=0)
    kept = Kept(tmp_path / "store", quotas, packs=(pack,))
    kept.round()
    assert kept.standing() == ["packs-over-quota"]
    kept.store.stop()


def test_an_alert_about_eviction_is_over_after_a_calm_hour():
    """It is told once, stands while things have to go, and is cleared when nothing had to for an hour."""
    told: list[tuple[str, str]] = []
    alerts = DiskAlerts(
        NONE,
        raised=lambda code, **_: told.append(("raised", code)),
        cleared=lambda code, **_: told.append(("cleared", code)),
    )
    alerts.evicted("evidence-evicted", 3, 100.0)
    alerts.calm(100.0 + CALM_S - 1)
    assert told == [("raised", "evidence-evicted")]
    alerts.calm(100.0 + CALM_S + 1)
    alerts.calm(100.0 + CALM_S + 2)
    assert told == [("raised", "evidence-evicted"), ("cleared", "evidence-evicted")]


@pytest.mark.parametrize("free", [0, 10**9])
def test_pictures_stop_before_records_do(tmp_path, free):
    """Where the disk has less than half the floor, no picture is taken any more."""
    here = os.statvfs(tmp_path)
    floor = 0 if not free else 4 * here.f_bavail * here.f_frsize
    kept = Kept(tmp_path, Quotas(database=0, evidence=0, packs=0, free=floor, ballast=0))
    assert kept.retention.room(), "unknown is no reason to lose pictures"
    kept.round()
    assert kept.retention.room() is not bool(free)
    kept.store.stop()
