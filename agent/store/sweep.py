"""Compares the pictures on the disk with the rows that name them, both ways and a little at a time.

A file without a row is what a crash leaves between a commit and the removal of a file, or between a picture and the
commit of its record. A row without a file is a picture that somebody else has removed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
from sqlite_utils import Database

from agent.errors import StoreError
from agent.ledger.worth import ON_DISK
from agent.store.reader import Reader
from agent.store.transaction import Barrier, Entry

PASS_S: Final = 6 * 3_600.0
"""Seconds between two passes; the first begins at the start."""

PATIENCE_S: Final = 60.0
"""A file without a row may belong to a record that is about to be written: so long it is left alone at least."""

PAGE: Final = 500

_OURS: Final = re.compile(r"\.?([0-9a-f-]{36})\.jpg(\.tmp)?")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")

_log = structlog.get_logger()


class Sweep:
    """Steered by ``step`` on one thread.

    Args:
        folder: The evidence folder.
        reader: The database.
        put: Hands an entry to the journal.
        missing: Takes the records whose pictures are gone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reader: Reader,
        put: Callable[[Entry], None],
        missing: Callable[[Sequence[str]], None],
    ) -> None:
        self._folder = folder
        self._reader = reader
        self._put = put
        self._missing = missing
        self._work: Iterator[None] | None = None
        self._next_s = float("-inf")
        self._now_s = 0.0

    def step(self, now_s: float) -> None:
        """Do the next little piece, if one is due.

        Args:
            now_s: Monotonic clock.
        """
        self._now_s = now_s
        if self._work is None and now_s >= self._next_s:
            self._work = self._pass()
        if self._work is None:
            return
        try:
            next(self._work)
        except (StopIteration, StoreError, OSError) as ended:
            if not isinstance(ended, StopIteration):
                _log.warning("sweep ends early; it begins again later", reason=str(ended))
            self._work, self._next_s = None, now_s + PASS_S

    def _pass(self) -> Iterator[None]:
        days = sorted(one for one in self._folder.glob("*") if _DAY.fullmatch(one.name))
        if not days:  # nothing was ever kept, or the disk of the pictures is not mounted: that is no loss
            return
        suspects: list[Path] = []
        for day in days:
            suspects += self._without_row(list(day.iterdir()))
            yield
        yield from self._rows()
        if suspects:
            yield from self._confirmed(suspects)
        for day in days[:-1]:
            if not any(day.iterdir()):
                day.rmdir()

    def _without_row(self, files: Sequence[Path]) -> list[Path]:
        """Files of ours that no row names."""
        named = {path: match[1] for path in files if (match := _OURS.fullmatch(path.name))}
        known: set[str] = set()
        records = sorted(set(named.values()))
        for first in range(0, len(records), PAGE):
            page = records[first : first + PAGE]
            known |= self._reader.ask(lambda db, page=page: _known(db, page))  # type: ignore[misc]
        return [path for path, record in named.items() if record not in known or path.suffix == ".tmp"]

    def _rows(self) -> Iterator[None]:
        """Find rows whose file is gone."""
        after = ""
        while page := self._reader.ask(lambda db, after=after: _page(db, after)):  # type: ignore[misc]
            gone = [record for record, path in page if not (self._folder / path).exists()]
            if gone:
                _log.warning("files of pictures are gone", count=len(gone), first=gone[0])
                self._missing(gone)
            after = page[-1][0]
            yield

    def _confirmed(self, suspects: Sequence[Path]) -> Iterator[None]:
        """Remove files that have no row even when everything that waited for a commit is committed."""
        until_s = self._now_s + PATIENCE_S
        while self._now_s < until_s:
            yield
        written: list[bool] = []
        self._put(Barrier(lambda: written.append(True)))
        while not written:
            yield
        orphans = self._without_row([path for path in suspects if path.exists()])
        for path in orphans:
            path.unlink(missing_ok=True)
        if orphans:
            _log.info("pictures that no record names were removed", count=len(orphans))


def _known(db: Database, records: Sequence[str]) -> set[str]:
    marks = ", ".join("?" * len(records))
    rows = db.execute(
        f"SELECT record FROM evidence WHERE record IN ({marks}) AND state IN (?, ?, ?)",  # noqa: S608
        [*records, *ON_DISK],
    )
    return {row[0] for row in rows.fetchall()}


def _page(db: Database, after: str) -> list[tuple[str, str]]:
    rows = db.execute(
        "SELECT record, path FROM evidence WHERE record > ? AND state IN (?, ?, ?) ORDER BY record LIMIT ?",
        [after, *ON_DISK, PAGE],
    )
    return [(record, path) for record, path in rows.fetchall()]
