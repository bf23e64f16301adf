"""Settings as TOML, each with where it comes from."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent.config import Config, environment_keys


def effective(settings: Config, written: Mapping[str, Any]) -> Iterator[str]:
    """Every setting that is in effect, line by line, valid TOML.

    Args:
        settings: What is in effect.
        written: The tables of the file.
    """
    for name, section in settings:
        for title, table, place in _tables(name, section):
            yield ""
            yield title
            yield from _lines(table, place, written)


def _tables(name: str, section: object) -> Iterator[tuple[str, BaseModel, str]]:
    """Each table of one section: its title, its values, and its place in dots."""
    if isinstance(section, BaseModel):
        yield f"[{name}]", section, name
    elif isinstance(section, dict):
        yield from ((f"[{name}.{key}]", inner, f"{name}.{key}") for key, inner in section.items())
    elif isinstance(section, tuple):
        for place, inner in enumerate(section):
            yield f"[[{name}]]", inner, f"{name}.{place}"


def _lines(table: BaseModel, place: str, written: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table:
        if isinstance(value, BaseModel):
            yield from _lines(value, f"{place}.{key}", written, f"{prefix}{key}.")
            continue
        if value is None:
            yield f"# {prefix}{key} is not set"
        else:
            origin = _origin(f"{place}.{key}", written)
            yield f"{prefix}{key} = {toml_value(value)}  # {origin}"


def _origin(place: str, written: Mapping[str, Any]) -> str:
    variable = ("FIELDGATE_" + place.replace(".", "__")).upper()
    if any(variable == name.upper() for name in environment_keys()):
        return f"from {variable}"
    found: Any = written
    try:
        for part in place.split("."):
            found = found[int(part) if isinstance(found, list) else part]
    except (KeyError, IndexError, TypeError):
        return "default"
    return "from the file"


def toml_value(value: object) -> str:
    """A value as TOML writes it: text, path, number, truth, list."""
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False)
