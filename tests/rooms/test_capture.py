import pytest
import structlog

from agent.camera.source import Shot
from agent.config.sections import SubjectSection
from agent.errors import CameraError
from agent.inspection.frame import Fault, Frame, Mark, Subject, Trigger
from capture_rig import a_file_camera, a_live_camera, running, shows
from fakes import ScriptedSource, a_picture
from waiting import until

# -- live cameras


def test_the_newest_live_frame_wins_and_the_others_are_counted() -> None:
    """Of many frames nobody took, the line gets the newest; its number and count say what was replaced."""
    source = ScriptedSource()
    with running(a_live_camera(), source) as rig:
        source.show(1, 2, 3, 4, 5)
        assert source.hangs()
        taken = rig.capture.take()
        assert taken is not None
        assert taken.frame.number == 5
        assert taken.replaced == 4
        assert shows(taken.frame, 5)
        assert taken.frame.trigger == Trigger("continuous")
        assert taken.frame.mark is None
        assert rig.capture.take() is None
        assert rig.capture.status()["replaced"] == 4


def test_a_frame_carries_camera_time_and_default_subject() -> None:
    """A frame says which camera took it, when on both clocks, and what the camera's settings say is on it."""
    camera = a_live_camera(subject=SubjectSection(part="A-17", location="hall 2"))
    with running(camera, ScriptedSource(Shot(a_picture(1)))) as rig:
        frame = rig.next_frame()
        assert frame.camera == "top"
        assert frame.captured == rig.clock.now()
        assert frame.subject == Subject(part="A-17", location="hall 2")


def test_an_interval_camera_hands_over_one_frame_each_interval() -> None:
    """With trigger interval the first frame at or after each due time comes; only those have numbers."""
    source = ScriptedSource()
    with running(a_live_camera(trigger="interval", interval_s=2.0), source) as rig:
        numbers = []
        for value in range(9):
            source.show(value)
            assert source.hangs()
            numbers.append([frame.number for frame in rig.frames()])
            rig.clock.turn(0.5)
        assert numbers == [[1], [], [], [], [2], [], [], [], [3]]


def test_a_live_source_that_ends_is_ended_when_all_is_taken() -> None:
    """After a live source's end the camera is ended, but only once its last frame was taken."""
    source = ScriptedSource(Shot(a_picture(1)), None)
    with running(a_live_camera(), source) as rig:
        assert rig.is_state("ended")
        assert [rig.capture.ended, rig.next_frame().number, rig.capture.ended] == [False, 1, True]
        rig.thread.join(timeout=5)
        assert not rig.thread.is_alive()


# -- failures


def test_a_failing_camera_is_shown_closed_and_opened_again() -> None:
    """A CameraError shows its state and sentence; the camera is opened again until it runs, without end."""
    source = ScriptedSource(Shot(a_picture(1)), CameraError("the cable is out; plug it in"))
    with running(a_live_camera(), source) as rig:
        assert until(lambda: len(rig.states) == 2)
        assert [state.state for state in rig.states] == ["running", "offline"]
        assert rig.states[1].reason == "the cable is out; plug it in"
        source.show(2)
        assert rig.is_state("running")
        assert rig.capture.status()["reason"] == ""
        assert source.opened >= 2


def test_a_camera_that_cannot_be_opened_is_tried_for_ever() -> None:
    """Twenty refusals in a row are twenty attempts; the twenty-first that succeeds brings frames."""
    source = ScriptedSource()
    source.refusals.extend(CameraError("nobody answers", state="offline") for _ in range(20))
    with running(a_live_camera(), source) as rig:
        assert source.hangs()
        assert rig.capture.status()["state"] == "offline"
        assert rig.capture.status()["attempts"] == 20
        source.show(1)
        assert rig.is_state("running")
        assert source.opened == 21


