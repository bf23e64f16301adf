"""The options that several verbs have, and what stands in for them."""

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.config import Config

DEFAULT_PATH: Final = Path("/etc/fieldgate/config.toml")
"""As in ``agent.config``, whose import costs half a second that --help does without."""

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The TOML file with the settings.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is recorded. Required for a change.")]
ByOption = Annotated[str, typer.Option("--by", help="Who; it is recorded. Default: the login name.")]


def read_config(path: Path) -> "Config":
    """The settings.

    Raises:
        ConfigError: They cannot be used.
    """
    from agent.config import load  # noqa: PLC0415 - as above

    return load(path)


def who(by: str) -> str:
    """The name that a change is recorded under: as given, else the login name behind a sudo."""
    if by.strip():
        return by.strip()
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return f"uid {os.getuid()}"


def why(reason: str, *, example: str) -> str:
    """The reason of a change.

    Raises:
        UsageError: None was given.
    """
    if not reason.strip():
        raise UsageError(f"a change needs a reason, which is recorded. For example: {example}")
    return reason.strip()
