"""One open stream of OpenCV, which may be closed from another thread while it is being read."""

import threading
from typing import cast

import cv2

from agent.inspection.frame import Image


class Stream:
    """A ``cv2.VideoCapture`` that is never released under a running read, which would crash the process.

    ``grab``, ``read`` and ``figure`` from one thread, ``close`` from any: it releases the capture, or
    leaves that to the read that is under way.

    Args:
        capture: An opened capture; nobody else may use it from here on.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._busy = threading.Lock()
        self._closing = False

    def read(self) -> Image | None:
        """The next picture, shape (h, w, 3), uint8, BGR; None when there is none or it was closed."""
        image = None
        with self._busy:
            if not self._closing:
                _, image = self._capture.read()
        self._close_late()
        return cast("Image | None", image)

    def grab(self) -> bool:
        """Go on by one picture without converting it; False when there is none or it was closed."""
        grabbed = False
        with self._busy:
            if not self._closing:
                grabbed = self._capture.grab()
        self._close_late()
        return grabbed

    def figure(self, prop: int) -> float:
        """One of OpenCV's ``CAP_PROP_...`` numbers; 0 where the stream does not say."""
        with self._busy:
            return 0.0 if self._closing else self._capture.get(prop)

    def close(self) -> None:
        """Let go of the stream, now or when the read under way returns; safe to call twice."""
        self._closing = True
        if self._busy.acquire(blocking=False):
            try:
                self._capture.release()
            finally:
                self._busy.release()

    def _close_late(self) -> None:
        if self._closing:
            self.close()
