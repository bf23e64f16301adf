"""Faults between the agent and the kernel: strace kills or refuses at the Nth call of one kind. No code in the agent.

strace counts calls for each thread alone, so ``first`` is the Nth call of whichever thread gets there first.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

STRACE = shutil.which("strace")

needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed")


@dataclass(frozen=True)
class Injection:
    """One fault.

    Attributes:
        call: The system call, such as ``fdatasync``.
        fault: What strace does there: ``signal=SIGKILL`` (before the call is done) or ``error=EIO``.
        first: At the so manieth call.
        last: Up to this one; None: only at ``first``; 0: for ever.
        path: Only calls on this file; None: on any.
    """

    call: str
    fault: str
    first: int = 1
    last: int | None = None
    path: Path | None = None

    def command(self, told: Path) -> list[str]:
        """What to start the daemon under; strace says in ``told`` what it did."""
        when = {None: f"{self.first}", 0: f"{self.first}+"}.get(self.last, f"{self.first}..{self.last}")
        only = [] if self.path is None else ["-P", str(self.path)]
        program = STRACE or "strace"
        return [program, "-f", "-qqq", "-o", str(told), *only, "-e", f"inject={self.call}:{self.fault}:when={when}"]


def killed_at(call: str, *, nth: int = 1, path: Path | None = None) -> Injection:
    """SIGKILL instead of the Nth call."""
    return Injection(call, "signal=SIGKILL", nth, path=path)
