"""The table of all verbs."""

import typer

from agent.cli import running

app = typer.Typer(
    name="fieldgate",
    help="Edge visual-inspection agent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(running.run)


@app.callback()
def _root() -> None:
    """Edge visual-inspection agent."""
