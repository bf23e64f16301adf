"""A video file, frame by frame."""

from pathlib import Path

import cv2

from agent.camera.decode import quiet_opencv
from agent.camera.source import Shot
from agent.camera.stream import Stream
from agent.errors import CameraError
from agent.inspection.frame import Fault, Mark


class VideoSource:
    """The frames of a video file in their order; a frame's source is its position 1, 2, 3, ...

    Where the file ends well before the number of frames that it announces, one last shot without an image
    says so. ``open``, ``read`` by one thread; ``close`` by any.

    Args:
        path: The file.
        done_upto: All frames up to this position are inspected already.
        done_beyond: The positions after it that are inspected too.
    """

    live = False

    def __init__(self, *, path: Path, done_upto: int, done_beyond: frozenset[int]) -> None:
        self._file = path.absolute()
        self._upto = done_upto
        self._beyond = done_beyond
        self._position = 0
        self._announced = 0
        self._stream: Stream | None = None

    def open(self) -> None:
        """Open the file; the frames that were read before are skipped.

        Raises:
            CameraError: The file is missing, or OpenCV finds no video in it.
        """
        quiet_opencv()
        if not self._file.is_file():
            raise CameraError(f"the video file {self._file} does not exist; correct the camera's path")
        # A frame that was handed over by this source is done as far as this source is concerned.
        self._upto = max(self._upto, self._position)
        self._position = 0
        capture = cv2.VideoCapture(str(self._file), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise CameraError(f"{self._file} cannot be read as a video: damaged, cut off or of unknown kind")
        self._stream = Stream(capture)
        self._announced = int(self._stream.figure(cv2.CAP_PROP_FRAME_COUNT))

    def read(self) -> Shot | None:
        """The next frame that is not inspected yet; None at the end of the file or after ``close``."""
        stream = self._stream
        if stream is None:
            return None
        while self._is_done(self._position + 1) and stream.grab():
            self._position += 1
        image = stream.read()
        if image is None:
            self.close()
            return self._cut_off()
        self._position += 1
        return Shot(image=image, source=str(self._position), mark=self._mark())

    def close(self) -> None:
        """Let go of the file; a running ``read`` ends with its frame."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _is_done(self, position: int) -> bool:
        return position <= self._upto or position in self._beyond

    def _mark(self) -> Mark:
        return Mark(root=f"video:{self._file}", position=self._position)

    def _cut_off(self) -> Shot | None:
        """The shot that says that frames are missing, once; None where the file simply ended."""
        missing = self._announced - self._position
        # Some containers only let FFmpeg estimate the number from duration and rate.
        if missing <= max(2, self._announced // 50) or self._is_done(self._position + 1):
            return None
        self._position += 1
        text = (
            f"{self._file.name}: frame {self._position} of {self._announced} announced ones cannot be "
            "decoded, nor can what follows; the file is damaged or cut off"
        )
        source = str(self._position)
        return Shot(image=None, source=source, mark=self._mark(), fault=Fault("corrupt-file", text))
