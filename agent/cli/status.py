"""``status``: one screen for whoever stands in front of the device; first what is wrong."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from agent.cli import FAILED
from agent.cli.options import DEFAULT_PATH, ConfigOption, JsonOption, read_config
from agent.cli.printing import heading, say, say_json, span, table, text_of, thousands, trouble, volume
from agent.control.client import ask
from agent.errors import ControlError, StoreError

if TYPE_CHECKING:
    from agent.config import Config

_STAGES = {"total": "capture to verdict", "wait": "of it waiting", "screen": "screening", "verify": "verification"}
_REASON_WIDTH = 44
_FINE_CAMERA = frozenset({"running", "starting", "ended"})
_FINE_UPLINK = frozenset({"connected", "off", "connecting"})


def status(config: ConfigOption = DEFAULT_PATH, *, as_json: JsonOption = False) -> None:
    """Show what is wrong, then how engines, cameras, store and broker are doing.

    Without a running daemon it shows what the database and the mode files say, and exits with 1.

    Example: fieldgate status --config /etc/fieldgate/config.toml
    """
    settings = read_config(config)
    try:
        told = {"running": True, **ask(settings.control_socket, "status")}
    except ControlError as error:
        told = {"running": False, "why": str(error), **at_rest(settings)}
    if as_json:
        say_json(told)
    elif told["running"]:
        _show_running(told)
    else:
        _show_at_rest(settings, told)
    if not told["running"]:
        raise typer.Exit(FAILED)


def at_rest(settings: "Config") -> dict[str, Any]:
    """What the files of a device without a daemon say; nothing is written."""
    from agent.store.modes import Modes  # noqa: PLC0415 - only without a daemon
    from agent.store.queries import standing  # noqa: PLC0415

    modes = Modes(settings.store.dir / "modes", settings.engines)
    told: dict[str, Any] = {"modes": modes.all(), "mode_files": modes.troubles}
    try:
        return {**told, **standing(settings.store.dir), "database": None}
    except StoreError as error:
        return {**told, "ledger": None, "backlog": None, "latest": [], "database": str(error)}


def problems(told: Mapping[str, Any]) -> list[str]:
    """What is wrong with a running agent, one sentence each, the worst first; empty when all is well."""
    store, cameras, modes = _store_problems(told), _camera_problems(told), _mode_problems(told)
    return [*store, *cameras, *modes, *_broker_problems(told), *_upload_problems(told)]


def _store_problems(told: Mapping[str, Any]) -> Iterator[str]:
    for alert in told["alerts"]:
        if alert["about"] == "store":
            yield f"store: {alert['text']}"
    for room in ("journal", "evidence"):
        if told[room]["state"] != "writing":
            yield f"{room}: {told[room]['reason']}"
    lost = told["journal"]["frames_lost"]
    if lost:
        yield f"journal: {thousands(lost)} frames were inspected and could not be stored; a gap announces them"
    failed = told["evidence"]["failed"]
    if failed and told["evidence"]["state"] == "writing":
        yield f"evidence: {thousands(failed)} pictures could not be stored since the start; their records say so"


def _camera_problems(told: Mapping[str, Any]) -> Iterator[str]:
    for camera in told["cameras"]:
        if camera["state"] not in _FINE_CAMERA:
            yield f"camera {camera['name']}: {camera['state']} since {camera['since'][:19]}Z: {camera['reason']}"
        if camera["overflow"]:
            yield f"camera {camera['name']}: {thousands(camera['overflow'])} triggers found no place (trigger_queue)"


def _mode_problems(told: Mapping[str, Any]) -> Iterator[str]:
    for engine, why in told["mode_files"].items():
        yield f"mode of {engine}: {why}"


def _broker_problems(told: Mapping[str, Any]) -> Iterator[str]:
    uplink = told["uplink"]
    if uplink["state"] not in _FINE_UPLINK:
        waiting = told["backlog"]["outbox"]
        behind = "" if waiting is None else f" {thousands(waiting)} messages wait on the disk; none is lost."
        yield f"broker: {uplink['state']} for {span(uplink['for_s'])}: {text_of(uplink['reason'])}.{behind}"
    for topic, why in uplink.get("not_permitted", {}).items():
        yield f"broker: does not permit {topic}: {why}"
    if uplink.get("held"):
        first = uplink["held_messages"][0]
        yield f"broker: {thousands(uplink['held'])} messages are held, the first for: {first['text']}"
    commands = uplink.get("commands", {})
    refused = sum(commands.get("refused", {}).values())
    if refused:
        last = commands["last_refusal"]
        yield f"commands: {thousands(refused)} were refused, the last at {last['at'][:19]}Z: {last['text']}"


def _upload_problems(told: Mapping[str, Any]) -> Iterator[str]:
    upload = told["upload"]
    if upload["state"] in {"waiting", "failing"}:
        yield f"pictures: {upload['state']}: {text_of(upload['reason'])}"
    if upload.get("failed"):
        yield f"pictures: {thousands(upload['failed'])} could not be sent; the ledger says which and why"


def _show_running(told: Mapping[str, Any]) -> None:
    say(
        f"fieldgate {told['agent']} on {told['device']} at {told['site']}, up {span(told['uptime_s'])}, "
        f"clock {told['clock']}"
    )
    wrong = problems(told)
    heading("What is wrong" if wrong else "Nothing is wrong.")
    for sentence in wrong:
        trouble(sentence)
    heading("Engines")
    table(
        ("engine", "mode", "pack", "runtime", "digest"),
        [
            (name, told["modes"][name], one["pack"], one["runtime"], one["digest"][:12])
            for name, one in told["engines"].items()
        ],
    )
    heading("Cameras")
    table(
        ("camera", "kind", "state", "frames", "replaced", "last verdict", "ms", "reason"),
        [_camera_row(camera, told["line"]["last"].get(camera["name"])) for camera in told["cameras"]],
    )
    _show_line(told)
    _show_store(told)


def _camera_row(camera: Mapping[str, Any], last: Mapping[str, Any] | None) -> tuple[object, ...]:
    head = (camera["name"], camera["kind"], camera["state"], camera["frames"], camera["replaced"])
    if last is None:
        return (*head, "none yet", None, "")
    reason = textwrap.shorten(text_of(last["reason"]), _REASON_WIDTH, placeholder=" ...")
    return (*head, last["outcome"], last["latency_ms"]["total"], reason)


def _show_line(told: Mapping[str, Any]) -> None:
    line = told["line"]
    heading("Since the start")
    outcomes = ", ".join(f"{thousands(count)} {name}" for name, count in sorted(line["outcomes"].items()) if count)
    say(f"  {thousands(line['frames'])} frames inspected: {outcomes or 'none'}")
    say(f"  {thousands(line['recorded'])} of them became records")
    stages = [(name, line["latency_ms"][stage]) for stage, name in _STAGES.items()]
    told_ms = [f"{name} {one['p50']:.1f} / {one['p99']:.1f}" for name, one in stages if one["p50"] is not None]
    say(f"  milliseconds, p50 / p99: {', '.join(told_ms) or 'none yet'}")


def _show_store(told: Mapping[str, Any]) -> None:
    ledger, backlog, uplink = told["ledger"], told["backlog"], told["uplink"]
    heading("Store and broker")
    say(f"  ledger: {_ledger_sentence(ledger)}")
    say(f"  evidence: {thousands(told['evidence']['stored'])} pictures stored since the start")
    if told["budget"] is not None:
        say(f"  disk: {_budget_sentence(told['budget'])}")
    if told["upload"]["state"] != "off":
        sent = told["upload"]
        say(f"  pictures: {sent['state']}, {thousands(sent['stored'])} at the centre since the start")
    waiting = "unknown" if backlog["outbox"] is None else thousands(backlog["outbox"])
    if uplink["state"] == "off":
        say(f"  broker: none is configured (mqtt.host); {waiting} messages are kept")
    else:
        say(f"  broker: {uplink['state']} for {span(uplink['for_s'])}; {waiting} messages wait")


def _budget_sentence(budget: Mapping[str, Any]) -> str:
    shares = [
        f"{name} {volume(share['bytes'])}" + (f" of {volume(share['limit'])}" if share["limit"] else "")
        for name, share in (("database", budget["database"]), ("pictures", budget["evidence"]))
    ]
    return f"{', '.join(shares)}, {volume(budget['free']['bytes'])} free"


def _ledger_sentence(ledger: Mapping[str, Any]) -> str:
    settled = "unknown" if ledger["settled"] is None else thousands(ledger["settled"])
    return f"message {thousands(ledger['head'])} is the last, acknowledged up to {settled}"


def _show_at_rest(settings: "Config", told: Mapping[str, Any]) -> None:
    say(f"fieldgate is not running on {settings.device.name} at {settings.device.site}.")
    heading("What is wrong")
    trouble(told["why"])
    if told["database"]:
        trouble(told["database"])
    for engine, why in told["mode_files"].items():
        trouble(f"mode of {engine}: {why}")
    heading("Modes on disk")
    table(("engine", "mode"), list(told["modes"].items()))
    if told["ledger"] is None:
        return
    heading("Store")
    say(f"  ledger: {_ledger_sentence(told['ledger'])}")
    say(f"  {thousands(told['backlog']['outbox'])} messages wait for the broker")
    heading("Latest records")
    table(
        ("captured", "camera", "frame", "outcome", "reason"),
        [
            (one["captured_at"][:19] + "Z", one["camera"], one["frame"], one["outcome"], one["reason"])
            for one in told["latest"]
        ],
    )
