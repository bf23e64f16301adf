"""The images that a command was pointed at: one file, or all below a folder."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from agent.camera.decode import SUFFIXES, decode_image, quiet_opencv
from agent.camera.folder import FolderSource
from agent.camera.source import Shot
from agent.errors import CameraError, CorruptImage, UsageError
from agent.inspection.frame import Fault, Frame, Moment, Subject, Trigger

CAMERA = "batch"
"""The camera's name in the record of an image that no camera took."""


def check_input(path: Path) -> None:
    """Refuse what cannot be inspected at all, before a model is loaded.

    Raises:
        UsageError: There is no such file or folder, or the file is no image by its name.
    """
    if path.is_dir():
        return
    if not path.exists():
        raise UsageError(f"--input {path}: there is no such file or folder")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--input {path}: is no image by its name; the agent reads {', '.join(sorted(SUFFIXES))}")


def count_images(path: Path) -> int:
    """About how many images there are, for a progress bar: files may come and go."""
    if not path.is_dir():
        return 1
    names = (one.relative_to(path).parts for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
    return sum(not any(part.startswith(".") for part in parts) for parts in names)


def shots(path: Path) -> Iterator[Shot]:
    """Every image once, in the order of the relative path; one that cannot be decoded says why.

    The first is read before this returns, so that what cannot be inspected at all is known at once.

    Raises:
        UsageError: The file or folder cannot be read, or holds no image.
    """
    if not path.is_dir():
        return iter([_single(path)])
    source = FolderSource(path=path, watch=False, settle_ms=0, done={})
    try:
        source.open()
    except CameraError as error:
        raise UsageError(f"--input: {error}") from None
    first = source.read()
    if first is None:
        raise UsageError(f"--input {path}: holds no images; the agent reads {', '.join(sorted(SUFFIXES))}")
    return chain([first], iter(source.read, None))


def _single(path: Path) -> Shot:
    quiet_opencv()
    try:
        return Shot(decode_image(path.read_bytes()), path.name)
    except CorruptImage as error:
        return Shot(None, path.name, fault=Fault("corrupt-file", f"{path.name}: {error}"))
    except OSError as error:
        raise UsageError(f"--input {path}: cannot be read: {error.strerror}") from None


def frame_of(shot: Shot, number: int, captured: Moment) -> Frame:
    """A shot as the frame that an inspector takes."""
    trigger, subject = Trigger("continuous"), Subject()
    return Frame(shot.image, CAMERA, number, shot.source, captured, trigger, subject, shot.fault, shot.mark)
