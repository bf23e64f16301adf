"""Waiting for something that another thread or process does, with an end to patience."""

import threading
import time
from collections.abc import Callable


def until(condition: Callable[[], object], *, within_s: float = 10.0) -> bool:
    """Ask again and again until ``condition`` holds; False when it never did in that time."""
    pause = threading.Event()
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= end:
            return False
        pause.wait(0.01)
    return True
