"""What happens to files on bad disks, seeded: bits flip, pages vanish or change places, files are cut or gone."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

DATABASE, LOG = "fieldgate.db", "fieldgate.db-wal"
STATE_FILES: Final = ("identity.json", "last-known.json")
_PAGE: Final = 4096
_FRAME: Final = 24 + _PAGE

Damage = Callable[[Path, random.Random], str]
"""Damages what lies in a store's folder; a sentence about it."""


def _changed(path: Path, change: Callable[[bytearray], str]) -> str:
    """Change a file's bytes in memory and write them back; nothing where it is not there or empty."""
    if not path.exists() or not path.stat().st_size:
        return f"{path.name} is not there"
    body = bytearray(path.read_bytes())
    said = change(body)
    path.write_bytes(body)
    return f"{path.name}: {said}"


def flip_bits(name: str) -> Damage:
    """One to forty bits anywhere."""

    def damage(folder: Path, chance: random.Random) -> str:
        def change(body: bytearray) -> str:
            places = [chance.randrange(len(body)) for _ in range(chance.choice((1, 2, 8, 40)))]
            for place in places:
                body[place] ^= 1 << chance.randrange(8)
            return f"bits flipped at {places[:5]}"

        return _changed(folder / name, change)

    return damage


def zero_pages(name: str) -> Damage:
    """One to five pages read as zeros."""

    def damage(folder: Path, chance: random.Random) -> str:
        def change(body: bytearray) -> str:
            pages = [chance.randrange(-(-len(body) // _PAGE)) for _ in range(chance.randint(1, 5))]
            for page in pages:
                end = min(len(body), (page + 1) * _PAGE)
                body[page * _PAGE : end] = bytes(end - page * _PAGE)
            return f"pages {pages} are zeros"

        return _changed(folder / name, change)

    return damage


def scribble_pages(name: str) -> Damage:
    """One to three pages hold what belongs to somebody else."""

    def damage(folder: Path, chance: random.Random) -> str:
        def change(body: bytearray) -> str:
            pages = [chance.randrange(-(-len(body) // _PAGE)) for _ in range(chance.randint(1, 3))]
            for page in pages:
                end = min(len(body), (page + 1) * _PAGE)
                body[page * _PAGE : end] = chance.randbytes(end - page * _PAGE)
            return f"pages {pages} are noise"

        return _changed(folder / name, change)

    return damage


def swap_pages(name: str) -> Damage:
    """Two pages lie in each other's place, or one lies in both."""

    def damage(folder: Path, chance: random.Random) -> str:
        def change(body: bytearray) -> str:
            whole = len(body) // _PAGE
            if whole < 2:
                return "too small to swap pages"
            one, other = chance.sample(range(whole), 2)
            first, second = (slice(page * _PAGE, (page + 1) * _PAGE) for page in (one, other))
            kept = body[first]
            body[first] = body[second]
            if chance.random() < 0.7:
                body[second] = kept
            return f"page {other} lies in the place of page {one}"

        return _changed(folder / name, change)

    return damage


def cut(name: str) -> Damage:
    """The end is missing, at a page or anywhere."""

    def damage(folder: Path, chance: random.Random) -> str:
        path = folder / name
        if not path.exists() or not path.stat().st_size:
            return f"{name} is not there"
        size = chance.randrange(path.stat().st_size)
        size -= size % _PAGE if chance.random() < 0.5 else 0
        with path.open("r+b") as file:
            file.truncate(size)
        return f"{name}: cut to {size} bytes"

    return damage


def empty(name: str) -> Damage:
    """Nothing is left in it."""

    def damage(folder: Path, _chance: random.Random) -> str:
        if (folder / name).exists():
            (folder / name).write_bytes(b"")
        return f"{name}: empty"

    return damage


def delete(name: str) -> Damage:
    """It is gone."""

    def damage(folder: Path, _chance: random.Random) -> str:
        (folder / name).unlink(missing_ok=True)
        return f"{name}: gone"

    return damage


def spoil_frame(folder: Path, chance: random.Random) -> str:
    """One frame of the log is broken; SQLite silently stops reading there."""

    def change(body: bytearray) -> str:
        frames = (len(body) - 32) // _FRAME
        if frames < 1:
            return "no frames"
        frame = chance.randrange(frames)
        body[32 + frame * _FRAME + chance.randrange(_FRAME)] ^= 0xFF
        return f"frame {frame} of {frames} is broken"

    return _changed(folder / LOG, change)


def spoil_header(folder: Path, chance: random.Random) -> str:
    """The first hundred bytes, which say what kind of file this is."""

    def change(body: bytearray) -> str:
        places = [chance.randrange(min(100, len(body))) for _ in range(chance.randint(1, 10))]
        for place in places:
            body[place] = chance.randrange(256)
        return f"header changed at {sorted(places)}"

    return _changed(folder / DATABASE, change)


DATABASE_DAMAGES: Final[tuple[Damage, ...]] = (
    flip_bits(DATABASE),
    zero_pages(DATABASE),
    scribble_pages(DATABASE),
    swap_pages(DATABASE),
    cut(DATABASE),
    empty(DATABASE),
    delete(DATABASE),
    spoil_header,
)
LOG_DAMAGES: Final[tuple[Damage, ...]] = (
    flip_bits(LOG),
    zero_pages(LOG),
    cut(LOG),
    empty(LOG),
    delete(LOG),
    spoil_frame,
)
STATE_DAMAGES: Final[tuple[Damage, ...]] = tuple(
    make(name) for name in STATE_FILES for make in (flip_bits, cut, empty, delete)
)


def damage_once(folder: Path, seed: int) -> str:
    """Damage a store in one seeded way, mostly its database; sometimes two files at once.

    Args:
        folder: The store's folder; nobody has it open.
        seed: Decides about everything.

    Returns:
        A sentence about what was done.
    """
    chance = random.Random(seed)
    kinds = chance.choices((DATABASE_DAMAGES, LOG_DAMAGES, STATE_DAMAGES), weights=(6, 3, 1), k=1)
    if chance.random() < 0.1:
        kinds.append(LOG_DAMAGES)
    return "; ".join(chance.choice(kind)(folder, chance) for kind in kinds)
