"""A camera over the simulated line, for a person or a test without a real one."""

import math
import threading
import time

from agent.camera.scene import Knobs, Scene, Truth
from agent.camera.source import Shot


class SimulatedCamera:
    """A live source of simulated parts, whose truth is known.

    ``open``, ``read`` and ``close`` as `FrameSource` says. Closing and opening again goes on with the next part.
    Each shot's ``source`` is its position, ``"1"``, ``"2"``, ..., by which `truth_of` can be asked later.

    Args:
        fps: Parts a second; a reader that is slower gets the next part later, none is skipped.
        knobs: How the line is set up; None: as the demo pack knows it.
        seed: Chooses the parts and everything that happens to them.
        width: Frame width in pixels.
        height: Frame height in pixels.
        frames: After how many parts the line ends; None: never.

    Raises:
        ValueError: ``fps`` is not above 0, ``frames`` is negative, or the frame is too small to show a part.
    """

    live = True

    def __init__(
        self,
        *,
        fps: float = 10.0,
        knobs: Knobs | None = None,
        seed: int = 0,
        width: int = 640,
        height: int = 480,
        frames: int | None = None,
    ) -> None:
        if not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"fps is {fps:g}, a simulated camera needs more than 0")
        if frames is not None and frames < 0:
            raise ValueError(f"frames is {frames}, a simulated camera cannot show fewer than 0")
        Scene.check_size(width, height)
        self._period_s = 1.0 / fps
        self._knobs = knobs
        self._seed = seed
        self._size = (width, height)
        self._frames = frames
        self._position = 0
        self._due_s = 0.0
        self._closed = threading.Event()
        self._closed.set()
        self._building = threading.Lock()
        self._scene: Scene | None = None

    def open(self) -> None:
        """Set the line up, which takes some tenths of a second the first time."""
        self._line()
        self._due_s = time.monotonic()
        self._closed.clear()

    def read(self) -> Shot | None:
        """The next part when it is due; None after the last one, and once the camera is closed."""
        if self._frames is not None and self._position >= self._frames:
            return None
        if self._closed.wait(max(0.0, self._due_s - time.monotonic())):
            return None
        # A reader that fell behind does not get a burst afterwards.
        self._due_s = max(self._due_s, time.monotonic() - self._period_s) + self._period_s
        self._position += 1
        image, _ = self._line().render(self._position)
        return Shot(image, source=str(self._position))

    def close(self) -> None:
        """Stop the line; a waiting read returns at once."""
        self._closed.set()

    def truth_of(self, number: int) -> tuple[Truth, ...]:
        """What is really wrong with part ``number`` (1, 2, ...); from any thread, at any time."""
        return self._line().truth(number)

    def _line(self) -> Scene:
        with self._building:
            if self._scene is None:
                width, height = self._size
                self._scene = Scene(width=width, height=height, seed=self._seed, knobs=self._knobs)
            return self._scene
