"""The command line: parse, call one function, print, exit code. One file per family of verbs."""

import sys

from agent.errors import ConfigError, FieldgateError, SchemaTooNew, UsageError

DONE, FAILED, WRONG_USAGE, WRONG_CONFIG = 0, 1, 2, 78


def main() -> None:
    """Run the command line. What the agent raises on purpose becomes one sentence and an exit code."""
    from agent.cli.commands import app  # noqa: PLC0415 - so that an import that fails is told like any error

    try:
        app()
    except FieldgateError as error:
        print(f"fieldgate: {error}", file=sys.stderr)  # noqa: T201 - the command line prints
        sys.exit(exit_code(error))


def exit_code(error: FieldgateError) -> int:
    """78 for what a restart would not mend, 2 for wrong usage, 1 for the rest."""
    if isinstance(error, ConfigError | SchemaTooNew):
        return WRONG_CONFIG
    if isinstance(error, UsageError):
        return WRONG_USAGE
    return FAILED
