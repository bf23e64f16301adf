"""A disk of its own on which the power can be cut: ext4 in a file, mounted over a loop device."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("mkfs.ext4", "xfs_io", "losetup", "mount", "umount")


def why_not() -> str | None:
    """Why nobody can cut the power here; None where one can."""
    if os.geteuid() != 0:
        return "only root can mount a disk of its own"
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["losetup", "--find"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "no loop device is free"


class Disk:
    """One ext4 of some megabytes.

    Args:
        image: The file that holds it.
        at: Where it is mounted.
        megabytes: Its size.
    """

    def __init__(self, image: Path, at: Path, *, megabytes: int) -> None:
        self.at = at
        self._image = image
        at.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))

    def mount(self) -> None:
        """Make it usable; after a cut, what the file system's own journal holds comes back."""
        _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.at))

    def cut(self) -> None:
        """The power goes: from now on nothing reaches the disk, and what was not flushed never will."""
        _run("xfs_io", "-x", "-c", "shutdown", str(self.at))

    def break_down(self) -> None:
        """The kernel finds an error and makes the disk read-only, as it does with a worn card."""
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.at)], capture_output=True, check=True, text=True
        ).stdout.strip()
        (Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error").write_text("tried on purpose")

    def unmount(self) -> None:
        """Nobody may use it any more."""
        _run("umount", str(self.at))

    def repair(self) -> None:
        """What a boot does before it mounts a disk that had errors."""
        subprocess.run(["e2fsck", "-fy", str(self._image)], capture_output=True, check=False)


@contextlib.contextmanager
def mounted(folder: Path, *, megabytes: int = 96) -> Iterator[Disk]:
    """A disk for the length of a ``with``."""
    disk = Disk(folder / "disk.img", folder / "disk", megabytes=megabytes)
    disk.mount()
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk.at)], capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
