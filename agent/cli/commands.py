"""The table of all verbs. A verb's own imports wait until it is called, so that --help is quick."""

from typing import Annotated

import typer

from agent import __version__
from agent.cli import (
    batch,
    cameras,
    checking,
    collecting,
    configuring,
    demo,
    holding,
    modes,
    outbox,
    running,
    simulating,
    status,
)


def _group(name: str, about: str) -> typer.Typer:
    group = typer.Typer(name=name, help=about, rich_markup_mode=None)
    app.add_typer(group)
    return group


app = typer.Typer(
    name="fieldgate",
    help="Edge visual-inspection agent.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(running.run)
app.command("demo")(demo.demo)
app.command("inspect")(batch.inspect)
app.command("status")(status.status)
app.command("mode")(modes.mode)
app.command("doctor")(checking.doctor)
app.command("bench")(batch.bench)

outbox_app = _group("outbox", "What waits for the broker.")
outbox_app.command("show")(outbox.show)
outbox_app.command("retry")(outbox.retry)
outbox_app.command("give-up")(outbox.give_up)

app.command("simulate")(simulating.simulate)

collect_app = typer.Typer(name="collect", rich_markup_mode=None)
app.add_typer(collect_app)
collect_app.callback(invoke_without_command=True)(collecting.collect)
collect_app.command("verify")(collecting.verify)
collect_app.command("export")(collecting.export)

evidence_app = _group("evidence", "The pictures on this device.")
evidence_app.command("hold")(holding.hold)
evidence_app.command("release")(holding.release)

camera_app = _group("camera", "The cameras of this device.")
camera_app.command("list")(cameras.list_cameras)
camera_app.command("snapshot")(cameras.snapshot)

config_app = _group("config", "The settings.")
config_app.command("check")(configuring.check)
config_app.command("show")(configuring.show)


def _version(wanted: bool) -> None:  # noqa: FBT001 - the form that typer calls
    if wanted:
        typer.echo(f"fieldgate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Edge visual-inspection agent."""
    del version  # its callback has acted
