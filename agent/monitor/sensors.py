"""The device's figures, all of them at once, as a dictionary that JSON can carry."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import psutil

from agent.clock import ClockState, clock_state
from agent.monitor import board

_Value = TypeVar("_Value")

# What psutil has raised where /proc is hidden, cut down or odd: a health figure is not worth a process.
_PSUTIL_FAILS: Final = (
    psutil.Error,
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


class Sensors:
    """Reads the device. One thread at a time; never raises, may wait for a slow driver.

    Figures of the processor, the memory and the disk are the running machine's. Those of the board
    come from the files under `root`, so that a test can show any board.
    """

    def __init__(
        self,
        *,
        store: Path,
        root: Path = Path("/"),
        read_clock: Callable[[], ClockState] = clock_state,
    ) -> None:
        """Prepare to read.

        Args:
            store: A folder on the disk whose space matters.
            root: Where /proc, /sys, /etc and /var of the board lie.
            read_clock: How far the wall clock can be trusted.
        """
        self._store = store
        self._root = root
        self._read_clock = read_clock
        _try(_cpu_percent)  # psutil measures since the call before; the first answer means nothing

    def read(self) -> dict[str, object]:
        """Read everything once.

        Returns:
            The tables of `docs/reference/health.md`. A fixed field that is absent or fails is None;
            an open table (zones, rails, cooling devices) lacks what the board does not have.
        """
        root = self._root
        return {
            "board": board.identity(root),
            "cpu": {
                "percent": _try(_cpu_percent),
                "count": _try(psutil.cpu_count),
                "load1": _try(_load1),
            },
            "memory": _memory(),
            "disk": _disk(self._store),
            "temperatures_c": board.temperatures(root),
            "gpu": board.gpu(root),
            "power": board.power(root),
            "throttle": board.throttle(root),
            "fan": board.fan(root),
            "power_mode": board.power_mode(root),
            "clock": self._read_clock(),
            "uptime_s": board.uptime_s(root),
        }


def _try(read: Callable[[], _Value]) -> _Value | None:
    try:
        return read()
    except _PSUTIL_FAILS:
        return None


def _cpu_percent() -> float:
    return psutil.cpu_percent(interval=None)


def _load1() -> float:
    return round(os.getloadavg()[0], 2)


def _memory() -> dict[str, object]:
    memory = _try(psutil.virtual_memory)
    swap = _try(psutil.swap_memory)
    process = _try(lambda: psutil.Process().memory_info())
    return {
        "total_bytes": memory.total if memory else None,
        "available_bytes": memory.available if memory else None,
        "swap_used_bytes": swap.used if swap else None,
        "process_rss_bytes": process.rss if process else None,
    }


def _disk(folder: Path) -> dict[str, object]:
    disk = _try(lambda: psutil.disk_usage(str(folder)))
    return {
        "total_bytes": disk.total if disk else None,
        "free_bytes": disk.free if disk else None,
    }
