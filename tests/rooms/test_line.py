import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.clock import new_uuid7
from agent.config.sections import AnyCamera, FolderCamera, InferenceSection, SimulatedCamera
from agent.engine.loading import Engine, load_engine
from agent.handoff import Bell
from agent.inspection.frame import Fault, Frame, Mark, Trigger
from agent.inspection.record import audit_draw
from agent.inspector import Inspection, Inspector
from agent.line import Line, Station
from agent.store.evidence import EvidenceWriter
from agent.store.in_hand import InHand
from agent.store.transaction import VerdictEntry
from fakes import ScriptedFeed
from samples import ORIGIN, a_frame
from store_rig import Store, ledger, of_kind, rollup_sum
from tiny_models import a_pack, one_box
from waiting import until

DARK, BRIGHT = 20, 230
BOOT = ORIGIN.boot


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    """An engine that takes brightness for suspicious, and finds a short in whatever it verifies."""
    return load_engine(a_pack(tmp_path_factory.mktemp("pack"), raw=one_box(0.91)), InferenceSection(threads=1))


class Rig:
    """A line on a real journal; the feeds are filled by the test, and each step is taken by it."""

    def __init__(
        self, folder: Path, engine: Engine, *cameras: AnyCamera, evidence: str = "none", size: int = 64, **more: Any
    ) -> None:
        self.store = Store(folder / "store", size=size)
        self.pictures = folder / "evidence"
        self.writer = EvidenceWriter(self.pictures, quality=90, size=8, put=self.store.journal.put)
        self.feeds = {camera.name: ScriptedFeed() for camera in cameras}
        self.modes = {"tiny-trace": "shadow"}
        self.recorded: list[VerdictEntry] = []
        inspector = more.get("inspector", Inspector)(engine)
        in_hand: Mapping[str, InHand] = more.get("in_hand", {})
        self.line = Line(
            stations=[
                Station(camera, self.feeds[camera.name], inspector, in_hand.get(camera.name)) for camera in cameras
            ],
            journal=self.store.journal,
            evidence=self.writer,
            evidence_policy=evidence,
            mode_of=self.modes.__getitem__,
            recorded=self.recorded.append,
            unrecorded=lambda _frame: None,
            boot=BOOT,
            agent="0.1.0",
            new_id=new_uuid7,
            bell=Bell(),
            stop=threading.Event(),
        )

    def inspect(self, *frames: Frame, replaced: int = 0) -> None:
        """Let frames wait and inspect until none does."""
        for frame in frames:
            self.feeds[frame.camera].give(frame, replaced=replaced)
        while self.line.step():
            pass

    def records(self) -> list[dict[str, Any]]:
        """Write what waits, end, and read the records."""
        self.writer.stop()
        self.writer.run()
        self.store.stop()
        return of_kind("inspections", ledger(self.store.folder))

    def order(self) -> list[tuple[str, int]]:
        """Camera and number of each record, in the order in which they were inspected."""
        return [(one["camera"], one["frame"]) for one in self.records()]


def live(name: str = "top", **facts: Any) -> SimulatedCamera:
    """A live camera."""
    return SimulatedCamera(name=name, engine="tiny-trace", **{"record": "all", **facts})


def files(name: str = "files", **facts: Any) -> FolderCamera:
    """A folder of files."""
    return FolderCamera(name=name, engine="tiny-trace", path=Path("boards"), **facts)


def seen(number: int = 1, value: int = DARK, camera: str = "top", **facts: Any) -> Frame:
    """A frame of one grey."""
    return a_frame(image=np.full((64, 64, 3), value, np.uint8), number=number, camera=camera, **facts)


def asked(number: int = 1, *, ago_ms: float = 0, value: int = DARK, camera: str = "top", **facts: Any) -> Frame:
    """A triggered frame whose trigger arrived a while ago."""
    arrived_ns = time.monotonic_ns() - int(ago_ms * 1e6)
    return seen(number, value, camera, trigger=Trigger("mqtt", arrived_ns=arrived_ns, **facts))


def a_file(item: str, number: int = 1, value: int = DARK) -> Frame:
    """A frame that was read from a file."""
    return seen(number, value, "files", source=item, mark=Mark("folder:boards", item=item, fingerprint="1"))


def test_a_step_without_a_frame_does_nothing(tmp_path, engine):
    """The line says that none waits."""
    rig = Rig(tmp_path, engine, live())
    assert not rig.line.step()
    assert rig.records() == []


