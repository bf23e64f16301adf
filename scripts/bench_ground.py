"""What a benchmark of the whole agent stands on: a pack, many distinct files, a broker with a subscriber."""

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mosquitto
from agent.batch.bare_plan import bare_plan
from agent.batch.bench import usable_images
from agent.config.sections import InferenceSection
from agent.engine.pack import Pack, read_pack
from boards import DEMO_PACKS, SHARED, demo_boards

SEED = 20261122
INFERENCE = InferenceSection()


@dataclass(frozen=True)
class Ground:
    """Everything that the runs of one benchmark share.

    Attributes:
        pack: The engine.
        images: Distinct pictures, in a seeded random order that mixes clear and defective ones.
        folder: Where runs may write; gone at the end.
        broker: Port of a broker with a subscriber to everything.
    """

    pack: Pack
    images: list[Path]
    folder: Path
    broker: int

    @property
    def plan(self) -> dict[str, Any]:
        """The same work for the bare loop; its image ``i`` is the agent's frame ``i + 1``."""
        return bare_plan(self.pack, INFERENCE, self.images)

    def links(self, count: int) -> Path:
        """A folder of so many files whose names sort in the order of the bare loop's images."""
        folder = self.folder / "frames"
        folder.mkdir(exist_ok=True)
        for number in range(len(os.listdir(folder)), count):  # noqa: PTH208 - a hundred thousand names
            image = self.images[number % len(self.images)]
            os.link(image, folder / f"{number:07d}{image.suffix}")
        return folder


@contextlib.contextmanager
def ground(pack: Path | None, images: Path | None) -> Iterator[Ground]:
    """Set everything up; take it down at the end.

    Args:
        pack: Folder of an engine pack; None: the real boards' where they are at hand, else the demo pack.
        images: Folder of its images; None: the real boards, or rendered parts.
    """
    listener = shutil.which("mosquitto_sub")
    if mosquitto.PROGRAM is None or listener is None:
        raise SystemExit("scripts/bench: install mosquitto and mosquitto-clients, the agent syncs while it is measured")
    with tempfile.TemporaryDirectory(prefix="fieldgate-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        pack, images = _material(pack, images, folder)
        broker = stack.enter_context(mosquitto.running(folder / "broker"))
        everything = [listener, "-p", str(broker.port), "-q", "1", "-t", "#"]
        stack.enter_context(_running(everything))
        yield Ground(read_pack(pack), _mixed(usable_images(images), folder), folder, broker.port)


def _material(pack: Path | None, images: Path | None, folder: Path) -> tuple[Path, Path]:
    if pack is not None and images is not None:
        return pack, images
    if pack is not None or images is not None:
        raise SystemExit("scripts/bench: give --pack and --images together: a pack needs images of its own kind")
    real = SHARED / "models" / "pcb" / "pcb-trace-v1.0"
    if (real / "pack.toml").exists():
        return real, SHARED / "data" / "pcb"
    if not DEMO_PACKS:
        raise SystemExit("scripts/bench: there is no demo pack in engines/; give --pack and --images")
    boards = demo_boards(folder / "rendered", 240)
    return boards.pack, boards.folder


def _mixed(images: list[Path], folder: Path) -> list[Path]:
    """Copies on the disk that the links will be on, in an order in which no kind of picture comes in a row."""
    order = list(images)
    random.Random(SEED).shuffle(order)  # noqa: S311 - an order, no secret
    (folder / "images").mkdir()
    copies = [folder / "images" / f"{number:04d}{image.suffix}" for number, image in enumerate(order)]
    for image, copy in zip(order, copies, strict=True):
        shutil.copyfile(image, copy)
    return copies


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
