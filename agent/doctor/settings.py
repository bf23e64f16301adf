"""Checks of the config file."""

import difflib
import sys

from agent.config import load
from agent.doctor.check import Answer, Check, fail, ok
from agent.doctor.installation import Installation
from agent.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _readable(installation: Installation, _about: str) -> Answer:
    path = installation.path
    try:
        text = path.read_text(encoding="utf-8")
        tomllib.loads(text)
    except FileNotFoundError:
        near = _near(installation)
        return fail(
            f"{path}: there is no such file",
            cause="the config was never made, or --config names another place" + near,
            fix=f"cp config.example.toml {path} and edit it, or give --config PATH",
        )
    except tomllib.TOMLDecodeError as error:
        return fail(
            f"{path}: is not valid TOML: {error}",
            cause="a quote, bracket or equals sign is missing at that line",
            fix=f"edit {path} at that line; text stands in quotes",
        )
    except (OSError, UnicodeDecodeError) as error:
        return fail(f"{path}: cannot be read: {error}", cause="owner or mode of the file", fix=f"ls -l {path}")
    return ok(f"{path}: {len(text.splitlines())} lines of TOML")


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
    return ok(f"{len(settings.cameras)} cameras, {len(settings.engines)} engines")


CHECKS = (
    Check("config-readable", "The config file is there and is TOML", _readable),
    Check("config-valid", "Every setting is known and has a value that works", _valid, needs=("config-readable",)),
)
