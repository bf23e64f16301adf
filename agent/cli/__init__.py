"""The command line: parse, call one function, print, exit code. One file per family of verbs."""

import errno
import os
import sys
from typing import cast

from agent.errors import ConfigError, FieldgateError, SchemaTooNew, UsageError

DONE, FAILED, WRONG_USAGE, WRONG_CONFIG, INTERRUPTED = 0, 1, 2, 78, 130


def main() -> None:
    """Run the command line. What goes wrong on purpose becomes one sentence and an exit code."""
    import typer  # noqa: PLC0415 - so that Ctrl-C during the imports is told like any other

    from agent.cli.commands import app  # noqa: PLC0415 - as above

    # Click's own exception: newer typers carry a click of their own, so there is no one place to import it from.
    called_wrongly = cast("type[Exception]", typer.BadParameter.__mro__[2])
    try:
        sys.exit(app(standalone_mode=False) or DONE)
    except FieldgateError as error:
        _tell(str(error), exit_code(error))
    except called_wrongly as error:
        _tell(_wrong_usage(error), WRONG_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        _tell("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # anything else is a fault of the agent
            raise
        _tell(f"the answer cannot be written: {error.strerror}", FAILED)


def exit_code(error: FieldgateError) -> int:
    """78 for what a restart would not mend, 2 for wrong usage, 1 for the rest."""
    if isinstance(error, ConfigError | SchemaTooNew):
        return WRONG_CONFIG
    if isinstance(error, UsageError):
        return WRONG_USAGE
    return FAILED


def _tell(sentence: str, code: int) -> None:
    print(f"fieldgate: {sentence}", file=sys.stderr)  # noqa: T201 - the command line prints
    sys.exit(code)


def _wrong_usage(error: BaseException) -> str:
    """Click's sentence, and where to read more."""
    told: str = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "fieldgate"
    return f"{told.strip().removesuffix('.')}. See: {path} --help"
