"""``mode``: show or change what an engine may do."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import DEFAULT_PATH, ByOption, ConfigOption, JsonOption, ReasonOption, read_config, who, why
from agent.cli.printing import say, say_json, table
from agent.control.client import ask, listens
from agent.errors import UsageError
from agent.store.modes import MODES, Modes

if TYPE_CHECKING:
    from agent.config import Config

EngineArgument = Annotated[str, typer.Argument(help="Name of the engine; none: all are shown.")]
ModeArgument = Annotated[str, typer.Argument(help="shadow, production or manual; none: it is shown.")]


def mode(
    engine: EngineArgument = "",
    new: ModeArgument = "",
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_PATH,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show the modes, or change one: shadow (records, takes no action), production (acts), manual (no AI).

    Works with and without a running daemon. A change is recorded in the ledger with who and why.

    Example: fieldgate mode pcb-trace manual --reason "lamp is being replaced"
    """
    settings = read_config(config)
    _check(settings, engine, new)
    if not new:
        _show(settings, engine, as_json=as_json)
        return
    because = why(reason, example=f'fieldgate mode {engine} {new} --reason "lamp is being replaced"')
    told = _change(settings, engine, new, by=who(by), reason=because)
    if as_json:
        say_json(told)
    elif told["old"] == told["new"]:
        say(f"{engine} was in mode {new} already; nothing was changed.")
    else:
        say(f"{engine}: {told['old']} -> {told['new']}")


def _check(settings: "Config", engine: str, new: str) -> None:
    if engine and engine not in settings.engines:
        known = ", ".join(settings.engines) or "none"
        raise UsageError(f"there is no engine '{engine}' in the config (there: {known})")
    if new and new not in MODES:
        raise UsageError(f"there is no mode '{new}'; it is one of {', '.join(MODES)}")


def _show(settings: "Config", engine: str, *, as_json: bool) -> None:
    if listens(settings.control_socket):
        told = ask(settings.control_socket, "status")
        modes, troubles = told["modes"], told["mode_files"]
    else:
        kept = Modes(settings.store.dir / "modes", settings.engines)
        modes, troubles = kept.all(), kept.troubles
    shown = {name: mode for name, mode in modes.items() if engine in {"", name}}
    if as_json:
        say_json(shown)
    else:
        table(("engine", "mode", "remark"), [(name, mode, troubles.get(name, "")) for name, mode in shown.items()])


def _change(settings: "Config", engine: str, new: str, *, by: str, reason: str) -> dict[str, Any]:
    if listens(settings.control_socket):
        return ask(settings.control_socket, "mode", {"engine": engine, "mode": new, "by": by, "reason": reason})
    from agent.operations import change_mode_alone  # noqa: PLC0415 - only without a daemon

    return change_mode_alone(settings, engine, new, by=by, reason=reason)