def test_triggered_frames_come_first_the_oldest_before_the_others(tmp_path, engine):
    """Whatever camera they are of, triggers are served by their arrival, before any live frame or file."""
    rig = Rig(tmp_path, engine, files(), live("top"), live("side"))
    rig.feeds["files"].give(a_file("a.jpg"))
    rig.feeds["top"].give(seen(1), asked(2, ago_ms=100), asked(3, ago_ms=50))
    rig.feeds["side"].give(seen(1, camera="side"), asked(2, ago_ms=70, camera="side"))
    rig.inspect()
    assert rig.order() == [("top", 2), ("side", 2), ("top", 3), ("files", 1), ("top", 1), ("side", 1)]


def test_cameras_take_turns(tmp_path, engine):
    """A camera that always has a frame waiting does not keep the others from the line."""
    rig = Rig(tmp_path, engine, live("a"), live("b"), live("c"))
    for number in range(1, 4):
        for camera in ("a", "b", "c"):
            rig.feeds[camera].give(seen(number, camera=camera))
    rig.inspect()
    assert rig.order() == [(camera, number) for number in range(1, 4) for camera in ("a", "b", "c")]


def test_a_trigger_takes_nobodys_turn(tmp_path, engine):
    """Between triggers the other cameras go on in turn, however many triggers there are."""
    rig = Rig(tmp_path, engine, live("asked"), live("b"), live("c"))
    for number in range(1, 4):
        rig.feeds["b"].give(seen(number, camera="b"))
        rig.feeds["c"].give(seen(number, camera="c"))
    for number in range(1, 7):
        rig.feeds["asked"].give(asked(number, camera="asked"))
        rig.line.step()
        rig.line.step()
    others = [one for one in rig.order() if one[0] != "asked"]
    assert others == [("b", 1), ("c", 1), ("b", 2), ("c", 2), ("b", 3), ("c", 3)]


def test_a_trigger_whose_image_is_still_to_come_holds_nobody_up(tmp_path, engine):
    """While a camera reads the image that was asked for, the others are inspected."""
    rig = Rig(tmp_path, engine, live("top"), live("side"))
    rig.feeds["top"].pending_ns = time.monotonic_ns()
    rig.inspect(seen(1, camera="side"))
    assert rig.order() == [("side", 1)]


def test_files_wait_while_the_journal_has_no_room(tmp_path, engine):
    """A file is taken only when its verdict has a place; live frames go on meanwhile."""
    rig = Rig(tmp_path, engine, files(), live(), size=2)
    rig.inspect(*(a_file(f"{number}.jpg", number) for number in range(1, 6)))
    assert len(rig.feeds["files"].frames) == 3
    rig.inspect(seen(1))
    assert (len(rig.feeds["files"].frames), len(rig.feeds["top"].frames)) == (3, 0)
    while rig.feeds["files"].frames:
        rig.store.write()
        rig.inspect()
    assert rig.order() == [("files", number) for number in range(1, 6)]


@pytest.mark.parametrize("evidence", ["none", "all"])
def test_a_live_frame_without_room_becomes_a_gap(tmp_path, engine, evidence):
    """The line does not wait for the disk: the frame is announced as lost, with or without a picture to keep."""
    rig = Rig(tmp_path, engine, live(), size=2, evidence=evidence)
    rig.inspect(seen(1), seen(2))
    rig.writer.step(0)
    rig.writer.step(0)
    rig.inspect(*(seen(number, BRIGHT) for number in range(3, 40)))
    assert rig.store.journal.snapshot()["waiting"] == 2
    rig.store.write()
    rig.inspect(seen(40))
    assert [one["frame"] for one in rig.records()] == [1, 2, 40]
    (gap,) = of_kind("gaps", ledger(rig.store.folder))
    assert gap["frames"] == {"camera": "top", "boot": BOOT, "from": 3, "to": 39, "count": 37}
    assert rollup_sum(rig.store.folder)["frames"] == 3


@pytest.mark.parametrize(("value", "code"), [(DARK, "cleared"), (BRIGHT, "confirmed")])
def test_a_record_says_what_happened_to_the_frame(tmp_path, engine, value, code):
    """Engine, mode, reason and latency of each stage are in the record; the pixels are not."""
    rig = Rig(tmp_path, engine, live())
    rig.modes["tiny-trace"] = "production"
    rig.inspect(seen(1, value))
    (record,) = rig.records()
    assert (record["engine"], record["engine_digest"]) == ("tiny-trace-v1.0", engine.pack.digest)
    assert (record["mode"], record["role"], record["kept"], record["reason"]["code"]) == (
        "production",
        "active",
        "all",
        code,
    )
    latency = record["latency_ms"]
    assert (latency["verify"] is None) == (code == "cleared")
    assert latency["screen"] > 0
    assert latency["total"] == pytest.approx(latency["wait"], abs=latency["screen"] + (latency["verify"] or 0) + 50)
    assert record["evidence_reason"] == "not-wanted"


