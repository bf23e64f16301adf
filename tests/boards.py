"""Pictures and packs for whole-agent tests: real boards where they are at hand, and the demo pack everywhere."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PCB_SHARED") or ROOT.parent / "shared")
DEMO_PACKS = sorted((ROOT / "engines").glob("demo-*-v*"))

NO_SHARED = "the real boards are not beside this checkout; set PCB_SHARED to the folder with data/pcb and models/pcb"


@dataclass(frozen=True)
class Boards:
    """A folder of images in subfolders that share file names, and the pack that inspects them."""

    engine: str
    pack: Path
    folder: Path
    sources: frozenset[str]


def real_boards() -> Boards:
    """All 480 boards of ``../shared``; skips where it is absent."""
    pack = SHARED / "models" / "pcb" / "pcb-trace-v1.0"
    folder = SHARED / "data" / "pcb"
    if not (pack / "pack.toml").exists() or not folder.is_dir():
        pytest.skip(NO_SHARED)
    return Boards("pcb-trace", pack, folder, _sources(folder))


def demo_boards(folder: Path, count: int = 120) -> Boards:
    """Rendered parts, half of them with a defect, written as JPEG below ``folder``."""
    from agent.camera.scene import Knobs, Scene  # noqa: PLC0415 - only who renders needs it

    if not DEMO_PACKS:
        pytest.skip("the demo pack is not in engines/")
    pack = DEMO_PACKS[-1]
    for name, rate in (("clear", 0.0), ("defective", 1.0)):
        scene = Scene(seed=7, knobs=Knobs(defect_rate=rate))
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(1, count // 2 + 1):
            image, _ = scene.render(number)
            cv2.imwrite(str(folder / name / f"{number:04d}.jpg"), image)
    return Boards(pack.name.rsplit("-v", 1)[0], pack, folder, _sources(folder))


def _sources(folder: Path) -> frozenset[str]:
    return frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
