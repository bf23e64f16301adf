"""Each engine name's mode, in a file of its own that survives the database."""

from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from agent.errors import StoreError
from agent.store.statefile import read_state, write_state

KNOWN = "engines.list"
"""The state file beside the modes that says which engines have one, so that a lost file is told from a new engine."""

MODES = ("shadow", "production", "manual")
DEFAULT = "shadow"

_log = structlog.get_logger()


class Modes:
    """Reads all modes once, then answers from memory; a change is on disk before it is in memory.

    A missing or unreadable file means ``shadow``: nothing acts because a file was damaged.

    Args:
        folder: Where the files are.
        engines: The names that have a mode.

    Attributes:
        troubles: By engine name, why its file could not be believed. A first start has none, nor has a new engine.
    """

    def __init__(self, folder: Path, engines: Iterable[str]) -> None:
        self._folder = folder
        self._modes: dict[str, str] = {}
        self.troubles: dict[str, str] = {}
        expected = self._expected()
        for engine in engines:
            self._modes[engine] = self._read(engine, known=expected is None or engine in expected)

    def _expected(self) -> list[str] | None:
        """The engines that have a file; None where the list itself was damaged."""
        try:
            state = read_state(self._folder / KNOWN)
        except StoreError:
            return None
        if state is None:  # a first start, or the list is lost while the files are there
            return None if any(self._folder.glob("*.json")) else []
        engines = state.get("engines")
        return engines if isinstance(engines, list) else None

    def _read(self, engine: str, *, known: bool) -> str:
        path = self._path(engine)
        try:
            state = read_state(path)
        except StoreError as error:
            self.troubles[engine] = f"{error}. The mode is {DEFAULT} until it is set again."
            return DEFAULT
        if state is None:
            if known:
                self.troubles[engine] = f"{path}: is missing. The mode is {DEFAULT} until it is set again."
            return DEFAULT
        mode = state.get("mode")
        if mode not in MODES:
            self.troubles[engine] = f"{path}: there is no mode {mode!r}. The mode is {DEFAULT} until it is set again."
            return DEFAULT
        return str(mode)

    def settle(self) -> None:
        """Write the file of every engine that has none, so that a missing one means trouble from now on.

        Raises:
            StoreError: The disk refused.
        """
        for engine, mode in self._modes.items():
            if not self._path(engine).exists():
                write_state(self._path(engine), {"mode": mode})
        expected = self._expected()
        if expected is None or not set(self._modes) <= set(expected):
            write_state(self._folder / KNOWN, {"engines": sorted({*self._modes, *(expected or ())})})

    def of(self, engine: str) -> str:
        """The mode of one engine name; any thread."""
        return self._modes[engine]

    def all(self) -> dict[str, str]:
        """Every mode by engine name."""
        return dict(self._modes)

    def set(self, engine: str, mode: str) -> str:
        """Change a mode, on disk first; the old one is returned.

        Raises:
            StoreError: There is no such engine or mode, or the disk refused; nothing changed.
        """
        if engine not in self._modes:
            raise StoreError(f"there is no engine '{engine}' here (there: {', '.join(self._modes) or 'none'})")
        if mode not in MODES:
            raise StoreError(f"there is no mode '{mode}'; it is one of {', '.join(MODES)}")
        write_state(self._path(engine), {"mode": mode})
        old, self._modes[engine] = self._modes[engine], mode
        self.troubles.pop(engine, None)
        return old

    def _path(self, engine: str) -> Path:
        return self._folder / f"{engine}.json"


def modes_at_start(folder: Path, engines: Iterable[str], raised: Callable[..., None]) -> Modes:
    """The modes as a daemon finds them: an alert for each that cannot be believed.

    Args:
        folder: Where the files are.
        engines: The names that have a mode.
        raised: Raises an alert.
    """
    modes = Modes(folder, engines)
    for engine, trouble in modes.troubles.items():
        raised("mode-file", about=engine, text=trouble)
        _log.warning("mode.untrusted", engine=engine, reason=trouble)
    try:
        modes.settle()
    except StoreError as error:
        _log.error("mode files cannot be written", reason=str(error))  # modes hold; inspection goes on
    return modes
