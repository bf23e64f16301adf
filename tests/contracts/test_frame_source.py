"""What every source of frames promises, seen on each of them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.camera.folder import FolderSource
from agent.camera.rtsp import RtspSource
from agent.camera.scene import Knobs
from agent.camera.simulated import SimulatedCamera
from agent.camera.source import FrameSource, Shot
from agent.camera.v4l2 import V4l2Source
from agent.camera.video import VideoSource
from agent.errors import CameraError
from fakes import ScriptedSource, a_picture
from rtsp_camera import RtspServer, why_not

COUNT = 4


def a_folder(path: Path, *, watch: bool = False) -> FolderSource:
    """A folder of COUNT pictures."""
    for n in range(COUNT):
        cv2.imwrite(str(path / f"{n}.png"), a_picture(n))
    return FolderSource(path=path, watch=watch, settle_ms=0, done={})


def a_video(path: Path) -> VideoSource:
    """A video file of COUNT frames."""
    file = path / "parts.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for n in range(COUNT):
        writer.write(a_picture(n * 40))
    writer.release()
    return VideoSource(path=file, done_upto=0, done_beyond=frozenset())


def a_simulation(_: Path) -> SimulatedCamera:
    """A simulated line without an end."""
    return SimulatedCamera(fps=100.0, knobs=Knobs(), seed=1, width=320, height=240, frames=None)


def a_script(_: Path) -> ScriptedSource:
    """A scripted live camera of COUNT pictures, which then hangs."""
    return ScriptedSource(*(Shot(a_picture(n)) for n in range(COUNT)))


def a_file_script(_: Path) -> ScriptedSource:
    """A scripted file source of COUNT pictures, which then ends."""
    return ScriptedSource(*(Shot(a_picture(n)) for n in range(COUNT)), None, None, live=False)


def a_network_camera(url: str) -> RtspSource:
    """A network camera."""
    return RtspSource(
        url=url,
        username="",
        password_file=None,
        transport="tcp",
        open_timeout_ms=5_000,
        read_timeout_ms=2_000,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    """One server for all."""
    if why_not():
        pytest.skip(why_not())
    server = RtspServer()
    server.start()
    yield server
    server.kill()


MAKERS: dict[str, Callable[[Path], FrameSource]] = {
    "folder": a_folder,
    "watched-folder": lambda path: a_folder(path, watch=True),
    "video": a_video,
    "simulated": a_simulation,
    "scripted": a_script,
}


@pytest.fixture(params=[*MAKERS, "rtsp"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrameSource]:
    """Each kind of source, one after the other."""
    made: FrameSource = (
        a_network_camera(request.getfixturevalue("server").url)
        if request.param == "rtsp"
        else MAKERS[request.param](tmp_path)
    )
    yield made
    made.close()


def test_a_shot_holds_a_bgr_picture_of_bytes(source: FrameSource) -> None:
    """After open, each read yields a shot whose image is (h, w, 3) uint8 in one piece of memory."""
    source.open()
    for _ in range(COUNT):
        shot = source.read()
        assert shot is not None
        assert shot.fault is None
        assert shot.image is not None
        assert shot.image.dtype == np.uint8
        assert shot.image.ndim == 3
        assert shot.image.shape[2] == 3
        assert shot.image.flags.c_contiguous


def test_an_image_is_not_written_over_by_the_next(source: FrameSource) -> None:
    """A picture that was handed over stays as it was while the source reads on."""
    source.open()
    first = source.read()
    assert first is not None
    assert first.image is not None
    kept = first.image.copy()
    second = source.read()
    assert second is not None
    assert second.image is not None
    assert not np.shares_memory(first.image, second.image)
    assert np.array_equal(first.image, kept)


def test_close_may_come_at_any_time_and_twice(source: FrameSource) -> None:
    """Closing before the first open, and again after a close, does nothing."""
    source.close()
    source.open()
    source.close()
    source.close()


def test_a_closed_source_yields_nothing(source: FrameSource) -> None:
    """After close a read ends, with None or a CameraError, and never with a picture."""
    source.open()
    assert source.read() is not None
    source.close()
    try:
        shot = source.read()
    except CameraError:
        shot = None
    assert shot is None


def test_a_closed_source_opens_again_and_goes_on(source: FrameSource) -> None:
    """After close and open frames come again, and what a file source has yielded does not come twice."""
    source.open()
    first = source.read()
    source.close()
    source.open()
    second = source.read()
    assert first is not None
    assert second is not None
    assert source.live or first.mark != second.mark


@pytest.mark.parametrize("kind", ["watched-folder", "scripted", "simulated"])
def test_close_ends_a_read_that_waits(kind: str, tmp_path: Path) -> None:
    """A read that waits for a picture ends when another thread closes the source."""
    if kind == "simulated":
        source: FrameSource = SimulatedCamera(fps=0.01, seed=1, width=320, height=240, frames=None)
    elif kind == "scripted":
        source = ScriptedSource()
    else:
        source = FolderSource(path=tmp_path, watch=True, settle_ms=0, done={})
    source.open()
    if kind == "simulated":
        source.read()  # the first part comes at once, the next one in 100 s
    reader = threading.Thread(target=source.read, name="reader")
    reader.start()
    source.close()
    reader.join(timeout=5)
    assert not reader.is_alive()


@pytest.mark.parametrize("make", [a_folder, a_video, a_file_script], ids=["folder", "video", "scripted"])
def test_files_end_with_none(make: Callable[[Path], FrameSource], tmp_path: Path) -> None:
    """A file source yields each picture once, then None, however often it is asked."""
    source = make(tmp_path)
    assert not source.live
    source.open()
    shots = [source.read() for _ in range(COUNT + 2)]
    source.close()
    assert [shot is not None for shot in shots] == [True] * COUNT + [False, False]


@pytest.mark.parametrize("make", [a_folder, a_video], ids=["folder", "video"])
def test_shots_of_files_say_where_they_come_from(make: Callable[[Path], FrameSource], tmp_path: Path) -> None:
    """Each shot of a file source has a source and a mark of its own; those of live ones have no mark."""
    source = make(tmp_path)
    source.open()
    shots = [shot for shot in (source.read() for _ in range(COUNT)) if shot]
    source.close()
    assert len({shot.source for shot in shots}) == COUNT
    assert len({shot.mark for shot in shots}) == COUNT
    assert all(shot.mark is not None for shot in shots)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(FolderSource(path=Path("/nowhere/at/all"), watch=True, settle_ms=0, done={}), id="folder"),
        pytest.param(VideoSource(path=Path("/nowhere/at.avi"), done_upto=0, done_beyond=frozenset()), id="video"),
        pytest.param(V4l2Source(device="/dev/v4l/by-id/none", width=0, height=0, fps=0, fourcc=""), id="v4l2"),
        pytest.param(a_network_camera("rtsp://127.0.0.1:9/live"), id="rtsp"),
    ],
)
def test_a_camera_that_cannot_be_opened_says_so(source: FrameSource) -> None:
    """Opening what is not there is a CameraError, state offline, whose sentence names it and what to do."""
    with pytest.raises(CameraError, match=r"(/nowhere/at|/dev/v4l|rtsp://127).*; ") as caught:
        source.open()
    assert caught.value.state == "offline"
    source.close()
