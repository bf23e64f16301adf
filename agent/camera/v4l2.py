"""A USB or other V4L2 camera."""

import os
import stat
from pathlib import Path

import cv2

from agent.camera.decode import quiet_opencv
from agent.camera.source import Shot
from agent.camera.stream import Stream
from agent.errors import CameraError


class V4l2Source:
    """Frames of a V4L2 camera.

    Without a frame OpenCV gives up after 10 s (``OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT`` in the environment of
    the process, in seconds, changes that). ``open``, ``read`` by one thread; ``close`` by any.

    Args:
        device: A path, best one under /dev/v4l/by-id since that survives replugging, or a number.
        width: Frame width to ask for, pixels; 0: what the camera gives.
        height: Frame height to ask for, pixels; 0: what the camera gives.
        fps: Frame rate to ask for; 0: what the camera gives.
        fourcc: Pixel format to ask for, such as MJPG; empty: what the camera gives.
    """

    live = True

    def __init__(self, *, device: str, width: int, height: int, fps: float, fourcc: str) -> None:
        self._node = device_node(device)
        self._wishes = wishes(width=width, height=height, fps=fps, fourcc=fourcc)
        self._stream: Stream | None = None

    def open(self) -> None:
        """Open the camera and ask for format, size and rate.

        Raises:
            CameraError: The camera is not plugged in, may not be used, is in use, or refuses.
        """
        quiet_opencv()
        self._check_node()
        capture = cv2.VideoCapture(str(self._node), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise CameraError(
                f"{self._node} is there and cannot be opened as a camera; another program may be using it"
                " (fuser -v shows which), or it is the node for metadata"
            )
        for prop, value in self._wishes:
            capture.set(prop, value)
        self._stream = Stream(capture)

    def read(self) -> Shot | None:
        """The next frame; None after ``close``.

        Raises:
            CameraError: The camera was unplugged (``offline``) or sends nothing (``no-frames``).
        """
        stream = self._stream
        if stream is None:
            return None
        image = stream.read()
        if image is not None:
            return Shot(image=image)
        self.close()
        if not self._node.exists():
            raise CameraError(f"{self._node} has gone; is the camera still plugged in?")
        raise CameraError(
            f"{self._node} is there and sends no frames; try a smaller size or rate, another port or cable",
            state="no-frames",
        )

    def close(self) -> None:
        """Let go of the camera, at the latest when the running ``read`` ends."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _check_node(self) -> None:
        try:
            mode = self._node.stat().st_mode
        except OSError:
            raise CameraError(
                f"{self._node} is not there; plug the camera in, or choose one that ls /dev/v4l/by-id /dev/video* shows"
            ) from None
        if not stat.S_ISCHR(mode):
            raise CameraError(f"{self._node} is not a camera device; name one under /dev/v4l/by-id")
        if not os.access(self._node, os.R_OK | os.W_OK):
            raise CameraError(f"{self._node} may not be opened; add the agent's user to the group video")


def device_node(device: str) -> Path:
    """The path of a device that may be given as a number."""
    return Path(f"/dev/video{int(device)}" if device.isdecimal() else device)


def wishes(*, width: int, height: int, fps: float, fourcc: str) -> list[tuple[int, float]]:
    """What to ask the camera for, in this order: pixel format, size, rate.

    A driver lists sizes per format and rates per size, so each answer narrows the next question.

    Returns:
        Pairs of OpenCV's ``CAP_PROP_...`` number and value, without those that are 0 or empty.
    """
    asked: list[tuple[int, float]] = []
    if fourcc:
        code = int.from_bytes(fourcc.ljust(4)[:4].encode("ascii", "replace"), "little")
        asked.append((cv2.CAP_PROP_FOURCC, float(code)))
    pairs = (
        (cv2.CAP_PROP_FRAME_WIDTH, width),
        (cv2.CAP_PROP_FRAME_HEIGHT, height),
        (cv2.CAP_PROP_FPS, fps),
    )
    return asked + [(prop, float(value)) for prop, value in pairs if value]
