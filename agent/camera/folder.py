"""A folder of images: what is there, and, if it is watched, what arrives."""

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.camera.decode import MAX_FILE_BYTES, SUFFIXES, decode_image, quiet_opencv
from agent.camera.source import Note, Shot
from agent.errors import CameraError, CorruptImage
from agent.inspection.frame import Fault, Image, Mark

_POLL_S = 0.5
_POLL_SHARE = 10  # a scan may use this fraction of the time: one tenth


@dataclass(frozen=True, slots=True)
class _Found:
    """One image file of a scan: where it is, how it is called, and what it looked like."""

    path: Path
    item: str
    fingerprint: str


class FolderSource:
    """The image files below a folder, each once, those of one scan in the order of their relative path.

    Hidden files and folders are left out, symbolic links to folders are not followed. A file whose size or
    time of change differs from what was inspected is a new file. ``open``, ``read`` by one thread; ``close``
    by any.

    Args:
        path: The folder.
        watch: Whether to stay and wait for new files instead of ending after the last one.
        settle_ms: With ``watch``: a file is taken when it has looked the same for this long.
        done: The fingerprint of each file that is inspected already, by its relative path.
        note: Where the file that is being decoded is noted: one that ends the process twice is not decoded again.
    """

    live = False

    def __init__(
        self, *, path: Path, watch: bool, settle_ms: int, done: Mapping[str, str], note: Note | None = None
    ) -> None:
        self._folder = path.absolute()
        self._watch = watch
        self._settle_s = settle_ms / 1e3
        self._taken = dict(done)
        self._note = note
        self._ready: deque[_Found] = deque()
        self._settling: dict[str, tuple[str, float]] = {}
        self._closed = threading.Event()

    def open(self) -> None:
        """Look through the folder for the first time.

        Raises:
            CameraError: The folder is missing or cannot be listed.
        """
        quiet_opencv()
        self._closed.clear()
        self._settling.clear()
        self._ready = deque(self._arrived())

    def read(self) -> Shot | None:
        """The next file's picture, or why it has none; None after the last file or ``close``.

        Watching, it waits until a file is there.

        Raises:
            CameraError: The folder went away while it was watched.
        """
        while not self._closed.is_set():
            if self._ready:
                shot = self._shot(self._ready.popleft())
                if shot is not None:
                    return shot
            elif not self._watch:
                return None
            else:
                self._look_again()
        return None

    def close(self) -> None:
        """End a waiting ``read``."""
        self._closed.set()

    def _look_again(self) -> None:
        began = time.monotonic()
        self._ready.extend(self._arrived())
        if self._ready:
            return
        now = time.monotonic()
        pause = max(_POLL_S, (now - began) * _POLL_SHARE)
        if self._settling:
            pause = min(pause, max(0.01, min(self._settle_s, _POLL_S)))
        self._closed.wait(pause)

    def _arrived(self) -> list[_Found]:
        """The files that are new since they were last taken and, if watched, have settled."""
        new = [found for found in self._scan() if self._taken.get(found.item) != found.fingerprint]
        if self._watch:
            new = self._settled(new)
        return sorted(new, key=lambda found: found.item)

    def _settled(self, new: list[_Found]) -> list[_Found]:
        """Those of ``new`` that have looked the same for long enough, on the monotonic clock."""
        now = time.monotonic()
        seen: dict[str, tuple[str, float]] = {}
        settled = []
        for found in new:
            fingerprint, since = self._settling.get(found.item, ("", now))
            since = since if fingerprint == found.fingerprint else now
            seen[found.item] = (found.fingerprint, since)
            if now - since >= self._settle_s:
                settled.append(found)
        self._settling = seen
        return settled

    def _scan(self) -> Iterator[_Found]:
        folders = [self._folder]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith("."):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(Path(entry.path))
                        elif Path(entry.name).suffix.lower() in SUFFIXES:
                            yield from self._found(entry)
            except FileNotFoundError:
                if folder == self._folder:
                    raise CameraError(
                        f"the folder {folder} does not exist; create it or correct the camera's path"
                    ) from None
                # A folder below it was removed while it was looked through: nothing is left to inspect.
            except OSError as error:
                raise CameraError(f"the folder {folder} cannot be listed: {error.strerror}") from error

    def _found(self, entry: "os.DirEntry[str]") -> Iterator[_Found]:
        path = Path(entry.path)
        try:
            status = entry.stat()
            fingerprint = _fingerprint(status)
        except OSError:
            # A dangling link or a file that just vanished: reading it says so, in a record.
            status, fingerprint = None, "unreadable"
        if status is None or stat.S_ISREG(status.st_mode):  # a pipe would never end
            yield _Found(path, _text(path.relative_to(self._folder)), fingerprint)

    def _shot(self, found: _Found) -> Shot | None:
        """The file's picture or fault; None when a watched file has changed again and must settle anew."""
        if self._note is not None and not self._note.take(found.item):
            return self._made(found.item, found.fingerprint, None, Fault("crashed-twice", _again(found.item)))
        image: Image | None = None
        why = ""
        fingerprint = found.fingerprint
        try:
            with found.path.open("rb") as file:
                fingerprint = _fingerprint(os.fstat(file.fileno()))
                if self._watch and fingerprint != found.fingerprint:
                    return None
                # One byte beyond the limit is enough for the decoder to refuse it.
                image = decode_image(file.read(MAX_FILE_BYTES + 1))
        except CorruptImage as error:
            why = str(error)
        except OSError as error:
            why = f"the file cannot be read: {error.strerror}"
        finally:
            if self._note is not None:
                self._note.put_down()
        fault = Fault("corrupt-file", f"{found.item}: {why}") if why else None
        return self._made(found.item, fingerprint, image, fault)

    def _made(self, item: str, fingerprint: str, image: Image | None, fault: Fault | None) -> Shot:
        self._taken[item] = fingerprint
        mark = Mark(root=f"folder:{self._folder}", item=item, fingerprint=fingerprint)
        return Shot(image=image, source=item, mark=mark, fault=fault)


def _fingerprint(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _again(item: str) -> str:
    return f"{item}: the agent ended twice in a row while it decoded this file"


def _text(relative: Path) -> str:
    """The path with '/', as text that every database and message can hold, whatever bytes the name has."""
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")
