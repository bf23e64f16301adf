"""The bare loop in a process of its own, which works only when it is its turn."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.errors import EngineError

_PROGRAM = Path(__file__).with_name("bare_loop.py")
_PATIENCE_S = 5.0


class BareProcess:
    """A child that holds the same models and waits until it is asked for a turn.

    A process of its own, so that its peak memory is its own and the agent's garbage is not its burden.
    Use it in a ``with``; ``turn`` blocks.

    Args:
        plan: As ``bare_loop`` says.

    Attributes:
        load_s: Seconds that the models took to load and to run once.
    """

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        self.load_s = 0.0

    def __enter__(self) -> "BareProcess":
        self._folder = tempfile.TemporaryDirectory(prefix="fieldgate-bare-")
        path = Path(self._folder.name) / "plan.json"
        path.write_text(json.dumps(self._plan), encoding="utf-8")
        self._complaints = (Path(self._folder.name) / "stderr").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(  # noqa: S603 - our own file, with our own interpreter
            [sys.executable, "-I", str(_PROGRAM), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )
        try:
            self.load_s = float(json.loads(self._answer())["load_s"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def turn(
        self, *, seconds: float, frames: int | None = None, rate: float | None = None, start: int | None = None
    ) -> dict[str, Any]:
        """Let it work for so long; its figures, as ``bare_loop`` says.

        Raises:
            EngineError: The process has ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        wanted = {"seconds": seconds, "frames": frames, "rate": rate, "start": start}
        try:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        figures: dict[str, Any] = json.loads(self._answer())
        return figures

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        line = self._process.stdout.readline()
        if not line:
            self._complaints.seek(0)
            said = self._complaints.read().strip().splitlines()
            why = said[-1] if said else "it said nothing"
            raise EngineError(f"the bare loop, which the agent is compared with, ended: {why}")
        return line

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_PATIENCE_S)  # the end of its input is the end of its work
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()
        self._folder.cleanup()