def test_attempts_count_from_zero_after_ten_seconds_of_frames() -> None:
    """A camera that has run for 10 s after a failure starts with short pauses again at the next one."""
    source = ScriptedSource(CameraError("gone"))
    with running(a_live_camera(), source) as rig:
        source.show(1)
        assert source.hangs()
        assert rig.capture.status()["attempts"] == 1
        rig.clock.turn(10)
        source.show(2)
        assert source.hangs()
        assert rig.capture.status()["attempts"] == 0


def test_a_pause_between_attempts_ends_with_the_stop() -> None:
    """A camera that rests for half a minute is stopped at once."""
    source = ScriptedSource()
    source.refusals.extend(CameraError("gone") for _ in range(1000))
    with running(a_live_camera(retry_max_s=3600), source, draw=lambda: 1.0) as rig:
        assert rig.is_state("offline")


def test_each_change_of_state_is_logged_once() -> None:
    """Frames and repeated failures of one kind write nothing to the log; changes write one line each."""
    source = ScriptedSource()
    source.refusals.extend(CameraError("nobody answers") for _ in range(5))
    with structlog.testing.capture_logs() as log, running(a_live_camera(), source) as rig:
        source.show(1, 2, 3)
        assert source.hangs()
        assert rig.is_state("running")
    assert [(line["event"], line["state"], line["log_level"]) for line in log] == [
        ("camera.state", "offline", "warning"),
        ("camera.state", "running", "info"),
    ]
    assert log[0]["reason"] == "nobody answers"


def test_what_is_no_camera_error_ends_the_thread() -> None:
    """An exception that is not the camera's fault is not retried: it leaves run, and the source is closed."""
    source = ScriptedSource(RuntimeError("a fault of the agent"))
    with pytest.raises(RuntimeError, match="a fault of the agent"), running(a_live_camera(), source) as rig:
        rig.thread.join(timeout=5)
    assert source.read() is None


def test_a_frozen_picture_is_never_shown_as_live() -> None:
    """Bit-identical frames for frozen_after_s: nothing is handed over and the camera is reopened, until it moves."""
    source = ScriptedSource()
    with running(a_live_camera(frozen_after_s=10.0), source) as rig:
        source.show(7)
        assert rig.next_frame().number == 1
        rig.clock.turn(9.9)
        source.show(7)
        assert rig.next_frame().number == 2
        rig.clock.turn(0.1)
        source.show(7)
        assert rig.is_state("frozen")
        assert "same picture" in rig.capture.status()["reason"]
        assert source.hangs()
        assert source.opened == 2
        source.show(7, 7)
        assert source.hangs()
        assert rig.frames() == []
        assert rig.capture.status()["state"] == "frozen"
        rig.clock.turn(10)
        source.show(7)
        assert until(lambda: source.opened == 3)
        source.show(8)
        assert rig.next_frame().number == 3
        assert rig.capture.status()["state"] == "running"


def test_files_may_look_alike() -> None:
    """Equal pictures in a folder are inspected each; only live cameras freeze."""
    source = ScriptedSource(*(Shot(a_picture(1), str(n)) for n in range(3)), None, live=False)
    with running(a_file_camera(), source) as rig:
        assert [frame.number for frame in rig.gathered(3)] == [1, 2, 3]
        assert until(lambda: rig.capture.ended)


def test_a_region_outside_a_live_picture_is_a_fault_of_the_camera() -> None:
    """A region that reaches out of the picture shows a sentence with both sizes instead of frames."""
    source = ScriptedSource(Shot(a_picture(1)))
    with running(a_live_camera(region=(10, 10, 100, 40)), source) as rig:
        assert rig.is_state("no-frames")
        assert "100 x 40" in rig.capture.status()["reason"]
        assert "64 x 48" in rig.capture.status()["reason"]
        assert rig.frames() == []


def test_a_live_camera_that_hangs_in_a_read_is_not_shown_as_running() -> None:
    """Without a frame for 15 s a live camera is shown as no-frames even while its thread hangs."""
    source = ScriptedSource(Shot(a_picture(1)))
    with running(a_live_camera(), source) as rig:
        assert source.hangs()
        assert rig.capture.status()["state"] == "running"
        rig.clock.turn(16)
        assert rig.capture.status()["state"] == "no-frames"
        assert rig.capture.status()["reason"] == "no frame for 16 s, the camera hangs"


