"""From a validation error to a sentence that a technician can act on."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_SHOWN = 60

_WANTED: Mapping[str, str] = {
    "int_": "must be a whole number",
    "float_": "must be a number",
    "finite_number": "must be a number, not infinite",
    "bool_": "must be true or false",
    "string_type": "must be text",
    "path_": "must be a path",
    "tuple_": "must be a list",
    "list_": "must be a list",
    "dict_": "must be a table",
    "model_": "must be a table",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
}
"""Pydantic's error types, by their beginnings and the most special first, in fewer words."""


def sentences(error: ValidationError, model: type[BaseModel]) -> str:
    """All problems of one validation, separated by semicolons; unknown keys name the nearest known key."""
    return "; ".join(_sentence(one, model) for one in error.errors(include_url=False))


def _sentence(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    loc = error["loc"]
    key = ".".join(str(part) for part in loc if not _is_tag(part, loc))
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown(key, loc, model)
    if kind == "missing":
        return f"'{key}' is missing"
    if kind == "union_tag_not_found":
        return f"'{key}.kind' is missing; it says what sort of camera this is"
    if kind == "union_tag_invalid":
        context = error["ctx"]
        return f"'{key}.kind': there is no '{context['tag']}'; it is one of {context['expected_tags']}"
    message = _wanted(error)
    return f"'{key}': {message}{_found(error['input'])}" if key else message


def _unknown(key: str, loc: Sequence[object], model: type[BaseModel]) -> str:
    name, known = str(loc[-1]), _keys_beside(loc, model)
    kinds = sorted({str(part) for part in loc if _is_tag(part, loc)})
    if kinds and name in _keys_beside([part for part in loc if not _is_tag(part, loc)], model):
        return f"'{key}': a camera of kind '{kinds[0]}' has no such key"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")


def _wanted(error: Mapping[str, Any]) -> str:
    for beginning, words in _WANTED.items():
        if error["type"].startswith(beginning):
            return words.format(**error.get("ctx", {}))
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _is_tag(part: object, loc: Sequence[object]) -> bool:
    """Whether a part of a place is the tag of a camera's kind, which nobody wrote as a key."""
    return len(loc) > 2 and loc[0] == "cameras" and part is loc[2]  # noqa: PLR2004 - cameras, n, tag


def _found(value: object) -> str:
    """The value that was found; nothing where it is a whole table."""
    if isinstance(value, Mapping):
        return ""
    # What stands before an @ may be a password, and a password may hold anything.
    text = re.sub(r"(?s).*@", "***@", value) if isinstance(value, str) else value
    shown = repr(text)
    return f" (found {shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + '...'})"


def _keys_beside(loc: Sequence[object], model: type[BaseModel]) -> list[str]:
    """The known keys of the tables that the last part of ``loc`` may stand in."""
    models = [model]
    for part in loc[:-1]:
        if _is_tag(part, loc):
            models = [one for one in models if one.model_fields["kind"].default == part]
            continue
        fields = [one.model_fields[str(part)] for one in models if str(part) in one.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return [name for one in models for name in one.model_fields]


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
