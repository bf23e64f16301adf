"""``demo``: the whole agent on simulated parts, for whoever has no camera at hand."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agent.cli.printing import say
from agent.cli.running import end, stop_on_signals
from agent.errors import ConfigError, PackError, StoreError, UsageError

if TYPE_CHECKING:
    from agent.config import Config

SecondsOption = Annotated[float, typer.Option("--seconds", min=0, help="End after so long; 0: at Ctrl-C.")]
BrokerOption = Annotated[str, typer.Option("--broker", help="HOST[:PORT] of an MQTT broker; none: do not try one.")]
FolderOption = Annotated[Path, typer.Option("--dir", help="Folder for the database, the pictures and the log.")]
EngineOption = Annotated[Path | None, typer.Option("--engine", help="Engine pack; default: the one that is shipped.")]

_PARTS_PER_S: Final = 6.0
_DEFECT_RATE: Final = 0.15  # three times a usual line's, so that a minute shows each kind
_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def demo(
    seconds: SecondsOption = 0,
    broker: BrokerOption = "localhost:1883",
    folder: FolderOption = Path("fieldgate-demo"),
    engine: EngineOption = None,
) -> None:
    """Run the agent on a simulated camera with the shipped engine, and show what it decides.

    More parts are defective than on a usual line (15 %), so that a minute has something to show. It syncs
    with a broker that it can reach; otherwise its backlog grows on the disk, and it says so.

    Example: fieldgate demo --seconds 60
    """
    from agent import logs  # noqa: PLC0415 - --help does without

    settings = demo_settings(engine or shipped_pack(), folder, broker)
    stop = stop_on_signals()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / "demo.log").open("a", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be used: {error.strerror}. Give another with --dir") from None
    with log:
        logs.set_up(settings.monitor.log_level, log)
        code = _run(settings, stop, seconds)
    end(code)


def _run(settings: "Config", stop: threading.Event, seconds: float) -> int:
    say("Loading the engine and setting up the simulated line ...")
    from agent.app import App  # noqa: PLC0415 - --help does without all of it
    from agent.cli.demo_table import Watcher  # noqa: PLC0415

    try:
        app = App(settings, stop=stop)
    except PackError as error:
        raise ConfigError(str(error)) from None
    watcher = Watcher(app)
    shown = threading.Thread(target=watcher.run, name="demo", daemon=True)
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    if seconds:
        timer.start()
    shown.start()
    code = app.run()
    timer.cancel()
    shown.join(1.0)
    say(watcher.summary())
    return code


def shipped_pack() -> Path:
    """The newest demo pack beside the package.

    Raises:
        UsageError: The package was installed without its checkout.
    """
    packs = sorted(one.parent for one in (_CHECKOUT / "engines").glob("demo-*/pack.toml"))
    if not packs:
        raise UsageError(f"there is no demo pack in {_CHECKOUT / 'engines'}; give an engine pack with --engine DIR")
    return packs[-1]


def demo_settings(pack: Path, folder: Path, broker: str) -> "Config":
    """The settings of a demo: one simulated camera, everything recorded.

    Raises:
        ConfigError: They cannot be used.
        UsageError: The broker's address is none, or there is no such pack.
    """
    from agent.config import build  # noqa: PLC0415 - --help does without
    from agent.engine.pack import read_pack  # noqa: PLC0415

    try:
        name = read_pack(pack).engine
    except PackError as error:
        raise UsageError(str(error)) from None
    table: dict[str, Any] = {
        "device": {"site": "demo", "name": "demo"},
        "cameras": [
            {
                "name": "simulated",
                "kind": "simulated",
                "engine": name,
                "record": "all",
                "fps": _PARTS_PER_S,
                "defect_rate": _DEFECT_RATE,
            },
        ],
        "engines": {name: {"pack": str(pack)}},
        "store": {"dir": str(folder)},
        # Nobody has to listen for the demo to show that the broker takes what it is sent.
        "mqtt": {**_address(broker), "require_subscriber": False, "retry_max_s": 5.0},
    }
    return build(table, where="the demo's settings")


def _address(broker: str) -> dict[str, Any]:
    if broker.lower() in {"", "none"}:
        return {"host": ""}
    host, colon, port = broker.rpartition(":") if ":" in broker else (broker, "", "1883")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:  # noqa: PLR2004 - TCP's ports
        raise UsageError(f"--broker {broker}: write HOST or HOST:PORT, such as localhost:1883")
    del colon
    return {"host": host, "port": int(port)}
