"""The tutorial is walked through as a technician would: each of its commands, in its order, with the real programs.

The page says in comments what is to be done with a block::

    test: run [, exit N]         run it; with another exit code than 0
    test: file PATH              the block is the file's text
    test: terminal NAME          start it and leave it running
    test: stop NAME              Ctrl-C in that terminal; it must end with 0
    test: shown                  every line of the block is in what the last command printed
    test: until done, COMMAND    wait until the command succeeds
    test: until NAME says TEXT   wait until that terminal has shown the text
    test: not run, REASON        nothing
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boards import DEMO_PACKS
from daemon import environment
from mosquitto import free_port, needs_mosquitto
from waiting import until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
STEP = re.compile(r"^<!-- test: (.+?) -->\n(?:```\w*\n(.*?)^```$)?", flags=re.MULTILINE | re.DOTALL)


class Technician:
    """Somebody with a few terminals who does what the page says, in a folder that looks like the checkout.

    Only two things are exchanged: the broker's port for a free one, and ``scripts/demo`` for what it runs after
    installing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = str(free_port())
        self._terminals: dict[str, subprocess.Popen[bytes]] = {}
        self._shown = ""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
        self._environment = {**environment(), "PATH": path, "TERM": "dumb", "COLUMNS": "160"}
        (folder / "engines").symlink_to(ROOT / "engines")
        shutil.copy(ROOT / "README.md", folder)

    def do(self, what: str, block: str) -> None:
        """One step of the page."""
        verb, _, rest = what.partition(" ")
        deeds: dict[str, Callable[[str, str], None]] = {
            "run": lambda _, text: self._run(text, expected=0),
            "run,": lambda how, text: self._run(text, expected=int(how.removeprefix("exit "))),
            "file": self._write,
            "terminal": self._open,
            "stop": lambda name, _: self._stop(name),
            "shown": lambda _, text: self._compare(text),
            "until": lambda condition, _: self._wait(condition),
            "not": lambda _reason, _text: None,
        }
        deeds[verb](rest, block.replace("1883", self._port).replace("scripts/demo", "fieldgate demo --broker none"))

    def close(self) -> None:
        """Close all terminals."""
        for process in self._terminals.values():
            process.kill()
            process.wait(10)

    def _run(self, text: str, *, expected: int) -> None:
        done = self._bash(text)
        self._shown = done.stdout
        assert done.returncode == expected, f"{text}\n{done.stdout}"

    def _bash(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=90,
        )

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def _open(self, name: str, text: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            self._terminals[name] = subprocess.Popen(
                ["bash", "-c", f"exec {text}"], cwd=self.folder, env=self._environment, stdout=out, stderr=out
            )

    def _stop(self, name: str) -> None:
        process = self._terminals[name]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, self._said(name)

    def _compare(self, text: str) -> None:
        for line in filter(None, text.splitlines()):
            assert line in self._shown, f"{line!r} is not in:\n{self._shown}"

    def _wait(self, condition: str) -> None:
        name, _, text = condition.partition(" says ")
        if text:
            assert until(lambda: text in self._said(name), within_s=30), f"{name} never said {text}"
        else:
            command = condition.removeprefix("done, ")
            assert until(lambda: self._bash(command).returncode == 0, within_s=60), f"never: {command}"

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def technician(tmp_path: Path) -> Iterator[Technician]:
    """A technician in an empty folder."""
    one = Technician(tmp_path)
    yield one
    one.close()


@needs_mosquitto
@pytest.mark.broker
@pytest.mark.timeout(240)
@pytest.mark.skipif(not DEMO_PACKS, reason="the demo pack is not in engines/")
@pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="mosquitto_sub is not installed")
def test_every_command_of_the_tutorial_works(technician: Technician) -> None:
    """From the demo to the annotated pictures, everything that the page shows happens."""
    for what, block in STEP.findall(PAGE):
        technician.do(what, block)
    verdicts = (technician.folder / "tutorial" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    parts = list((technician.folder / "tutorial" / "parts").iterdir())
    assert len(verdicts) == len(parts) > 1
    assert list((technician.folder / "tutorial" / "annotated").iterdir())


def test_no_block_of_the_tutorial_is_forgotten() -> None:
    """Each block of the page has a comment that says what the test does with it."""
    assert PAGE.count("\n```") == 2 * sum(bool(block) for _, block in STEP.findall(PAGE))
