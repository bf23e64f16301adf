"""Checks of the config file."""

import difflib

from agent.config import load
from agent.config.loading import read_toml
from agent.doctor.check import Answer, Check, fail, ok
from agent.doctor.installation import Installation
from agent.errors import ConfigError


def _readable(installation: Installation, _about: str) -> Answer:
    path = installation.path
    try:
        table = read_toml(path)
    except ConfigError as error:
        return fail(
            str(error),
            cause="the file was never made, or --config names another place" + _near(installation)
            if not path.exists()
            else "a quote, bracket or equals sign is missing, or the file belongs to another user",
            fix=f"ls -l {path}; edit it at that line, or begin with: cp config.example.toml {path}",
        )
    return ok(f"{path}: TOML with {len(table)} tables")


def _near(installation: Installation) -> str:
    folder = installation.path.parent
    names = [one.name for one in folder.glob("*.toml")] if folder.is_dir() else []
    close = difflib.get_close_matches(installation.path.name, names, n=1)
    return f" ({folder / close[0]} is there)" if close else ""


def _valid(installation: Installation, _about: str) -> Answer:
    try:
        settings = load(installation.path)
    except ConfigError as error:
        return fail(
            str(error),
            cause="a key is mistyped, or its value is not what the key takes",
            fix=f"edit {installation.path}; config.example.toml lists every key",
        )
    installation.settings = settings
    if not settings.cameras:
        return fail(
            "there is no camera",
            cause="the config has no [[cameras]] table",
            fix=f"add one to {installation.path}; config.example.toml has one of each kind",
        )
    return ok(f"{_counted(len(settings.cameras), 'camera')}, {_counted(len(settings.engines), 'engine')}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


CHECKS = (
    Check("config-readable", "The config file is there and is TOML", _readable),
    Check("config-valid", "Every setting is known and has a value that works", _valid, needs=("config-readable",)),
)
