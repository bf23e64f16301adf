"""What a board tells about itself in /proc, /sys and /etc: one small function per subject.

Every function takes the root under which these folders lie, looks afresh for the files at each call
(a GPU's node can appear minutes after boot, hwmon numbers change with the order of the drivers, and
a look costs a few listings every half minute), and never raises: what is absent is None, or missing
from its table. Written from public sources, which `docs/reference/health.md` names.
"""

import math
import re
from pathlib import Path
from typing import Final

from agent.monitor.sysfs import entries, read_int, read_text

_GPU_NAMES: Final = frozenset({"gv11b", "gp10b", "ga10b", "gb10b", "gpu"})
_GPU_LOADS: Final = (
    "sys/devices/platform/bus@0/17000000.gpu/load",  # Orin, JetPack 6
    "sys/devices/platform/gpu.0/load",  # Orin and Xavier, JetPack 5
    "sys/devices/gpu.0/load",  # Xavier and Nano
)
_FULL_LOAD: Final = 1000
_INPUT_RAILS: Final = ("VDD_IN", "POM_5V_IN")
_ORIN: Final = "nvidia,tegra234"
_ORIN_COUNTERS: Final = {
    "under_voltage": "oc1_event_cnt",
    "over_current_average": "oc2_event_cnt",
    "over_current_instant": "oc3_event_cnt",
}
_COLDEST_C, _HOTTEST_C = -100.0, 250.0
_L4T: Final = re.compile(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_MODE: Final = re.compile(r"pmode:\s*(\d+)")
_MODE_NAME: Final = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)")


def identity(root: Path) -> dict[str, object]:
    """Tell which board this is: `model`, `compatible` (most specific first), `l4t`."""
    tree = root / "proc/device-tree"
    release = _L4T.search(read_text(root / "etc/nv_tegra_release") or "")
    return {
        "model": read_text(tree / "model"),
        "compatible": _compatible(root),
        "l4t": f"{release[1]}.{release[2]}" if release else None,
    }


def _compatible(root: Path) -> list[str] | None:
    text = read_text(root / "proc/device-tree/compatible")
    return None if text is None else text.split("\0")


def temperatures(root: Path) -> dict[str, float | None]:
    """Read every thermal zone, under the kernel's own name for it.

    PMIC zones are left out: they are a comparator and show a constant 100 degrees.

    Returns:
        Degrees Celsius per zone; None for a zone that is there but cannot be read (the `cv` zones of
        a module without those engines) or shows what no board can have.
    """
    zones: dict[str, float | None] = {}
    for zone in entries(root / "sys/class/thermal", "thermal_zone"):
        name = read_text(zone / "type")
        if name and not name.upper().startswith("PMIC"):
            zones[_unused(zones, name)] = _celsius(read_int(zone / "temp"))
    return zones


def _celsius(millidegrees: int | None) -> float | None:
    if millidegrees is None or not _COLDEST_C < millidegrees / 1000 < _HOTTEST_C:
        return None
    return millidegrees / 1000


def _unused(table: dict[str, float | None], name: str) -> str:
    """Number a name that is taken: `acpitz`, `acpitz-2`."""
    number, unused = 1, name
    while unused in table:
        number += 1
        unused = f"{name}-{number}"
    return unused


def gpu(root: Path) -> dict[str, object]:
    """Read the integrated GPU: `load_percent`, `frequency_hz`, `minimum_hz`, `maximum_hz`.

    The kernel gives the load in thousandths. A Thor has no such file, so its load is None.
    """
    node = _gpu_node(root)
    loads = [root / name for name in _GPU_LOADS]
    if node is not None:
        loads.insert(0, node / "device/load")
    load = next((value for value in map(read_int, loads) if value is not None), None)
    return {
        "load_percent": load / 10 if load is not None and 0 <= load <= _FULL_LOAD else None,
        "frequency_hz": read_int(node / "cur_freq") if node else None,
        "minimum_hz": read_int(node / "min_freq") if node else None,
        "maximum_hz": read_int(node / "max_freq") if node else None,
    }


