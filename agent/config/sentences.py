"""From a validation error to a sentence that a technician can act on."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_SHOWN = 60


def sentences(error: ValidationError, model: type[BaseModel]) -> str:
    """All problems of one validation, separated by semicolons; unknown keys name the nearest known key."""
    return "; ".join(_sentence(one, model) for one in error.errors(include_url=False))


def _sentence(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    loc = error["loc"]
    place = [str(part) for part in loc if not _is_tag(part, loc)]
    key = ".".join(place)
    kind = error["type"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _keys_beside(loc, model), n=1, cutoff=0.5)
        return f"unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
    if kind == "missing":
        return f"'{key}' is missing"
    if kind == "union_tag_not_found":
        return f"'{key}.kind' is missing; it says what sort of camera this is"
    if kind == "union_tag_invalid":
        context = error["ctx"]
        return f"'{key}.kind': there is no '{context['tag']}'; it is one of {context['expected_tags']}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    return f"'{key}': {message[0].lower()}{message[1:]} (found {_shown(error['input'])})"


def _is_tag(part: object, loc: Sequence[object]) -> bool:
    """Whether a part of a place is the tag of a camera's kind, which nobody wrote as a key."""
    return len(loc) > 2 and loc[0] == "cameras" and part is loc[2]  # noqa: PLR2004 - cameras, n, tag


def _shown(value: object) -> str:
    text = re.sub(r"//[^/'\"]*@", "//***@", repr(value))  # an address may hold a password
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _keys_beside(loc: Sequence[object], model: type[BaseModel]) -> list[str]:
    """The known keys of the tables that the last part of ``loc`` may stand in."""
    models = [model]
    for part in loc[:-1]:
        fields = [one.model_fields[str(part)] for one in models if str(part) in one.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return [name for one in models for name in one.model_fields]


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
