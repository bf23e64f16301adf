import os
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, monotonic_ns

import pytest
import structlog

from agent.camera.capture import Capture
from agent.camera.opening import open_source
from agent.camera.rtsp import RtspSource, with_credentials, with_transport
from agent.config.sections import RtspCamera
from agent.errors import CameraError
from agent.handoff import Bell
from agent.inspection.frame import Moment
from rtsp_camera import RtspServer, why_not
from waiting import until

SECRET = "p@ss:word/1"


def now() -> Moment:
    """This moment."""
    return Moment(datetime.now(timezone.utc), monotonic_ns(), "synced")


@pytest.fixture
def server() -> Iterator[RtspServer]:
    """A running server."""
    if why_not():
        pytest.skip(why_not())
    server = RtspServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def capture(server: RtspServer) -> Iterator[Capture]:
    """A running camera on the server, whose pauses between attempts are at most half a second."""
    camera = RtspCamera(
        name="net",
        engine="pcb",
        url=server.url,
        retry_max_s=0.5,
        open_timeout_ms=1_500,
        read_timeout_ms=1_000,
    )
    capture = Capture(camera=camera, source=open_source(camera), now=now, draw=lambda: 1.0, bell=Bell())
    thread = threading.Thread(target=capture.run, name="capture-net")
    thread.start()
    yield capture
    capture.stop()
    thread.join(timeout=5)
    assert not thread.is_alive()


def is_state(capture: Capture, state: str, *, within_s: float = 15.0) -> bool:
    """Whether the camera is shown in that state before patience ends."""
    return until(lambda: capture.status()["state"] == state, within_s=within_s)


def frames_arrive(capture: Capture) -> bool:
    """Whether two different frames come from now on."""
    before = capture.status()["frames"]
    return until(lambda: capture.status()["frames"] >= before + 2)


def test_frames_arrive(capture: Capture) -> None:
    """A camera on a real RTSP server runs and hands over its pictures."""
    assert is_state(capture, "running")
    assert frames_arrive(capture)
    taken = capture.take()
    assert taken is not None
    assert taken.frame.image is not None
    assert taken.frame.image.shape == (240, 320, 3)
    assert taken.frame.mark is None


def test_a_killed_server_is_offline_and_a_restarted_one_runs(server: RtspServer, capture: Capture) -> None:
    """A server that dies shows the camera as offline with its address; when it is back, frames come again."""
    assert is_state(capture, "running")
    server.kill()
    assert is_state(capture, "offline")
    assert server.url in capture.status()["reason"]
    assert until(lambda: capture.status()["attempts"] >= 2)
    server.start()
    assert is_state(capture, "running")
    assert frames_arrive(capture)


def test_a_stalled_server_sends_no_frames_and_one_that_goes_on_runs(server: RtspServer, capture: Capture) -> None:
    """A server that stalls shows the camera as no-frames within the read timeout; when it goes on, it runs."""
    assert is_state(capture, "running")
    server.stall()
    stalled = monotonic()
    assert is_state(capture, "no-frames", within_s=8.0)
    assert monotonic() - stalled > 0.5
    assert "sent no frame for 1 s" in capture.status()["reason"]
    server.go_on()
    assert is_state(capture, "running")
    assert frames_arrive(capture)


def test_a_stalled_server_that_is_restarted_runs(server: RtspServer, capture: Capture) -> None:
    """While a server stalls, opening it times out instead of hanging; after its restart frames come again."""
    assert is_state(capture, "running")
    server.stall()
    assert until(lambda: "did not answer within 1.5 s" in capture.status()["reason"], within_s=15)
    assert capture.status()["state"] == "offline"
    server.kill()
    server.start()
    assert is_state(capture, "running")
    assert frames_arrive(capture)


def test_a_camera_that_hangs_is_stopped_within_its_read_timeout(server: RtspServer, capture: Capture) -> None:
    """Stopping while a read hangs does not crash; the thread ends when the read times out."""
    assert is_state(capture, "running")
    server.stall()
    capture.stop()
    assert until(lambda: all(t.name != "capture-net" for t in threading.enumerate()), within_s=5.0)


def test_the_password_appears_nowhere_but_in_the_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a CameraError nor a log line nor OpenCV's own output nor the source itself holds the password."""
    secret = tmp_path / "password"
    secret.write_text(SECRET + "\n")
    camera = RtspCamera(
        name="net",
        engine="pcb",
        url="rtsp://127.0.0.1:9/live",
        username="inspector",
        password_file=secret,
        open_timeout_ms=500,
    )
    source = open_source(camera)
    with structlog.testing.capture_logs() as log, pytest.raises(CameraError) as caught:
        source.open()
    said = f"{caught.value!r} {caught.value.__cause__!r} {log} {capfd.readouterr()} {vars(source)}"
    assert "rtsp://127.0.0.1:9/live" in said
    assert "p%40ss" not in said
    assert SECRET not in said


def test_a_missing_password_file_is_the_cameras_fault(tmp_path: Path) -> None:
    """A password file that cannot be read is an offline camera whose sentence names the file."""
    source = RtspSource(
        url="rtsp://127.0.0.1:9/live",
        username="inspector",
        password_file=tmp_path / "none",
        transport="tcp",
        open_timeout_ms=500,
        read_timeout_ms=500,
    )
    with pytest.raises(CameraError, match="none cannot be read"):
        source.open()


@pytest.mark.parametrize(
    ("username", "password", "address"),
    [
        ("", None, "rtsp://10.0.0.5:554/s1?x=1"),
        ("user", None, "rtsp://user@10.0.0.5:554/s1?x=1"),
        ("us@er", "a:b/c@d", "rtsp://us%40er:a%3Ab%2Fc%40d@10.0.0.5:554/s1?x=1"),
    ],
)
def test_credentials_are_percent_encoded(username: str, password: str | None, address: str) -> None:
    """User and password may hold any character without breaking the address."""
    assert with_credentials("rtsp://10.0.0.5:554/s1?x=1", username, password) == address


@pytest.mark.parametrize(
    ("options", "result"),
    [
        ("", "rtsp_transport;udp"),
        ("rtsp_transport;tcp", "rtsp_transport;udp"),
        ("fflags;nobuffer|rtsp_transport;tcp|max_delay;5", "rtsp_transport;udp|fflags;nobuffer|max_delay;5"),
    ],
)
def test_the_transport_leaves_other_options_alone(options: str, result: str) -> None:
    """Choosing a transport keeps the other FFmpeg options that somebody has set for the process."""
    assert with_transport(options, "udp") == result


def test_cameras_of_both_transports_open_side_by_side(server: RtspServer) -> None:
    """A tcp and a udp camera opened at the same time both get frames."""
    got: list[str] = []

    def look(transport: str) -> None:
        source = RtspSource(
            url=server.url,
            username="",
            password_file=None,
            transport=transport,
            open_timeout_ms=5_000,
            read_timeout_ms=3_000,
        )
        source.open()
        if source.read() is not None:
            got.append(transport)
        source.close()

    threads = [threading.Thread(target=look, args=[name], name=name) for name in ("tcp", "udp")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(got) == ["tcp", "udp"]
    assert "rtsp_transport;" in os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
