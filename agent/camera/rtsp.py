"""A network camera over RTSP, through OpenCV's FFmpeg."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import cv2

from agent.camera.decode import quiet_opencv
from agent.camera.source import Shot
from agent.camera.stream import Stream
from agent.errors import CameraError, ConfigError
from agent.secret import secret

_OPTIONS: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


class RtspSource:
    """Frames of a network camera. ``open``, ``read`` by one thread; ``close`` by any.

    Args:
        url: rtsp://host:port/path, without user and password.
        username: User name; empty: none.
        password_file: File whose first line is the password; read again at each ``open``.
        transport: ``tcp`` or ``udp``.
        open_timeout_ms: Longest time that ``open`` takes.
        read_timeout_ms: Longest time that ``read`` takes.
    """

    live = True

    def __init__(
        self,
        *,
        url: str,
        username: str,
        password_file: Path | None,
        transport: str,
        open_timeout_ms: int,
        read_timeout_ms: int,
    ) -> None:
        self._url = url
        self._username = username
        self._password_file = password_file
        self._transport = transport
        self._open_timeout_ms = open_timeout_ms
        self._read_timeout_ms = read_timeout_ms
        self._stream: Stream | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            CameraError: Nobody answers in time, the camera refuses, or the password cannot be read.
        """
        quiet_opencv()
        address = with_credentials(self._url, self._username, self._password())
        # Given here and not with set(): an unopened capture ignores them and waits for 30 s.
        limits = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self._open_timeout_ms),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._read_timeout_ms),
        ]
        began = time.monotonic()
        with _TURNS.transport(self._transport):
            capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        if capture.isOpened():
            self._stream = Stream(capture)
            return
        raise CameraError(f"{self._url} {self._no_connection(time.monotonic() - began)}")

    def read(self) -> Shot | None:
        """The next frame; None after ``close``.

        Raises:
            CameraError: No frame came in time (``no-frames``), or the connection ended (``offline``).
        """
        stream = self._stream
        if stream is None:
            return None
        began = time.monotonic()
        image = stream.read()
        if image is not None:
            return Shot(image=image)
        self.close()
        if (time.monotonic() - began) * 1e3 >= 0.9 * self._read_timeout_ms:
            limit = self._read_timeout_ms / 1e3
            raise CameraError(
                f"{self._url} is connected and sent no frame for {limit:g} s; is the camera or network hanging?",
                state="no-frames",
            )
        raise CameraError(f"{self._url} ended the connection; did the camera restart or the network fail?")

    def close(self) -> None:
        """Disconnect, at the latest when the running ``read`` ends."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _password(self) -> str | None:
        try:
            return secret(self._password_file, what=f"password of {self._url}")
        except ConfigError as error:
            raise CameraError(str(error)) from error

    def _no_connection(self, took_s: float) -> str:
        if took_s * 1e3 >= 0.9 * self._open_timeout_ms:
            return f"did not answer within {self._open_timeout_ms / 1e3:g} s; are camera and network up?"
        who = "user and password" if self._username else "whether it wants a user and password"
        return f"refused the connection or has no such stream; check address, path, {who}"


def with_credentials(url: str, username: str, password: str | None) -> str:
    """The address as FFmpeg wants it, user and password percent-encoded; never to be logged or shown."""
    if not username:
        return url
    who = quote(username, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{who}@{rest}"


def with_transport(options: str, transport: str) -> str:
    """OpenCV's FFmpeg options, ``key;value|key;value``, with this transport and all else as it was."""
    kept = [pair for pair in options.split("|") if pair and not pair.startswith("rtsp_transport;")]
    return "|".join([f"rtsp_transport;{transport}", *kept])


class _TransportTurns:
    """Lets connections be opened at the same time while they want the same transport.

    OpenCV takes the transport from the environment of the process only. Cameras of one transport, the usual
    case, do not wait for each other, however long an absent one takes to time out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._opening = 0

    @contextmanager
    def transport(self, transport: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._opening == 0 or self._wanted(transport))
            if not self._wanted(transport):
                # Left as it is afterwards: other kinds of streams ignore it, and to take it away again
                # under a reader of the environment in C is not safe.
                os.environ[_OPTIONS] = with_transport(os.environ.get(_OPTIONS, ""), transport)
            self._opening += 1
        try:
            yield
        finally:
            with self._changed:
                self._opening -= 1
                self._changed.notify_all()

    @staticmethod
    def _wanted(transport: str) -> bool:
        return f"rtsp_transport;{transport}" in os.environ.get(_OPTIONS, "").split("|")


_TURNS = _TransportTurns()