@pytest.mark.parametrize("kind", ["mqtt", "gpio", "http", "manual"])
def test_a_triggered_frame_that_waited_too_long_is_late(tmp_path, engine, kind):
    """After the deadline no verdict is worth computing: inconclusive, flagged, late."""
    rig = Rig(tmp_path, engine, live(deadline_ms=500))
    arrived_ns = time.monotonic_ns() - 600_000_000
    rig.inspect(seen(1, BRIGHT, trigger=Trigger(kind, arrived_ns=arrived_ns)))
    (record,) = rig.records()
    assert (record["outcome"], record["disposition"], record["reason"]["code"]) == ("inconclusive", "flagged", "late")
    assert record["reason"]["text"] == "no verdict within 500 ms of the trigger"
    assert (record["screening"], record["latency_ms"]["screen"]) == (None, None)


class SlowInspector(Inspector):
    """Answers only when the trigger's deadline of 20 ms has passed."""

    def inspect(self, frame: Frame, region: Any = None) -> Inspection:
        arrived_ns = frame.trigger.arrived_ns or 0
        assert until(lambda: time.monotonic_ns() > arrived_ns + 20_000_000)
        return super().inspect(frame, region)


def test_a_verdict_that_comes_after_the_deadline_is_late(tmp_path, engine):
    """What was found is kept in the record, but the verdict came too late to count."""
    rig = Rig(tmp_path, engine, live(deadline_ms=20), inspector=SlowInspector)
    rig.inspect(asked(1, value=BRIGHT))
    (record,) = rig.records()
    assert (record["outcome"], record["reason"]["code"]) == ("inconclusive", "late")
    assert record["screening"]["suspicious"]
    assert [one["label"] for one in record["detections"]] == ["short"]


def test_nothing_is_late_that_nobody_asked_for(tmp_path, engine):
    """A live frame has no deadline, however long it waited."""
    rig = Rig(tmp_path, engine, live(deadline_ms=1))
    rig.inspect(seen(1))
    assert [one["reason"]["code"] for one in rig.records()] == ["cleared"]


def test_a_trigger_without_an_image_keeps_its_own_reason(tmp_path, engine):
    """Why there was no image says more than that it is late."""
    rig = Rig(tmp_path, engine, live(deadline_ms=10))
    fault = Fault("no-image", "the camera gave none")
    rig.inspect(replace(asked(1, ago_ms=500), image=None, fault=fault))
    assert [(one["reason"]["code"], one["disposition"]) for one in rig.records()] == [("no-image", "flagged")]


@pytest.mark.parametrize(
    ("frame", "policy", "expected"),
    [
        (asked(1, value=BRIGHT), "notable", [("manual", "flagged", "all")]),
        (seen(1, BRIGHT), "all", [("manual", "none", "all")]),
        (seen(1, BRIGHT), "notable", []),
    ],
    ids=["triggered", "all", "live"],
)
def test_in_manual_mode_nothing_is_computed(tmp_path, engine, frame, policy, expected):
    """The AI is off: inconclusive, a record only if triggered or all are kept, and counted in any case."""
    rig = Rig(tmp_path, engine, live(record=policy, deadline_ms=3_600_000))
    rig.modes["tiny-trace"] = "manual"
    rig.inspect(frame)
    records = rig.records()
    assert [(one["reason"]["code"], one["disposition"], one["kept"]) for one in records] == expected
    assert all(one["screening"] is None and one["latency_ms"]["screen"] is None for one in records)
    total = rollup_sum(rig.store.folder)
    assert (total["frames"], total["reasons"], total["outcomes"]) == (1, {"manual": 1}, {"inconclusive": 1})


def test_a_mode_counts_from_the_next_frame(tmp_path, engine):
    """A change of mode is seen by the frame after it."""
    rig = Rig(tmp_path, engine, live())
    for number, mode in enumerate(("shadow", "manual", "production"), start=1):
        rig.modes["tiny-trace"] = mode
        rig.inspect(seen(number))
    assert [(one["mode"], one["reason"]["code"]) for one in rig.records()] == [
        ("shadow", "cleared"),
        ("manual", "manual"),
        ("production", "cleared"),
    ]