def _gpu_node(root: Path) -> Path | None:
    """Find the GPU among the devices that scale their clock."""
    for node in entries(root / "sys/class/devfreq"):
        if node.name.startswith("gpu-gpc-") or read_text(node / "device/of_node/name") in _GPU_NAMES:
            return node
    return None


def power(root: Path) -> dict[str, object]:
    """Read the INA3221 power monitors.

    Returns:
        `input_w`, what the whole module draws, where a rail measures that (rails overlap, so they are
        never summed up), and `rails`: label to `{"mv", "ma", "mw"}`. Unconnected rails are left out.
    """
    rails: dict[str, dict[str, int | None]] = {}
    for monitor in _hwmons(root, "ina3221"):
        for channel in (1, 2, 3):
            label = read_text(monitor / f"in{channel}_label")
            if label and label != "NC":
                rails[label] = _rail(monitor, channel)
    drawn = next((rails[name]["mw"] for name in _INPUT_RAILS if name in rails), None)
    return {"input_w": None if drawn is None else drawn / 1000, "rails": rails}


def _rail(monitor: Path, channel: int) -> dict[str, int | None]:
    millivolts = read_int(monitor / f"in{channel}_input")
    milliamperes = read_int(monitor / f"curr{channel}_input")
    if millivolts is None or milliamperes is None:
        return {"mv": millivolts, "ma": milliamperes, "mw": None}
    return {"mv": millivolts, "ma": milliamperes, "mw": round(millivolts * milliamperes / 1000)}


def throttle(root: Path) -> dict[str, object]:
    """Read what slows the board down.

    Returns:
        Three counters of events since boot (`under_voltage`, `over_current_average`,
        `over_current_instant`) and `cooling`: the state of each cooling device but fans, 0 being no
        intervention. Devices of one name share an entry, which shows the highest. The counters are
        named on an Orin only: a Xavier numbers its events in another order.
    """
    orin = _ORIN in (_compatible(root) or [])
    counted = next(iter(_hwmons(root, "soctherm_oc")), None) if orin else None
    counters = {name: read_int(counted / file) if counted else None for name, file in _ORIN_COUNTERS.items()}
    cooling: dict[str, int | None] = {}
    for device in entries(root / "sys/class/thermal", "cooling_device"):
        name = read_text(device / "type")
        if name and "fan" not in name.lower():
            states = [cooling.get(name), read_int(device / "cur_state")]
            cooling[name] = max((state for state in states if state is not None), default=None)
    return {**counters, "cooling": cooling}


def fan(root: Path) -> dict[str, object]:
    """Read the fan: `pwm_percent` as commanded, `rpm` as measured."""
    driven = next(iter(_hwmons(root, "pwmfan")), None)
    pwm = read_int(driven / "pwm1") if driven else None
    measured = [*_hwmons(root, "tach"), *_hwmons(root, "pwmfan")]
    files = [hwmon / name for hwmon in measured for name in ("rpm", "fan1_input")]
    return {
        "pwm_percent": None if pwm is None else round(pwm * 100 / 255, 1),
        "rpm": next((value for value in map(read_int, files) if value is not None), None),
    }


def power_mode(root: Path) -> dict[str, object]:
    """Tell nvpmodel's mode: `id` and `name`. Ids mean different modes on different boards."""
    found = _MODE.search(read_text(root / "var/lib/nvpmodel/status") or "")
    if found is None:
        return {"id": None, "name": None}
    catalogue = _MODE_NAME.findall(read_text(root / "etc/nvpmodel.conf") or "")
    names = {int(number): name for number, name in catalogue}
    return {"id": int(found[1]), "name": names.get(int(found[1]))}


def uptime_s(root: Path) -> float | None:
    """Seconds since boot, sleep included, whatever the wall clock did."""
    words = (read_text(root / "proc/uptime") or "").split()
    try:
        seconds = float(words[0])
    except (IndexError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def _hwmons(root: Path, name: str) -> list[Path]:
    """Find the hwmon devices whose driver's name contains a word."""
    devices = entries(root / "sys/class/hwmon", "hwmon")
    return [device for device in devices if name in (read_text(device / "name") or "")]
