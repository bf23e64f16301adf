import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inspection.screening import Screening
from agent.ledger.rollups import Rollup
from agent.store.transaction import CloseRollups
from samples import a_detection
from store_rig import FailsOnce, ManualClock, Store, an_entry, ledger, of_kind, rollup_sum, rows

CLEARED, SUSPICIOUS = Screening(0.1, 0.3), Screening(0.9, 0.3)


def test_a_frame_that_is_no_record_is_counted_all_the_same(tmp_path):
    """Rollups count every inspected frame, recorded or not, and replaced ones apart."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1, policy="notable", screening=CLEARED))
    store.journal.put(an_entry(2, policy="notable", screening=SUSPICIOUS, detections=[a_detection()]))
    store.write()
    store.stop()
    (rollup,) = of_kind("rollups", ledger(tmp_path))
    assert (rollup["frames"], rollup["recorded"]) == (2, 1)
    assert rollup["outcomes"] == {"pass": 1, "fail": 1}
    assert len(of_kind("inspections", ledger(tmp_path))) == 1


def test_a_minute_is_sealed_when_it_has_ended(tmp_path):
    """A rollup is sealed after its minute of monotonic time, without waiting for another frame."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.write()
    assert of_kind("rollups", ledger(tmp_path)) == []
    store.clock.pass_minutes(1)
    store.write()
    (rollup,) = of_kind("rollups", ledger(tmp_path))
    assert (rollup["closed"], rollup["frames"]) == ("minute", 1)
    assert rollup["minute"] == "2026-11-22T09:00:00Z"
    assert rows(tmp_path, "SELECT * FROM open_rollups") == []
    store.stop()
    assert len(of_kind("rollups", ledger(tmp_path))) == 1


def test_each_camera_has_rollups_of_its_own(tmp_path):
    """A rollup is of one camera, engine, role and minute."""
    store = Store(tmp_path)
    for number, camera in enumerate(["top", "side", "top"], start=1):
        store.journal.put(an_entry(number, camera=camera))
    store.write()
    store.stop()
    counts = {one["camera"]: one["frames"] for one in of_kind("rollups", ledger(tmp_path))}
    assert counts == {"top": 2, "side": 1}


def test_a_stop_seals_what_is_open(tmp_path):
    """At an orderly end every open rollup is sealed as closed by the stop."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.stop()
    (rollup,) = of_kind("rollups", ledger(tmp_path))
    assert (rollup["closed"], rollup["frames"]) == ("stop", 1)


def test_rollups_can_be_closed_before_the_end(tmp_path):
    """Closing seals what is open; a frame that comes after it is counted in another rollup of the same minute."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.journal.put(CloseRollups())
    store.journal.put(an_entry(2))
    store.write()
    assert [one["frames"] for one in of_kind("rollups", ledger(tmp_path))] == [1]
    store.stop()
    assert [one["frames"] for one in of_kind("rollups", ledger(tmp_path))] == [1, 1]


def test_what_a_crash_left_open_is_sealed_at_the_next_start(tmp_path):
    """The next process seals it as closed by a restart, as a message of the process that counted it."""
    store = Store(tmp_path, boot="first")
    store.journal.put(an_entry(1))
    store.write()
    store.crash()
    later = ManualClock()
    later.pass_minutes(500)
    store = Store(tmp_path, boot="second", clock=later)
    (rollup,) = of_kind("rollups", ledger(tmp_path))
    assert (rollup["closed"], rollup["boot"], rollup["frames"]) == ("restart", "first", 1)
    assert rollup["at"] == "2026-11-22T09:00:00.123456Z"
    assert rows(tmp_path, "SELECT * FROM open_rollups") == []
    store.stop()
    assert len(of_kind("rollups", ledger(tmp_path))) == 1


frames = st.tuples(
    st.sampled_from(["top", "side"]),
    st.sampled_from([None, CLEARED, SUSPICIOUS]),
    st.lists(st.builds(a_detection, st.sampled_from(["open", "short"]), st.just(0.8), st.sampled_from([0.5, 0.9]))),
    st.integers(0, 3),
    st.sampled_from(["all", "notable"]),
)
happenings = st.lists(
    st.one_of(frames, st.sampled_from(["commit", "minute", "close", "crash", "restart", "rollback"])), max_size=30
)


class Story:
    """A store to which anything may happen, and what was committed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.committed: list = []
        self.boots = 0
        self.number = 0
        self.store = self._started()

    def _started(self) -> Store:
        self.boots += 1
        return Store(self.folder, boot=f"boot-{self.boots}", size=1_000, clock=self.clock)

    def frame(self, camera, screening, detections, replaced, policy) -> None:
        """A verdict is handed over."""
        self.number += 1
        entry = an_entry(self.number, camera=camera, screening=screening, detections=detections, policy=policy)
        entry = replace(entry, replaced=replaced)
        self.store.journal.put(replace(entry, done=lambda: self.committed.append(entry)))

    def happen(self, what: str) -> None:
        """Something else happens."""
        if what == "commit":
            self.store.write()
        elif what == "minute":
            self.clock.pass_minutes(0.7)
        elif what == "close":
            self.store.journal.put(CloseRollups())
        elif what == "rollback":
            self.store.journal.put(FailsOnce())
        else:
            self.store.crash() if what == "crash" else self.store.stop()
            self.store = self._started()

    def end(self) -> None:
        """An orderly end."""
        self.store.stop()


@settings(max_examples=40)
@given(happenings)
def test_every_committed_frame_is_in_exactly_one_rollup(events):
    """Whatever happens between (failed commits, crashes, minutes), the rollups add up to the committed verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        for event in events:
            if isinstance(event, str):
                story.happen(event)
            else:
                story.frame(*event)
        story.end()
        expected = Rollup()
        for entry in story.committed:
            expected.add(entry.record, replaced=entry.replaced)
        total = rollup_sum(Path(folder))
        assert without_sums(total) == without_sums(expected.to_json())
        records = of_kind("inspections", ledger(Path(folder)))
        assert {one["id"] for one in records} == {one.id for one in story.committed if one.record.kept is not None}
        assert rows(Path(folder), "SELECT * FROM open_rollups") == []


def without_sums(counts: dict[str, Any]) -> dict[str, Any]:
    """Counts without the sums of milliseconds, which are floating point."""
    stages = {stage: {**one, "sum": round(one["sum"], 1)} for stage, one in counts["latency_ms"].items()}
    return {**counts, "latency_ms": stages}
