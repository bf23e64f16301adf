import json
import os
import threading
from pathlib import Path

import pytest

from agent.monitor import board
from agent.monitor.health import Latency, LineTotals
from agent.monitor.sensors import Sensors
from agent.monitor.sysfs import entries, read_int, read_text
from agent.monitor.watch import Watch

BOARDS = Path(__file__).parent.parent / "fixtures" / "sysfs"
NAMES = ["desktop", "orin-nano-jp6", "xavier-nx-jp5"]


def write(path: Path, text: str) -> Path:
    """Put a file into a tree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_board_reads_as_expected(name: str) -> None:
    """What each fixture board shows is exactly what its expected.json says."""
    expected = json.loads((BOARDS / name / "expected.json").read_text(encoding="utf-8"))
    read = Sensors(store=BOARDS, root=BOARDS / name / "root").read()
    assert {key: read[key] for key in expected} == expected


def test_every_fixture_has_its_sources() -> None:
    """Each fixture board names where every path of it comes from."""
    assert sorted(path.name for path in BOARDS.iterdir()) == NAMES
    for name in NAMES:
        sources = (BOARDS / name / "SOURCES.md").read_text(encoding="utf-8")
        assert "ynthetic" in sources


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    """On any machine the reading is JSON without NaN, and the figures of the machine itself are there."""
    read = Sensors(store=tmp_path, read_clock=lambda: "holdover").read()
    assert json.loads(json.dumps(read, allow_nan=False)) == read
    assert read["clock"] == "holdover"
    memory, disk, cpu = read["memory"], read["disk"], read["cpu"]
    assert isinstance(memory, dict)
    assert isinstance(disk, dict)
    assert isinstance(cpu, dict)
    assert 0 < memory["process_rss_bytes"] < memory["total_bytes"]
    assert 0 < disk["free_bytes"] <= disk["total_bytes"]
    assert cpu["count"] >= 1
    assert 0 <= cpu["percent"] <= 100


def test_every_board_has_the_same_fixed_fields() -> None:
    """Absent is a value: the fields of the reading are the same on every board and on none."""
    fields = [_fields(Sensors(store=BOARDS, root=BOARDS / name / "root").read()) for name in NAMES]
    assert fields[0] == fields[1] == fields[2]
    assert _fields(Sensors(store=BOARDS, root=BOARDS / "missing").read()) == fields[0]


def _fields(read: dict[str, object]) -> set[str]:
    """Names of all fields but the entries of the open tables (zones, rails, cooling devices)."""
    tables: dict[str, object] = {"temperatures_c": {}, "rails": {}, "cooling": {}}
    found = set()
    for key, value in {**read, **tables}.items():
        inner = {**value, **tables} if isinstance(value, dict) else {}
        found |= {f"{key}.{name}" for name in inner if name not in tables} | {key}
    return found


def test_a_store_that_is_gone_has_no_figures(tmp_path: Path) -> None:
    """The disk of a folder that does not exist is absent, not an error."""
    read = Sensors(store=tmp_path / "gone", root=tmp_path).read()
    assert read["disk"] == {"total_bytes": None, "free_bytes": None}


def test_a_gpu_that_appears_late_is_found(tmp_path: Path) -> None:
    """A GPU whose node appears after the start is read from then on."""
    sensors = Sensors(store=tmp_path, root=tmp_path)
    absent = sensors.read()["gpu"]
    write(tmp_path / "sys/class/devfreq/17000000.gpu/device/of_node/name", "gpu\0")
    write(tmp_path / "sys/class/devfreq/17000000.gpu/device/load", "250\n")
    appeared = sensors.read()["gpu"]
    assert isinstance(absent, dict)
    assert isinstance(appeared, dict)
    assert (absent["load_percent"], appeared["load_percent"]) == (None, 25.0)


@pytest.mark.parametrize(
    ("path", "content", "percent"),
    [
        pytest.param("sys/devices/gpu.0/load", "0\n", 0.0, id="Nano, idle"),
        pytest.param("sys/devices/platform/gpu.0/load", "1000\n", 100.0, id="JetPack 5, full"),
        pytest.param("sys/devices/gpu.0/load", "1001\n", None, id="more than full"),
        pytest.param("sys/devices/gpu.0/load", "busy\n", None, id="not a number"),
    ],
)
def test_gpu_load_without_a_clock_node(tmp_path: Path, path: str, content: str, percent: float | None) -> None:
    """Without a node in devfreq the load is read at its known places, and nonsense is absent."""
    write(tmp_path / path, content)
    assert board.gpu(tmp_path)["load_percent"] == percent


def test_another_scaled_device_is_not_the_gpu(tmp_path: Path) -> None:
    """Other devices that scale their clock (an encoder, the memory) are not taken for the GPU."""
    write(tmp_path / "sys/class/devfreq/15340000.vic/device/of_node/name", "vic\0")
    write(tmp_path / "sys/class/devfreq/15340000.vic/cur_freq", "115200000\n")
    assert board.gpu(tmp_path)["frequency_hz"] is None


def test_a_thor_has_a_clock_but_no_load(tmp_path: Path) -> None:
    """A Thor's GPU node is known by its own name and has no load file."""
    write(tmp_path / "sys/class/devfreq/gpu-gpc-0/cur_freq", "1575000000\n")
    read = board.gpu(tmp_path)
    assert (read["frequency_hz"], read["load_percent"]) == (1575000000, None)


