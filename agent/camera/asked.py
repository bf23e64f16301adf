"""Triggers that wait for an image, and what became of them."""

import threading
from collections import deque
from dataclasses import dataclass, replace

from agent.camera.numbering import Numbering
from agent.camera.source import Shot
from agent.handoff import Bell, Bounded
from agent.inspection.frame import Fault, Frame, Moment, Subject, Trigger


@dataclass(frozen=True, slots=True)
class _Question:
    trigger: Trigger
    subject: Subject
    arrived_ns: int


class Asked:
    """Every trigger of one camera becomes exactly one frame: with an image, or with the reason for none.

    A trigger takes the first image whose reading began after it arrived; several that wait share it, each
    with a number of its own. Any thread may ``ask``; the capture thread says ``answer``; the line's thread
    takes. A trigger and its frame hold one of ``size`` places until the line takes the frame.

    Args:
        numbering: Makes the frames.
        bell: Rung when a frame waits.
        size: Triggers and triggered frames that may wait together.
        deadline_ns: A trigger without an image after this time gets none.
    """

    def __init__(self, *, numbering: Numbering, bell: Bell, size: int, deadline_ns: int) -> None:
        self._numbering = numbering
        self._bell = bell
        self._size = size
        self._deadline_ns = deadline_ns
        self._lock = threading.Lock()
        self._questions: deque[_Question] = deque()
        self._answered: Bounded[Frame] = Bounded(bell, size=size)
        # Frames without an image cost nothing to keep, and each stands for a part: they have no limit.
        self._imageless: deque[Frame] = deque()
        self.overflow = 0
        """Triggers that found no place."""

    def ask(self, trigger: Trigger, subject: Subject, now: Moment) -> bool:
        """Let a trigger wait for its image.

        Returns:
            False when all places are taken; the trigger's frame then says ``overflow``.
        """
        arrived_ns = now.monotonic_ns if trigger.arrived_ns is None else trigger.arrived_ns
        question = _Question(replace(trigger, arrived_ns=arrived_ns), subject, arrived_ns)
        with self._lock:
            if len(self._questions) + len(self._answered) < self._size:
                self._questions.append(question)
                return True
            self.overflow += 1
        text = f"{self._size} triggered frames wait already (trigger_queue); triggers come faster than verdicts"
        self._give_up([question], Fault("overflow", text), now)
        return False

    def answer(self, shot: Shot, began_ns: int, captured: Moment) -> bool:
        """Give an image to the triggers that arrived before its reading began.

        Args:
            shot: With an image.
            began_ns: Monotonic time at which its reading began.
            captured: When it was there.

        Returns:
            Whether any trigger took it.
        """
        earliest_ns = captured.monotonic_ns - self._deadline_ns
        taken = False
        with self._lock:
            for question in self._removed(earliest_ns, began_ns):
                frame = self._numbering.frame(shot, captured, question.trigger, question.subject)
                taken = self._answered.offer(frame)
        return taken

    def expire(self, why: str, now: Moment) -> None:
        """Give up the triggers whose deadline has passed, with a sentence about the camera."""
        with self._lock:
            late = self._removed(0, now.monotonic_ns - self._deadline_ns)
        text = f"no image within {self._deadline_ns / 1e6:g} ms of the trigger: {why}"
        self._give_up(late, Fault("no-image", text), now)

    def abandon(self, why: str, now: Moment) -> None:
        """Give up every trigger that still waits: no image will come any more."""
        with self._lock:
            left, self._questions = list(self._questions), deque()
        self._give_up(left, Fault("no-image", why), now)

    def take(self) -> Frame | None:
        """The next frame for the line, those without an image first; None when there is none."""
        try:
            return self._imageless.popleft()
        except IndexError:
            return self._answered.take()

    def waiting_since_ns(self, now_ns: int) -> int | None:
        """Arrival of the oldest trigger whose frame waits or is overdue; the line's thread may ask."""
        with self._lock:
            overdue = [q.arrived_ns for q in self._questions if q.arrived_ns <= now_ns - self._deadline_ns]
        heads = [self._imageless[0] if self._imageless else None, self._answered.peek()]
        arrivals = [frame.trigger.arrived_ns for frame in heads if frame is not None]
        return min(overdue + [at for at in arrivals if at is not None], default=None)

    def __len__(self) -> int:
        return len(self._questions) + len(self._imageless) + len(self._answered)

    def _removed(self, from_ns: int, to_ns: int) -> list[_Question]:
        """Take out the questions that arrived in this span, both ends included; the lock is held."""
        out = [q for q in self._questions if from_ns <= q.arrived_ns <= to_ns]
        if out:
            self._questions = deque(q for q in self._questions if not from_ns <= q.arrived_ns <= to_ns)
        return out

    def _give_up(self, questions: list[_Question], fault: Fault, now: Moment) -> None:
        for question in questions:
            frame = self._numbering.imageless(fault, now, question.trigger, question.subject)
            self._imageless.append(frame)
            self._bell.ring()
