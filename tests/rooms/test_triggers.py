from agent.camera.source import Shot
from agent.config.sections import SubjectSection
from agent.errors import CameraError
from agent.inspection.frame import Fault, Subject, Trigger
from capture_rig import a_file_camera, a_live_camera, running, shows
from fakes import ScriptedSource, a_picture


def test_a_trigger_takes_the_first_frame_whose_reading_began_after_it() -> None:
    """A picture that was being read when the trigger came is too old; the next one is taken."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt"), source) as rig:
        assert source.hangs()
        rig.clock.turn(0.01)
        assert rig.ask(shift="B")
        rig.clock.turn(0.01)
        source.show(1)
        assert source.hangs()
        assert rig.frames() == []
        source.show(2, 3)
        frame = rig.next_frame()
        assert shows(frame, 2)
        assert frame.number == 1
        assert frame.trigger.kind == "mqtt"
        assert frame.trigger.metadata == {"shift": "B"}


def test_metadata_subject_and_token_reach_the_frame() -> None:
    """The trigger's subject overrides the camera's field by field; metadata and token stay as they came."""
    camera = a_live_camera(trigger="mqtt", subject=SubjectSection(part="A", batch="221"))
    source = ScriptedSource()
    with running(camera, source) as rig:
        arrived = rig.clock.now().monotonic_ns
        trigger = Trigger("mqtt", {"shift": "B"}, arrived, "cmd-1")
        assert rig.capture.trigger(trigger, Subject(part="A-17", serial="9"))
        assert source.hangs()
        source.show(1, 2)
        frame = rig.next_frame()
        assert frame.subject == Subject(part="A-17", batch="221", serial="9")
        assert frame.trigger == trigger


def test_a_triggered_camera_hands_over_nothing_unasked() -> None:
    """Frames of a triggered camera that nobody asked for are read, and get no number."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt"), source) as rig:
        source.show(1, 2, 3)
        assert source.hangs()
        assert rig.frames() == []
        assert rig.capture.status()["frames"] == 0
        assert rig.capture.status()["state"] == "running"


def test_a_trigger_too_many_becomes_an_overflow_frame() -> None:
    """With all places taken a trigger is refused, and its frame, without image, says overflow."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt", trigger_queue=2), source) as rig:
        assert [rig.ask(n=n) for n in range(4)] == [True, True, False, False]
        refused = rig.frames()
        assert [frame.trigger.metadata for frame in refused] == [{"n": 2}, {"n": 3}]
        assert {frame.fault.code for frame in refused if frame.fault} == {"overflow"}
        assert [frame.image for frame in refused] == [None, None]
        assert rig.capture.status()["overflow"] == 2


def test_triggered_frames_that_the_line_has_not_taken_hold_their_places() -> None:
    """A triggered frame is never replaced: while it waits its place is taken, and free once it is taken."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt", trigger_queue=1), source) as rig:
        assert rig.ask(n=1)
        assert source.hangs()
        source.show(1, 2)
        assert source.hangs()
        assert not rig.ask(n=2)
        assert [frame.fault is None for frame in rig.frames()] == [False, True]
        assert rig.ask(n=3)