def test_a_zone_that_is_powered_down_is_none(tmp_path: Path) -> None:
    """A zone whose driver answers EAGAIN, as a `cv` zone does, is None, and the others are read.

    A FIFO that somebody holds open and nobody writes to answers a read in the same way.
    """
    zones = tmp_path / "sys/class/thermal"
    write(zones / "thermal_zone0/type", "cv0-thermal\n")
    write(zones / "thermal_zone1/type", "tj-thermal\n")
    write(zones / "thermal_zone1/temp", "48250\n")
    fifo = zones / "thermal_zone0/temp"
    os.mkfifo(fifo)
    holder = os.open(fifo, os.O_RDWR)
    try:
        handle = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            os.read(handle, 1)
        os.close(handle)
        assert board.temperatures(tmp_path) == {"cv0-thermal": None, "tj-thermal": 48.25}
    finally:
        os.close(holder)


@pytest.mark.parametrize(
    ("temp", "celsius"),
    [("-256000", None), ("-5000", -5.0), ("0", 0.0), ("300000", None), ("warm", None), ("", None)],
)
def test_what_a_zone_shows(tmp_path: Path, temp: str, celsius: float | None) -> None:
    """A zone shows thousandths of a degree; what no board can have is None, and 0 is a value."""
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", temp)
    assert board.temperatures(tmp_path) == {"cpu-thermal": celsius}


def test_zones_of_one_name_are_numbered(tmp_path: Path) -> None:
    """Two zones of the same name both appear, in the order of their numbers."""
    for number, temp in ((2, "20000"), (10, "30000")):
        write(tmp_path / f"sys/class/thermal/thermal_zone{number}/type", "acpitz\n")
        write(tmp_path / f"sys/class/thermal/thermal_zone{number}/temp", temp)
    assert board.temperatures(tmp_path) == {"acpitz": 20.0, "acpitz-2": 30.0}


def test_rails_that_measure_nothing(tmp_path: Path) -> None:
    """An unconnected channel is left out; a rail that cannot be read keeps its place with None."""
    monitor = tmp_path / "sys/class/hwmon/hwmon1"
    write(monitor / "name", "ina3221\n")
    write(monitor / "in1_label", "NC\n")
    write(monitor / "in2_label", "VDD_IN\n")
    write(monitor / "in2_input", "5000\n")
    assert board.power(tmp_path) == {
        "input_w": None,
        "rails": {"VDD_IN": {"mv": 5000, "ma": None, "mw": None}},
    }


def test_counters_are_named_on_an_orin_only(tmp_path: Path) -> None:
    """A board that is no Orin may count other events under these numbers, so they stay absent."""
    write(tmp_path / "proc/device-tree/compatible", "nvidia,p3668-0000\0nvidia,tegra194\0")
    write(tmp_path / "sys/class/hwmon/hwmon3/name", "soctherm_oc\n")
    write(tmp_path / "sys/class/hwmon/hwmon3/oc1_event_cnt", "7\n")
    assert board.throttle(tmp_path)["under_voltage"] is None


