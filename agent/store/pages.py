"""Ledger messages found on the bare pages of a database and its write-ahead log, where SQLite finds no way to them.

A message carries the sha256 of its bytes in its row. So a row that fits its own hash is whole, wherever it was found,
and nothing else has to be believed: no index, no tree, no header.

The file format is https://www.sqlite.org/fileformat2.html (1.5, 1.6, 2.1 and 4.1).
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.ledger.sealing import sha256_hex

_LEAF: Final = 0x0D
_PAGE: Final = 4096  # what SQLite takes for a new database
_FILE_HEADER: Final = 100
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_MOST_OVERFLOW: Final = 256
_SMALLEST, _LARGEST = 512, 65_536
_FIRST_TEXT: Final = 12  # serial types from here on are blobs (even) and texts (odd)
_MORE: Final = 0x80
_SHAPE: Final = (0, 1, 1, 2, 1)  # n is the rowid, so NULL; kind, id: text; body: blob; sha256: text


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A row of ``messages`` whose body fits its hash.

    Attributes:
        n: Its place over all epochs.
        kind: Its kind.
        id: Its id.
        body: The sealed bytes.
        sha256: Of exactly those bytes.
    """

    n: int
    kind: str
    id: str
    body: bytes
    sha256: str


class Pages:
    """The pages of a database file and of its write-ahead log, as they lie on the disk.

    Args:
        path: The database's file; it and its log may be absent, cut off or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._file = _Bytes(path)
        self._log = _Bytes(path.with_name(f"{path.name}-wal"))
        self._size = _page_size(self._file, self._log)
        self._frames: dict[int, list[int]] = {}  # by page: where its versions lie in the log, oldest first
        step = _FRAME_HEADER + self._size
        for at in range(_WAL_HEADER, self._log.size - step + 1, step):
            number = int.from_bytes(self._log.at(at, 4), "big")
            self._frames.setdefault(number, []).append(at + _FRAME_HEADER)

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()
        self._log.close()

    def messages(self, go_on: Callable[[], bool]) -> Iterator[FoundMessage]:
        """Every message that is whole, the newest pages first; one may come several times.

        Args:
            go_on: Asked before each page; False ends the search.
        """
        for number, places in self._frames.items():
            for at in reversed(places):
                if not go_on():
                    return
                yield from self._on(self._log.at(at, self._size), number)
        for number in range(1, self._file.size // self._size + 1):
            if not go_on():
                return
            yield from self._on(self._filed(number), number)

    def _on(self, page: bytes, number: int) -> Iterator[FoundMessage]:
        begin = _FILE_HEADER if number == 1 else 0
        if len(page) < self._size or page[begin] != _LEAF:
            return
        (cells,) = struct.unpack_from(">H", page, begin + 3)
        for cell in range(min(cells, (self._size - begin - 8) // 2)):
            (at,) = struct.unpack_from(">H", page, begin + 8 + 2 * cell)
            for version in (self._latest, self._filed):
                found = _message(page, at, version)
                if found is not None:
                    yield found
                    break

    def _latest(self, number: int) -> bytes:
        """A page as the log has it last; as the file has it where the log has none."""
        places = self._frames.get(number)
        return self._log.at(places[-1], self._size) if places else self._filed(number)

    def _filed(self, number: int) -> bytes:
        """A page as the file has it; empty where it ends before."""
        return self._file.at((number - 1) * self._size, self._size) if number else b""


def _message(page: bytes, at: int, overflow: Callable[[int], bytes]) -> FoundMessage | None:
    try:
        length, at = _varint(page, at)
        n, at = _varint(page, at)
        payload = _payload(page, at, length, overflow)
        header, place = _varint(payload, 0)
        types = []
        while place < header:
            kind, place = _varint(payload, place)
            types.append(kind)
        if len(types) != len(_SHAPE) or not all(map(_fits, types, _SHAPE)):
            return None
        values = []
        for kind in types:
            size = max(0, (kind - _FIRST_TEXT) // 2)
            values.append(payload[place : place + size])
            place += size
        _, name, identity, body, sha256 = values
        if sha256_hex(body) != sha256.decode("ascii"):
            return None
        return FoundMessage(n, name.decode("ascii"), identity.decode("ascii"), body, sha256.decode("ascii"))
    except (IndexError, struct.error, UnicodeDecodeError):
        return None


def _fits(kind: int, shape: int) -> bool:
    """Whether a serial type is NULL, a text or a blob as expected."""
    if shape == 0:
        return kind == 0
    return kind >= _FIRST_TEXT and kind % 2 == (1 if shape == 1 else 0)


def _payload(page: bytes, at: int, length: int, overflow: Callable[[int], bytes]) -> bytes:
    usable = len(page)
    most = usable - 35
    if length <= most:
        return page[at : at + length]
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = local if local <= most else least
    parts, got = [page[at : at + local]], local
    (number,) = struct.unpack_from(">I", page, at + local)
    for _ in range(_MOST_OVERFLOW):
        if got >= length:
            break
        more = overflow(number)
        (number,) = struct.unpack_from(">I", more, 0)
        parts.append(more[4 : 4 + length - got])
        got += len(parts[-1])
    return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of up to nine bytes, and where the next thing begins."""
    value = 0
    for place in range(at, at + 8):
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if not byte & _MORE:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


class _Bytes:
    """A file, read here and there; what is not there or cannot be read is empty."""

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        self.size = 0
        try:
            self._file = os.open(path, os.O_RDONLY)
            self.size = os.fstat(self._file).st_size
        except OSError:
            self.close()

    def at(self, place: int, size: int) -> bytes:
        """So many bytes from a place, or fewer."""
        try:
            return os.pread(self._file, size, place) if self._file is not None else b""
        except OSError:
            return b""

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _page_size(file: _Bytes, log: _Bytes) -> int:
    told = [int.from_bytes(file.at(16, 2), "big"), int.from_bytes(log.at(8, 4), "big")]
    believed = [size for size in told if _SMALLEST <= size <= _LARGEST and not size & (size - 1)]
    return believed[0] if believed else _PAGE