def test_a_file_in_hand_at_two_crashes_is_inconclusive(tmp_path, engine):
    """It is not tried a third time: its record says so, and the next file is inspected."""
    for _ in range(2):
        hand = InHand(tmp_path / "hand.json")
        hand.take("bad.jpg")
        hand.close()
    rig = Rig(tmp_path, engine, files(), in_hand={"files": InHand(tmp_path / "hand.json")})
    rig.inspect(a_file("bad.jpg", 1), a_file("good.jpg", 2))
    records = rig.records()
    assert [(one["source"], one["outcome"], one["reason"]["code"]) for one in records] == [
        ("bad.jpg", "inconclusive", "crashed-twice"),
        ("good.jpg", "pass", "cleared"),
    ]
    assert records[0]["reason"]["text"].startswith("bad.jpg: ")
    assert records[0]["screening"] is None


class WatchingInspector(Inspector):
    """Looks at the note while a frame is inspected."""

    note: Path
    found: list[str]

    def inspect(self, frame: Frame, region: Any = None) -> Inspection:
        self.found.append(self.note.read_text().rstrip())
        return super().inspect(frame, region)


def test_a_file_is_in_hand_while_it_is_inspected(tmp_path, engine):
    """The note names the file before the models see it, and nothing after its verdict was handed over."""
    WatchingInspector.note, WatchingInspector.found = tmp_path / "hand.json", []
    hand = InHand(tmp_path / "hand.json")
    rig = Rig(tmp_path, engine, files(), inspector=WatchingInspector, in_hand={"files": hand})
    rig.inspect(a_file("a.jpg", 1))
    assert WatchingInspector.found == ['{"held": true, "crashes": 0, "item": "a.jpg"}']
    assert '"held": false' in WatchingInspector.note.read_text()
    hand.close()
    assert len(rig.records()) == 1


def test_a_corrupt_file_names_itself(tmp_path, engine):
    """A file that cannot be decoded becomes an inconclusive record with its name, and its cursor moves on."""
    rig = Rig(tmp_path, engine, files())
    fault = Fault("corrupt-file", "x/bad.jpg: cannot be decoded as an image")
    rig.inspect(replace(a_file("x/bad.jpg"), image=None, fault=fault))
    (record,) = rig.records()
    assert (record["source"], record["outcome"], record["disposition"]) == ("x/bad.jpg", "inconclusive", "none")
    assert record["reason"] == {"code": "corrupt-file", "text": "x/bad.jpg: cannot be decoded as an image"}


def test_only_what_is_notable_becomes_a_record_of_a_live_camera(tmp_path, engine):
    """By default what screening cleared on a live camera is only counted; what failed is a record."""
    rig = Rig(tmp_path, engine, live(record="auto", audit_rate=0))
    rig.inspect(seen(1, DARK), seen(2, BRIGHT), seen(3, DARK))
    assert [(one["frame"], one["kept"]) for one in rig.records()] == [(2, "fail")]
    total = rollup_sum(rig.store.folder)
    assert (total["frames"], total["recorded"]) == (3, 1)


def test_files_and_triggered_cameras_keep_every_record(tmp_path, engine):
    """By default each file and each triggered part is traceable."""
    rig = Rig(tmp_path, engine, files(), live(record="auto", trigger="mqtt"))
    rig.inspect(a_file("a.jpg"), asked(1))
    assert sorted((one["camera"], one["kept"]) for one in rig.records()) == [("files", "all"), ("top", "all")]


def test_whoever_triggers_a_continuous_camera_gets_a_record(tmp_path, engine):
    """By default an asked frame is a part, though the camera's other clear frames are only counted."""
    rig = Rig(tmp_path, engine, live(record="auto", audit_rate=0))
    rig.inspect(seen(1), asked(2), seen(3))
    assert [(one["frame"], one["kept"]) for one in rig.records()] == [(2, "all")]