def test_cooling_devices_of_one_name(tmp_path: Path) -> None:
    """Cooling devices of one name share an entry with the highest state; one that fails is None."""
    table = [("Processor", "0"), ("Processor", "3"), ("Processor", ""), ("gpu-alert", "")]
    for number, (name, state) in enumerate(table):
        write(tmp_path / f"sys/class/thermal/cooling_device{number}/type", name)
        write(tmp_path / f"sys/class/thermal/cooling_device{number}/cur_state", state)
    assert board.throttle(tmp_path)["cooling"] == {"Processor": 3, "gpu-alert": None}


def test_a_mode_without_a_name(tmp_path: Path) -> None:
    """A power mode that the catalogue does not name has its id only."""
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0009\n")
    assert board.power_mode(tmp_path) == {"id": 9, "name": None}


@pytest.mark.parametrize("content", ["", "nan 1\n", "soon\n"])
def test_an_uptime_that_is_no_number(tmp_path: Path, content: str) -> None:
    """An uptime that is empty, not finite or not a number is absent."""
    write(tmp_path / "proc/uptime", content)
    assert board.uptime_s(tmp_path) is None


def test_small_files(tmp_path: Path) -> None:
    """A file's text comes without NULs and white space; a folder or nothing at all is None."""
    path = write(tmp_path / "model", " Board \0\n")
    assert read_text(path) == "Board"
    assert read_int(path) is None
    assert read_text(tmp_path) is None
    assert read_text(tmp_path / "missing") is None
    assert entries(tmp_path / "missing") == []
    assert entries(path) == []


def totals(*, at_s: int = 0, frames: int = 0) -> LineTotals:
    """Totals of a line that takes 5 ms a frame."""
    return LineTotals(
        monotonic_ns=at_s * 1_000_000_000,
        frames=frames,
        errors=0,
        replaced=0,
        skipped=0,
        overflow=0,
        latency={"total": Latency((frames, 0), frames * 5.0)},
    )


def watch(tmp_path: Path, published: list[dict[str, object]], *rounds: LineTotals) -> Watch:
    """A watch over the fixture Orin whose line shows these totals in turn."""
    given = iter(rounds)
    return Watch(
        period_s=0.001,
        sensors=Sensors(store=tmp_path, root=BOARDS / "orin-nano-jp6" / "root"),
        line_totals=lambda: next(given),
        backlog=lambda: {"outbox": 4},
        ledger=lambda: {"head": 12},
        envelope=lambda: {"site": "plant-a", "device": "cam-7"},
        budget=lambda: None,
        bounds=(10.0,),
        publish=published.append,
        stop=threading.Event(),
    )


def test_each_round_has_its_own_window(tmp_path: Path) -> None:
    """A round publishes the rate since the round before it, and the first since the construction."""
    published: list[dict[str, object]] = []
    watching = watch(tmp_path, published, totals(), totals(at_s=10, frames=50), totals(at_s=20, frames=250))
    watching.step()
    watching.step()
    lines = [body["line"] for body in published]
    rates = [line["images_per_s"] for line in lines if isinstance(line, dict)]
    assert rates == [5.0, 20.0]
    assert [body["site"] for body in published] == ["plant-a"] * 2
    assert json.loads(json.dumps(published, allow_nan=False)) == published


def test_the_loop_publishes_until_it_is_stopped(tmp_path: Path) -> None:
    """The loop publishes every period and ends when it is told to."""
    stop, bodies = threading.Event(), []

    def publish(body: dict[str, object]) -> None:
        bodies.append(body)
        if len(bodies) == 3:
            stop.set()

    watching = Watch(
        period_s=0.001,
        sensors=Sensors(store=tmp_path, root=tmp_path),
        line_totals=totals,
        backlog=dict,
        ledger=dict,
        envelope=dict,
        budget=dict,
        bounds=(10.0,),
        publish=publish,
        stop=stop,
    )
    watching.run()
    assert len(bodies) == 3


def test_a_stopped_loop_publishes_nothing(tmp_path: Path) -> None:
    """A loop that is stopped before its first period ends says nothing."""
    published: list[dict[str, object]] = []
    stop = threading.Event()
    stop.set()
    Watch(
        period_s=3600,
        sensors=Sensors(store=tmp_path, root=tmp_path),
        line_totals=totals,
        backlog=dict,
        ledger=dict,
        envelope=dict,
        budget=dict,
        bounds=(10.0,),
        publish=published.append,
        stop=stop,
    ).run()
    assert published == []
