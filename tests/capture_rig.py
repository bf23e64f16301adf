"""A capture on a scripted source and a clock turned by hand, for tests of the camera's thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agent.camera.capture import Capture
from agent.camera.state import CameraState
from agent.config.sections import Camera, FolderCamera, SimulatedCamera
from agent.handoff import Bell
from agent.inspection.frame import Frame, Subject, Trigger
from fakes import HandClock, ScriptedSource, a_picture
from waiting import until


def a_live_camera(**keys: Any) -> SimulatedCamera:
    """Settings of a live camera; its source is scripted all the same."""
    return SimulatedCamera(**{"name": "top", "engine": "pcb", **keys})


def a_file_camera(**keys: Any) -> FolderCamera:
    """Settings of a camera that reads files."""
    return FolderCamera(**{"name": "files", "engine": "pcb", "path": Path("/unused"), **keys})


def shows(frame: Frame, value: int) -> bool:
    """Whether a frame's image is the picture of that value."""
    return frame.image is not None and np.array_equal(frame.image, a_picture(value))


class Rig:
    """One camera under test: its source, its clock, its thread, and what its capture said."""

    def __init__(self, camera: Camera, source: ScriptedSource, draw: Callable[[], float]) -> None:
        self.source = source
        self.clock = HandClock()
        self.bell = Bell()
        self.states: list[CameraState] = []
        self.error: BaseException | None = None
        self.capture = Capture(
            camera=camera,
            source=source,
            now=self.clock.now,
            draw=draw,
            bell=self.bell,
            on_state=lambda _, state: self.states.append(state),
        )
        self.thread = threading.Thread(target=self._run, name=f"capture-{camera.name}")

    def _run(self) -> None:
        try:
            self.capture.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def frames(self) -> list[Frame]:
        """Everything that can be taken now."""
        return [taken.frame for taken in iter(self.capture.take, None)]

    def gathered(self, count: int) -> list[Frame]:
        """As many frames, waiting for them, and none more."""
        found: list[Frame] = []

        def enough() -> bool:
            found.extend(self.frames())
            return len(found) >= count

        assert until(enough)
        assert len(found) == count
        return found

    def next_frame(self) -> Frame:
        """The next frame, waiting for it."""
        return self.gathered(1)[0]

    def ask(self, kind: str = "mqtt", subject: Subject | None = None, **metadata: Any) -> bool:
        return self.capture.trigger(Trigger(kind, metadata), subject or Subject())

    def is_state(self, state: str) -> bool:
        return until(lambda: self.capture.status()["state"] == state)


@contextmanager
def running(camera: Camera, source: ScriptedSource, draw: Callable[[], float] = lambda: 0.0) -> Iterator[Rig]:
    """Run a capture; a fault of its thread is raised at the end."""
    rig = Rig(camera, source, draw)
    rig.thread.start()
    try:
        yield rig
    finally:
        rig.capture.stop()
        rig.thread.join(timeout=5)
        assert not rig.thread.is_alive()
    if rig.error is not None:
        raise rig.error
