"""``outbox``: what waits for the broker."""

from typing import Any

from agent.cli.options import DEFAULT_PATH, ConfigOption, JsonOption, read_config
from agent.cli.printing import say, say_json, span, table, text_of, thousands, volume
from agent.control.client import ask
from agent.errors import ControlError


def show(config: ConfigOption = DEFAULT_PATH, *, as_json: JsonOption = False) -> None:
    """Show what waits for the broker by kind, since when, and how things stand with it.

    Example: fieldgate outbox show
    """
    from agent.store.queries import waiting_by_kind  # noqa: PLC0415 - a tenth of a second that --help does without

    settings = read_config(config)
    kinds = waiting_by_kind(settings.store.dir)
    try:
        uplink: dict[str, Any] | None = ask(settings.control_socket, "status")["uplink"]
    except ControlError:
        uplink = None
    if as_json:
        say_json({"kinds": kinds, "waiting": sum(one["waiting"] for one in kinds), "uplink": uplink})
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
    say(f"Broker: {_broker(uplink)}")


def _broker(uplink: dict[str, Any] | None) -> str:
    if uplink is None:
        return "no daemon is running, so nothing is sent; start it with: fieldgate run"
    if uplink["state"] == "off":
        return "none is configured (mqtt.host)"
    reason = text_of(uplink["reason"])
    return f"{uplink['state']} for {span(uplink['for_s'])}" + (f": {reason}" if reason else "")
