"""Threads by name: started, watched for a death that nobody planned, and ended within a budget."""

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

_log = structlog.get_logger()

_M_ARENA_MAX: Final = -8  # malloc.h of glibc


def share_heaps(number: int = 2) -> None:
    """Let all threads of this process take their memory from so few heaps; call it before they are started.

    glibc gives nearly every thread a heap of its own, and what a picture left in one is of no use to the others:
    on a two-core machine that cost the daemon 20 MB. Without glibc nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, number)


class Crew:
    """The threads of one agent. A thread that dies of an exception ends the agent: it sets ``stop``.

    Args:
        stop: Set when a thread has died.

    Attributes:
        died: Whether one has.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._threads: dict[str, threading.Thread] = {}
        self.died = False
        threading.excepthook = self._on_death

    def start(self, name: str, body: Callable[[], None]) -> None:
        """Start a thread; it never keeps the process alive by itself."""
        self._threads[name] = threading.Thread(target=body, name=name, daemon=True)
        self._threads[name].start()

    def join(self, names: Iterable[str], budget_s: float | None = None) -> None:
        """Wait for threads to end, together at most so long; what has not ended by then is abandoned."""
        until = None if budget_s is None else time.monotonic() + budget_s
        for name in names:
            thread = self._threads.get(name)
            if thread is None:
                continue
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
            if thread.is_alive():
                _log.warning("thread abandoned", thread=name)

    def _on_death(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "?"
        _log.error("thread died; the process ends", thread=name, exc_info=args.exc_value)
        self.died = True
        self._stop.set()
