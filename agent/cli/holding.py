"""``evidence``: legal hold of pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import DEFAULT_PATH, ByOption, ConfigOption, JsonOption, ReasonOption, read_config, who, why
from agent.cli.printing import say, say_json
from agent.control.client import ask, listens

RecordArgument = Annotated[str, typer.Argument(help="The record's id, which is also the picture's name.")]


def hold(
    record: RecordArgument,
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_PATH,
    *,
    as_json: JsonOption = False,
) -> None:
    """Put the picture of a record under legal hold: neither it nor its record goes, whatever the disk is short of.

    Works with and without a running daemon. The ledger records who and why.

    Example: fieldgate evidence hold 0193a2b4-7c11-7d3e-9f00-5b1c2d3e4f50 --reason "claim 4711"
    """
    example = f'fieldgate evidence hold {record} --reason "claim 4711"'
    told = _set(config, record, held=True, by=by, reason=why(reason, example=example))
    _say(told, "is under legal hold", as_json=as_json)


def release(
    record: RecordArgument,
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_PATH,
    *,
    as_json: JsonOption = False,
) -> None:
    """Lift the legal hold of a picture: it may go again when its age or the disk's budget says so.

    Works with and without a running daemon. The ledger records who and why.

    Example: fieldgate evidence release 0193a2b4-7c11-7d3e-9f00-5b1c2d3e4f50 --reason "claim 4711 is settled"
    """
    example = f'fieldgate evidence release {record} --reason "claim 4711 is settled"'
    told = _set(config, record, held=False, by=by, reason=why(reason, example=example))
    _say(told, "is no longer under legal hold", as_json=as_json)


def _set(config: Path, record: str, *, held: bool, by: str, reason: str) -> dict[str, Any]:
    settings = read_config(config)
    if listens(settings.control_socket):
        asked = {"record": record, "held": held, "by": who(by), "reason": reason}
        return ask(settings.control_socket, "hold", asked)
    from agent.operations import hold_alone  # noqa: PLC0415 - only without a daemon

    return hold_alone(settings, record, held=held, by=who(by), reason=reason)


def _say(told: dict[str, Any], now: str, *, as_json: bool) -> None:
    if as_json:
        say_json(told)
    elif told["old"] == told["new"]:
        say(f"Nothing was changed: the picture of {told['record']} {now} already.")
    else:
        say(f"The picture of {told['record']} {now}.")
