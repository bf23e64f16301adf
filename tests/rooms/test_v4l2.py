from pathlib import Path

import cv2
import pytest

from agent.camera.v4l2 import V4l2Source, device_node, wishes
from agent.errors import CameraError


def test_the_camera_is_asked_for_format_then_size_then_rate() -> None:
    """Pixel format comes before size and size before rate; what is 0 or empty is not asked for."""
    mjpg = float(cv2.VideoWriter.fourcc(*"MJPG"))
    assert wishes(width=1280, height=720, fps=30, fourcc="MJPG") == [
        (cv2.CAP_PROP_FOURCC, mjpg),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280.0),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720.0),
        (cv2.CAP_PROP_FPS, 30.0),
    ]
    assert wishes(width=0, height=0, fps=0, fourcc="") == []


@pytest.mark.parametrize(("device", "node"), [("2", "/dev/video2"), ("/dev/v4l/by-id/x", "/dev/v4l/by-id/x")])
def test_a_device_is_a_path_or_a_number(device: str, node: str) -> None:
    """A number stands for /dev/videoN, a path for itself."""
    assert device_node(device) == Path(node)


def test_what_is_not_a_camera_is_refused(tmp_path: Path) -> None:
    """A path that is no device is refused with a sentence, before OpenCV sees it."""
    file = tmp_path / "camera"
    file.write_bytes(b"")
    with pytest.raises(CameraError, match="is not a camera device"):
        V4l2Source(device=str(file), width=0, height=0, fps=0, fourcc="").open()


def test_a_device_of_another_kind_cannot_be_opened() -> None:
    """A device that is there and is no camera is a CameraError in a technician's words, not a crash."""
    with pytest.raises(CameraError, match="cannot be opened as a camera; another program") as caught:
        V4l2Source(device="/dev/null", width=640, height=0, fps=0, fourcc="").open()
    assert caught.value.state == "offline"


def test_a_camera_delivers_frames() -> None:
    """A plugged-in camera delivers pictures."""
    if not Path("/dev/video0").exists():
        pytest.skip("no V4L2 camera on this machine (/dev/video0)")
    source = V4l2Source(device="0", width=0, height=0, fps=0, fourcc="")
    source.open()
    shot = source.read()
    source.close()
    assert shot is not None
    assert shot.image is not None
