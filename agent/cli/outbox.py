"""``outbox``: what waits for the broker, and what becomes of messages that it refuses."""

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import (
    DEFAULT_PATH,
    ByOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    read_config,
    who,
    why,
)
from agent.cli.printing import say, say_json, span, table, text_of, thousands, volume
from agent.control.client import ask, listens
from agent.errors import ControlError, UsageError

_DEAD_SHOWN = 20

NumbersArgument = Annotated[list[int] | None, typer.Argument(help="Numbers (seq) of dead letters.")]
AllOption = Annotated[bool, typer.Option("--all", help="All dead letters, of all epochs.")]
EpochOption = Annotated[str, typer.Option("--epoch", help="Whose numbers these are; none: the present epoch.")]


def show(config: ConfigOption = DEFAULT_PATH, *, as_json: JsonOption = False) -> None:
    """Show what waits for the broker by kind, since when, and how things stand with it.

    Example: fieldgate outbox show
    """
    from agent.store.queries import dead_at, waiting_by_kind  # noqa: PLC0415 - a tenth of a second for --help

    settings = read_config(config)
    kinds, dead = waiting_by_kind(settings.store.dir), dead_at(settings.store.dir)
    try:
        uplink: dict[str, Any] | None = ask(settings.control_socket, "status")["uplink"]
    except ControlError:
        uplink = None
    if as_json:
        say_json(
            {"kinds": kinds, "waiting": sum(one["waiting"] for one in kinds), "dead_letters": dead, "uplink": uplink}
        )
        return
    if kinds:
        table(
            ("kind", "waiting", "bytes", "oldest", "numbers"),
            [
                (
                    one["kind"],
                    one["waiting"],
                    volume(one["bytes"]),
                    one["oldest"],
                    f"{thousands(one['first'])} to {thousands(one['last'])}",
                )
                for one in kinds
            ],
        )
    else:
        say("Nothing waits: the broker has acknowledged every message.")
    _show_dead(dead)
    say(f"Broker: {_broker(uplink)}")


def retry(
    numbers: NumbersArgument = None,
    reason: ReasonOption = "",
    by: ByOption = "",
    epoch: EpochOption = "",
    config: ConfigOption = DEFAULT_PATH,
    *,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again: messages that the broker refused for good. The ledger records who and why.

    Works with and without a running daemon.

    Example: fieldgate outbox retry --all --reason "the broker's size limit was raised"
    """
    because = why(reason, example='fieldgate outbox retry --all --reason "the broker was mended"')
    found = _decided(config, "retry", numbers, epoch, everything=everything, by=by, reason=because)
    if as_json:
        say_json({"seqs": found})
    else:
        say(f"{thousands(len(found))} messages are sent again." if found else "No such dead letter; nothing was done.")


def give_up(
    numbers: NumbersArgument = None,
    reason: ReasonOption = "",
    by: ByOption = "",
    epoch: EpochOption = "",
    config: ConfigOption = DEFAULT_PATH,
    *,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give dead letters up: consumers are told by a gap that these messages will never come, by whose word and why.

    Works with and without a running daemon.

    Example: fieldgate outbox give-up 4711 --reason "a file name that the broker does not take"
    """
    example = 'fieldgate outbox give-up 4711 --reason "the broker does not take its file name"'
    found = _decided(
        config, "give-up", numbers, epoch, everything=everything, by=by, reason=why(reason, example=example)
    )
    if as_json:
        say_json({"seqs": found})
    else:
        say(f"{thousands(len(found))} messages are given up." if found else "No such dead letter; nothing was done.")


def _decided(
    config: Path, what: str, numbers: list[int] | None, epoch: str, *, everything: bool, by: str, reason: str
) -> list[int]:
    if bool(numbers) == everything:
        raise UsageError(f"say which: numbers, or --all. For example: fieldgate outbox {what} --all --reason ...")
    settings = read_config(config)
    told: dict[str, Any] = {"seqs": numbers or None, "epoch": epoch or None, "by": who(by), "reason": reason}
    if listens(settings.control_socket):
        return list(ask(settings.control_socket, f"outbox-{what}", told)["seqs"])
    from agent.operations import decide_alone  # noqa: PLC0415 - only without a daemon
    from agent.store.dead_letters import Decision  # noqa: PLC0415

    decision = Decision(told["seqs"], told["epoch"], told["by"], reason, "cli")
    return decide_alone(settings, decision, give_up=what == "give-up")


def _show_dead(dead: list[dict[str, Any]]) -> None:
    if not dead:
        return
    say(f"{thousands(len(dead))} of them the broker refuses for good; outbox retry or outbox give-up decides:")
    table(
        ("number", "kind", "reason", "epoch"),
        [(one["seq"], one["kind"], one["reason"], one["epoch"]) for one in dead[:_DEAD_SHOWN]],
    )


def _broker(uplink: dict[str, Any] | None) -> str:
    if uplink is None:
        return "no daemon is running, so nothing is sent; start it with: fieldgate run"
    if uplink["state"] == "off":
        return "none is configured (mqtt.host)"
    reason = text_of(uplink["reason"])
    return f"{uplink['state']} for {span(uplink['for_s'])}" + (f": {reason}" if reason else "")
