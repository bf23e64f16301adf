"""Every frame of a camera gets the next number, whichever thread makes it."""

import threading

from agent.camera.source import Shot
from agent.config.sections import AnyCamera
from agent.inspection.frame import Fault, Frame, Moment, Subject, Trigger


class Numbering:
    """Makes one camera's frames: 1, 2, 3, ... without a hole, under the camera's name and default subject.

    Any thread may call it.

    Args:
        camera: The camera's settings.
    """

    def __init__(self, camera: AnyCamera) -> None:
        self._name = camera.name
        self._subject = Subject(**camera.subject.model_dump())
        self._lock = threading.Lock()
        self._given = 0

    @property
    def given(self) -> int:
        """The number given last; 0 before the first."""
        return self._given

    def frame(self, shot: Shot, captured: Moment, trigger: Trigger, subject: Subject | None = None) -> Frame:
        """The frame of a shot.

        Args:
            shot: The image, or why there is none.
            captured: When.
            trigger: What asked for it.
            subject: What the trigger knows of the picture; it overrides the camera's default.
        """
        with self._lock:
            self._given += 1
            number = self._given
        return Frame(
            image=shot.image,
            camera=self._name,
            number=number,
            source=shot.source,
            captured=captured,
            trigger=trigger,
            subject=self._subject if subject is None else self._subject.overridden(subject),
            fault=shot.fault,
            mark=shot.mark,
        )

    def imageless(self, fault: Fault, captured: Moment, trigger: Trigger, subject: Subject) -> Frame:
        """The frame of a trigger that gets no image."""
        return self.frame(Shot(image=None, fault=fault), captured, trigger, subject)