# -- files


def test_no_file_is_dropped_however_slow_the_line_is() -> None:
    """A file source waits while its frames wait; every file comes, in order, with the next number."""
    marks = [Mark(root="folder:/x", item=f"{n}.png", fingerprint="1-1") for n in range(50)]
    shots = [Shot(a_picture(n), f"{n}.png", mark) for n, mark in enumerate(marks)]
    source = ScriptedSource(*shots, None, live=False)
    with running(a_file_camera(), source) as rig:
        assert until(lambda: rig.capture.status()["frames"] == 5)  # four wait, one is held by the source
        found: list[Frame] = []
        while not rig.capture.ended:
            assert rig.bell.wait(5) or rig.capture.ended
            found.extend(rig.frames())
        assert [frame.number for frame in found] == list(range(1, 51))
        assert [frame.mark for frame in found] == marks
        assert [frame.source for frame in found] == [mark.item for mark in marks]
        assert rig.capture.status()["state"] == "ended"


def test_a_corrupt_file_is_a_frame_with_a_number() -> None:
    """A file without a picture comes as a frame with its fault, in its place, numbers going on."""
    fault = Fault("corrupt-file", "2.png: the file is empty")
    source = ScriptedSource(
        Shot(a_picture(1), "1.png"), Shot(None, "2.png", None, fault), Shot(a_picture(3), "3.png"), live=False
    )
    with running(a_file_camera(), source) as rig:
        found = rig.gathered(3)
        assert [frame.fault for frame in found] == [None, fault, None]
        assert [frame.number for frame in found] == [1, 2, 3]


def test_a_file_that_the_region_does_not_fit_is_a_fault_of_that_file() -> None:
    """A picture smaller than the region becomes a frame without image that names both; the next one comes."""
    source = ScriptedSource(Shot(a_picture(1), "small.png"), Shot(a_picture(2, width=200), "large.png"), live=False)
    with running(a_file_camera(region=(0, 0, 100, 48)), source) as rig:
        found = rig.gathered(2)
        small, large = found
        assert small.image is None
        assert small.fault is not None
        assert small.fault.code == "region-outside"
        assert small.fault.text.startswith("small.png: the region reaches to 100 x 48")
        assert large.fault is None


def test_files_are_paced_by_the_interval() -> None:
    """With trigger interval one file comes each interval; an early one waits for its time."""
    source = ScriptedSource(*(Shot(a_picture(n), f"{n}.png") for n in range(3)), None, live=False)
    with running(a_file_camera(trigger="interval", interval_s=86_400.0), source) as rig:
        assert rig.next_frame().trigger == Trigger("interval")
        assert until(lambda: len(source) == 2)  # the second is read, and waits for tomorrow
        assert rig.capture.status()["frames"] == 1


def test_a_missing_folder_is_tried_again() -> None:
    """A file camera that cannot be opened is offline and goes on as soon as it can."""
    source = ScriptedSource(Shot(a_picture(1), "1.png"), live=False)
    source.refusals.append(CameraError("the folder /x does not exist; create it"))
    with running(a_file_camera(), source) as rig:
        assert rig.next_frame().source == "1.png"
        assert [state.state for state in rig.states] == ["offline", "running"]


# -- what is shown


def test_the_status_is_complete() -> None:
    """The status names camera, kind, engine, state since when, and counts."""
    with running(a_live_camera(), ScriptedSource(Shot(a_picture(1)))) as rig:
        assert rig.is_state("running")
        assert rig.next_frame().number == 1
        assert rig.capture.status() == {
            "name": "top",
            "kind": "simulated",
            "engine": "pcb",
            "state": "running",
            "reason": "",
            "since": "2026-11-22T09:16:40.000000Z",
            "frames": 1,
            "replaced": 0,
            "overflow": 0,
            "attempts": 0,
        }