def test_triggers_that_wait_together_share_the_picture_and_not_the_number() -> None:
    """Two triggers before one reading get the same picture as two frames."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt"), source) as rig:
        assert source.hangs()
        rig.clock.turn(0.01)
        assert rig.ask(n=1)
        assert rig.ask(n=2)
        rig.clock.turn(0.01)
        source.show(0, 1)
        found = rig.gathered(2)
        assert [(frame.number, frame.trigger.metadata["n"]) for frame in found] == [(1, 1), (2, 2)]
        assert found[0].image is found[1].image


def test_a_trigger_without_an_image_by_its_deadline_says_why() -> None:
    """While the capture thread hangs in a read, an overdue trigger becomes a frame that names the state."""
    source = ScriptedSource(Shot(a_picture(1)))
    with running(a_live_camera(trigger="mqtt", deadline_ms=2000), source) as rig:
        assert source.hangs()
        arrived = rig.clock.now().monotonic_ns
        assert rig.ask()
        rig.clock.turn(1.999)
        assert rig.frames() == []
        assert rig.capture.waiting_since_ns() is None
        rig.clock.turn(0.001)
        assert rig.capture.waiting_since_ns() == arrived
        (frame,) = rig.frames()
        assert frame.image is None
        assert frame.number == 1
        assert frame.fault == Fault(
            "no-image",
            "no image within 2000 ms of the trigger: camera top is running: its last frame came 2.0 s ago",
        )
        assert rig.capture.waiting_since_ns() is None


def test_a_trigger_of_an_offline_camera_names_the_cameras_fault() -> None:
    """The frame of a trigger that waits for a camera that is gone carries the camera's own sentence."""
    source = ScriptedSource(CameraError("the cable is out; plug it in"))
    with running(a_live_camera(trigger="mqtt"), source) as rig:
        assert rig.is_state("offline")
        assert rig.ask()
        rig.clock.turn(2)
        (frame,) = rig.frames()
        assert frame.fault is not None
        assert frame.fault.text.endswith("camera top is offline: the cable is out; plug it in")


def test_a_picture_after_the_deadline_is_too_late_for_its_trigger() -> None:
    """A picture that comes after the deadline does not answer the trigger."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt", deadline_ms=100), source) as rig:
        assert rig.ask()
        assert source.hangs()
        rig.clock.turn(0.2)
        source.show(1, 2)
        assert source.hangs()
        (frame,) = rig.frames()
        assert frame.fault is not None
        assert frame.fault.code == "no-image"


def test_a_continuous_camera_answers_triggers_too() -> None:
    """A manual trigger on a continuous camera gets its own frame, which the line takes before the live one."""
    source = ScriptedSource()
    with running(a_live_camera(), source) as rig:
        assert source.hangs()
        rig.clock.turn(0.01)
        assert rig.ask(kind="manual")
        rig.clock.turn(0.01)
        source.show(1, 2, 3)
        assert source.hangs()
        assert [(frame.number, frame.trigger.kind) for frame in rig.frames()] == [
            (2, "manual"),
            (3, "continuous"),
        ]


def test_the_oldest_waiting_trigger_is_told() -> None:
    """waiting_since_ns is the arrival of the oldest trigger whose frame can be taken."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt"), source) as rig:
        assert rig.capture.waiting_since_ns() is None
        assert source.hangs()
        first = rig.clock.now().monotonic_ns + 10_000_000
        rig.clock.turn(0.01)
        assert rig.ask()
        rig.clock.turn(0.01)
        source.show(0, 1)
        assert source.hangs()
        assert rig.ask()
        assert rig.capture.waiting_since_ns() == first


def test_numbers_have_no_hole_whatever_happens() -> None:
    """Replaced, triggered, overflowed and imageless frames of one camera count 1, 2, 3, ... together."""
    source = ScriptedSource()
    with running(a_live_camera(trigger_queue=1), source) as rig:
        numbers: list[int] = []
        replaced = 0
        for value in range(30):
            assert source.hangs()
            rig.clock.turn(0.01)
            if value % 7 == 0:
                rig.ask()
                rig.ask()
            if value % 11 == 0:
                rig.clock.turn(3)
            source.show(2 * value, 2 * value + 1)
            assert source.hangs()
            for taken in iter(rig.capture.take, None):
                numbers.append(taken.frame.number)
                replaced += taken.replaced
        assert len(set(numbers)) == len(numbers)
        assert max(numbers) == len(numbers) + replaced == rig.capture.status()["frames"]


def test_a_stop_leaves_no_trigger_without_a_frame() -> None:
    """Triggers that wait when the camera is stopped become frames without image; later ones are refused."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="mqtt"), source) as rig:
        assert rig.ask()
        rig.capture.stop()
        (frame,) = rig.frames()
        assert frame.fault == Fault("no-image", "the agent stopped before an image came")
        assert not rig.ask()
        assert rig.frames() == []


def test_files_cannot_be_triggered() -> None:
    """A trigger for a camera that reads files is refused and makes no frame."""
    with running(a_file_camera(), ScriptedSource(live=False)) as rig:
        assert not rig.ask()
        assert rig.frames() == []
