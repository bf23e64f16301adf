"""The thread of one camera, and what the line sees of it.

::

    source.read() --> live: frozen? region? --> a trigger waits? --> Asked    (bounded; line takes it first)
                  |                         |-> else continuous  --> Latest   (newest wins)
                  |                         `-> else             --> dropped without a number
                  `-> file: region?  ----------------------------> Blocking  (the source waits)
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from agent.camera.asked import Asked
from agent.camera.backoff import delay_s
from agent.camera.numbering import Numbering
from agent.camera.pace import Pace
from agent.camera.region import region_fault
from agent.camera.source import FrameSource, Shot
from agent.camera.state import CameraState, StateKeeper, as_seen
from agent.camera.stillness import Stillness
from agent.config.sections import Camera, LiveCamera
from agent.errors import CameraError
from agent.handoff import Bell, Blocking, Latest
from agent.inspection.frame import Fault, Frame, Image, Moment, Subject, Trigger, utc_text

_FILES_AHEAD: Final = 4
_FILE_RETRY_MAX_S: Final = 5.0
_STEADY_NS: Final = 10_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A frame for the line, and how many older ones it had replaced.

    Attributes:
        frame: The frame.
        replaced: Images of this camera that were replaced since the last one was taken.
    """

    frame: Frame
    replaced: int


def _nobody(_name: str, _state: CameraState) -> None:
    """Nobody listens."""