def test_the_audit_sample_can_be_drawn_again(tmp_path, engine):
    """Which cleared frames are kept for audit follows from seed, boot, camera and number alone."""
    rig = Rig(tmp_path, engine, live(record="notable", audit_rate=0.3, audit_seed=7))
    rig.inspect(*(seen(number) for number in range(1, 61)))
    expected = [n for n in range(1, 61) if audit_draw(seed=7, boot=BOOT, camera="top", number=n) < 0.3]
    records = rig.records()
    assert [one["frame"] for one in records] == expected
    assert 5 < len(expected) < 35
    assert {(one["kept"], one["audit_rate"]) for one in records} == {("audit", 0.3)}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("none", {"cleared": False, "confirmed": False, "manual": False}),
        ("notable", {"cleared": False, "confirmed": True, "manual": True}),
        ("all", {"cleared": True, "confirmed": True, "manual": True}),
    ],
)
def test_the_policy_says_which_records_keep_a_picture(tmp_path, engine, policy, expected):
    """None, what is notable, or all; a record without a picture says that none was wanted."""
    rig = Rig(tmp_path, engine, live(audit_rate=0), evidence=policy)
    rig.inspect(seen(1, DARK), seen(2, BRIGHT))
    rig.modes["tiny-trace"] = "manual"
    rig.inspect(seen(3, DARK))
    records = rig.records()
    assert {one["reason"]["code"]: one["evidence"] is not None for one in records} == expected
    for one in records:
        assert (one["evidence"] is None) == (one["evidence_reason"] == "not-wanted")
    assert len(list(rig.pictures.rglob("*.jpg"))) == sum(expected.values())


def test_an_audited_frame_keeps_its_picture(tmp_path, engine):
    """The audit sample is there to be looked at."""
    rig = Rig(tmp_path, engine, live(record="notable", audit_rate=1), evidence="notable")
    rig.inspect(seen(1))
    assert [(one["kept"], one["evidence"] is not None) for one in rig.records()] == [("audit", True)]


def test_a_frame_that_is_no_record_keeps_no_picture(tmp_path, engine):
    """Evidence belongs to records."""
    rig = Rig(tmp_path, engine, live(record="notable", audit_rate=0), evidence="all")
    rig.inspect(seen(1))
    assert rig.records() == []
    assert not rig.pictures.exists()


def test_replaced_frames_are_counted_apart(tmp_path, engine):
    """What a newer frame replaced was never inspected: it is counted, and is not among the frames."""
    rig = Rig(tmp_path, engine, live())
    rig.inspect(seen(4), replaced=3)
    rig.inspect(seen(5))
    assert (rig.line.totals().frames, rig.line.totals().replaced) == (2, 3)
    rig.records()
    total = rollup_sum(rig.store.folder)
    assert (total["frames"], total["replaced"]) == (2, 3)


def test_what_was_replaced_before_a_lost_verdict_is_counted_with_the_next_one(tmp_path, engine):
    """A verdict that finds no room takes no count with it."""
    rig = Rig(tmp_path, engine, live(), size=2)
    rig.inspect(seen(1), seen(2))
    rig.inspect(seen(5), replaced=2)
    rig.inspect(seen(7), replaced=1)
    rig.store.write()
    rig.inspect(seen(8))
    rig.records()
    total = rollup_sum(rig.store.folder)
    assert (total["frames"], total["replaced"]) == (3, 3)


def test_whoever_asked_is_told_after_the_commit(tmp_path, engine):
    """The word "recorded" waits for the disk, and names the record."""
    rig = Rig(tmp_path, engine, live())
    rig.inspect(asked(1, token="c-1"), asked(2))
    assert rig.recorded == []
    rig.store.write()
    assert [one.record.frame.trigger.token for one in rig.recorded] == ["c-1"]
    (first, _) = rig.records()
    assert rig.recorded[0].id == first["id"]
    assert "token" not in first["trigger"]


def test_what_asked_for_a_frame_reaches_the_record(tmp_path, engine):
    """The trigger's kind and metadata are in the record."""
    rig = Rig(tmp_path, engine, live())
    rig.inspect(asked(1, metadata={"shift": "B"}))
    assert [one["trigger"] for one in rig.records()] == [{"kind": "mqtt", "metadata": {"shift": "B"}}]


def test_the_last_verdict_of_each_camera_can_be_asked_for(tmp_path, engine):
    """Status shows what came last, and the totals are a copy that goes on counting elsewhere."""
    rig = Rig(tmp_path, engine, live("top"), live("side"))
    rig.inspect(seen(1), seen(7, BRIGHT, "side"))
    before = rig.line.totals()
    rig.inspect(seen(2, BRIGHT))
    last = rig.line.last()
    assert {name: (one["frame"], one["outcome"]) for name, one in last.items()} == {
        "top": (2, "fail"),
        "side": (7, "fail"),
    }
    assert (before.frames, rig.line.totals().frames) == (2, 3)
    assert len(rig.records()) == 3
