"""``config``: whether the settings can be used, and what they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agent.cli import WRONG_CONFIG
from agent.cli.options import DEFAULT_PATH, ConfigOption, JsonOption, read_config
from agent.cli.printing import say, say_json
from agent.errors import ConfigError, PackError

if TYPE_CHECKING:
    from agent.config import Config


def check(config: ConfigOption = DEFAULT_PATH) -> None:
    """Check the settings, the engine packs they name and the files of secrets; exit 78 when something is wrong.

    Example: fieldgate config check --config /etc/fieldgate/config.toml
    """
    settings = read_config(config)
    faults = list(_faults(settings))
    for fault in faults:
        typer.echo(f"fieldgate: {config}: {fault}", err=True)
    if faults:
        raise typer.Exit(WRONG_CONFIG)
    say(f"{config}: can be used ({len(settings.cameras)} cameras, {len(settings.engines)} engines).")


def _faults(settings: "Config") -> Iterator[str]:
    """What a valid file can still have wrong: what it points to."""
    from agent.engine.pack import read_pack  # noqa: PLC0415 - `config show` does without

    if not settings.cameras:
        yield "there is no camera: add a [[cameras]] table"
    for name, section in settings.engines.items():
        try:
            pack = read_pack(section.pack)
        except PackError as error:
            yield f"engines.{name}.pack: {error}"
            continue
        if pack.engine != name:
            yield f"engines.{name}.pack: holds the engine '{pack.engine}'; name the table [engines.{pack.engine}]"
    files = [("mqtt.password_file", settings.mqtt.password_file)]
    files += [
        (f"cameras.{camera.name}.password_file", getattr(camera, "password_file", None)) for camera in settings.cameras
    ]
    yield from (fault for what, path in files if (fault := _secret_fault(what, path)))


def _secret_fault(what: str, path: Path | None) -> str:
    """Why a secret's file cannot be used; empty where it can, or where none is named."""
    from agent.secret import secret  # noqa: PLC0415 - --help does without

    try:
        secret(path, what=what)
    except ConfigError as error:
        return str(error)
    return ""


def show(config: ConfigOption = DEFAULT_PATH, *, as_json: JsonOption = False) -> None:
    """Show every setting as it is in effect, and whether it comes from the file, the environment or the default.

    Secrets are files, so only their paths are shown.

    Example: fieldgate config show --json
    """
    from agent.cli.effective import effective  # noqa: PLC0415 - --help does without
    from agent.config import environment_keys  # noqa: PLC0415
    from agent.config.loading import read_toml  # noqa: PLC0415

    settings = read_config(config)
    if as_json:
        say_json({"settings": settings.model_dump(mode="json"), "from_environment": environment_keys()})
        return
    say(f"# {config}, as it is in effect")
    for line in effective(settings, read_toml(config)):
        say(line)