class Capture:
    """Reads one camera for as long as the agent runs; a failing one is closed, shown and tried again.

    ``run`` is the body of the camera's thread. ``take`` and ``waiting_since_ns`` belong to the line's
    thread. Any thread may call the rest.

    A frozen camera's picture is never shown as live: from the moment it is found frozen nothing is handed
    over, the camera is reopened, and only a different picture makes it ``running`` again.

    Args:
        camera: The camera's settings.
        source: Where its frames come from.
        now: The clock.
        draw: Uniform random numbers, 0..1, for the jitter between attempts.
        bell: Rung when the line has something to take.
        on_state: Told of each change of state, on the camera's thread.
    """

    def __init__(
        self,
        *,
        camera: Camera,
        source: FrameSource,
        now: Callable[[], Moment],
        draw: Callable[[], float],
        bell: Bell,
        on_state: Callable[[str, CameraState], None] = _nobody,
    ) -> None:
        live = camera if isinstance(camera, LiveCamera) else None
        self.camera = camera
        self._source = source
        self._now = now
        self._draw = draw
        self._bell = bell
        self._longest_s = live.retry_max_s if live else _FILE_RETRY_MAX_S
        self._stillness = Stillness(live.frozen_after_s) if live else None
        self._pace = Pace(int(camera.interval_s * 1e9)) if camera.trigger == "interval" else None
        self._numbering = Numbering(camera)
        self._latest: Latest[Frame] = Latest(bell)
        self._files: Blocking[Frame] = Blocking(bell, size=_FILES_AHEAD)
        self._asked = Asked(
            numbering=self._numbering,
            bell=bell,
            size=camera.trigger_queue,
            deadline_ns=camera.deadline_ms * 1_000_000,
        )
        began = now()
        self._state = StateKeeper(camera.name, began, on_state)
        self._stopping = threading.Event()
        self._finished = False
        self._attempts = 0
        self._replaced = 0
        self._last_read_ns = began.monotonic_ns

    # -- the camera's thread

    def run(self) -> None:
        """Capture until ``stop``, or until the source has ended.

        What is not a ``CameraError`` is raised: it is a fault of the agent, not of the camera.
        """
        try:
            while not self._stopping.is_set():
                if self._reached_end():
                    self._finish()
                    return
        finally:
            self._source.close()

    def _reached_end(self) -> bool:
        try:
            self._read_until_end()
        except CameraError as error:
            self._rest_after(error)
            return False
        return True

    def _read_until_end(self) -> None:
        self._source.open()
        opened_ns = self._now().monotonic_ns
        if self._stillness:
            self._stillness.reopened(opened_ns)
        else:
            self._state.become("running", "", self._now())
        # A stop that came while the source was being opened has closed it too early; so look again.
        while not self._stopping.is_set():
            began_ns = self._now().monotonic_ns
            shot = self._source.read()
            if shot is None:
                return
            self._last_read_ns = self._now().monotonic_ns
            if self._last_read_ns - opened_ns >= _STEADY_NS:
                self._attempts = 0
            if self._source.live:
                self._take_in_live(shot, began_ns)
            else:
                self._take_in_file(shot)

    def _take_in_live(self, shot: Shot, began_ns: int) -> None:
        if shot.image is None:
            why = shot.fault.text if shot.fault else "the camera sent no image"
            raise CameraError(why, state="no-frames")
        captured = self._now()
        outside = region_fault(self.camera.region, shot.image)
        if outside:
            raise CameraError(outside, state="no-frames")
        if not self._moves(shot.image, captured):
            return
        self._state.become("running", "", captured)
        if self._asked.answer(shot, began_ns, captured):
            return
        if self._is_due(captured):
            self._latest.put(self._numbering.frame(shot, captured, Trigger(self.camera.trigger)))

    def _moves(self, image: Image, captured: Moment) -> bool:
        """Whether this picture may be handed over; False until a frozen camera shows another one.

        Raises:
            CameraError: The same picture has come for too long.
        """
        if self._stillness is None:
            return True
        if self._stillness.frozen(image, captured.monotonic_ns):
            text = (
                f"camera {self.camera.name} sends the same picture bit for bit (frozen_after_s);"
                " restart it if this stays"
            )
            raise CameraError(text, state="frozen")
        return not self._stillness.suspect

    def _is_due(self, captured: Moment) -> bool:
        if self._pace is None:
            return self.camera.trigger == "continuous"
        if captured.monotonic_ns < self._pace.due_ns(captured.monotonic_ns):
            return False
        self._pace.taken()
        return True

    def _take_in_file(self, shot: Shot) -> None:
        outside = "" if shot.image is None else region_fault(self.camera.region, shot.image)
        if outside:
            # Files differ in size, and each must be accounted for: one that does not fit ends nothing.
            shot = replace(shot, image=None, fault=Fault("region-outside", f"{shot.source}: {outside}"))
        if self._pace is not None:
            now_ns = self._now().monotonic_ns
            if self._stopping.wait(max(0.0, (self._pace.due_ns(now_ns) - now_ns) / 1e9)):
                return
            self._pace.taken()
        self._files.put(self._numbering.frame(shot, self._now(), Trigger(self.camera.trigger)))

    def _rest_after(self, error: CameraError) -> None:
        self._source.close()
        if self._stopping.is_set():
            return
        self._state.become(error.state, str(error), self._now())
        pause_s = delay_s(self._attempts, self._draw(), longest=self._longest_s)
        self._attempts += 1
        self._stopping.wait(pause_s)

    def _finish(self) -> None:
        if self._stopping.is_set():
            return
        now = self._now()
        self._state.become("ended", "", now)
        self._asked.abandon(f"camera {self.camera.name} has ended", now)
        self._finished = True
        self._bell.ring()

    # -- any thread

    def stop(self) -> None:
        """End ``run`` soon; triggers that still wait become frames without an image."""
        self._stopping.set()
        self._files.close()
        self._source.close()
        self._asked.abandon("the agent stopped before an image came", self._now())

    def trigger(self, trigger: Trigger, subject: Subject) -> bool:
        """Ask a live camera for one frame of one part.

        Args:
            trigger: Of a kind that is triggered; without ``arrived_ns`` it arrives now.
            subject: What the asker knows of the picture.

        Returns:
            False when it was refused: too many wait (a frame with the fault ``overflow`` is made all the
            same), or the camera reads files or is being stopped (nothing is made).
        """
        if not self._source.live or self._stopping.is_set():
            return False
        return self._asked.ask(trigger, subject, self._now())

    def status(self) -> dict[str, Any]:
        """How the camera is doing, ready for JSON."""
        shown = self._shown(self._now())
        return {
            "name": self.camera.name,
            "kind": self.camera.kind,
            "engine": self.camera.engine,
            "state": shown.state,
            "reason": shown.reason,
            "since": utc_text(shown.since.wall),
            "frames": self._numbering.given,
            "replaced": self._replaced,
            "overflow": self._asked.overflow,
            "attempts": self._attempts,
        }

    # -- the line's thread

    def take(self) -> Taken | None:
        """The next frame, or None; never waits. Triggers whose deadline has passed become frames here."""
        if len(self._asked):
            now = self._now()
            self._asked.expire(self._account(now), now)
            asked = self._asked.take()
            if asked is not None:
                return Taken(asked, 0)
        file = self._files.take()
        if file is not None:
            return Taken(file, 0)
        frame, replaced = self._latest.take()
        self._replaced += replaced
        return None if frame is None else Taken(frame, replaced)

    def waiting_since_ns(self) -> int | None:
        """Arrival, on the monotonic clock, of the oldest trigger that can be taken; None without one."""
        return self._asked.waiting_since_ns(self._now().monotonic_ns)

    @property
    def ended(self) -> bool:
        """Whether the source has ended and every frame of it was taken."""
        return self._finished and not (len(self._files) or len(self._latest) or len(self._asked))

    def _shown(self, now: Moment) -> CameraState:
        return as_seen(self._state.now, now, self._last_read_ns) if self._source.live else self._state.now

    def _account(self, now: Moment) -> str:
        """What to say of the camera to somebody who got no image."""
        shown = self._shown(now)
        silent_s = (now.monotonic_ns - self._last_read_ns) / 1e9
        reason = shown.reason or f"its last frame came {silent_s:.1f} s ago"
        return f"camera {self.camera.name} is {shown.state}: {reason}"
