"""Holds what devices publish against docs/contract, closed: a field that the schemas do not name is a fault."""

import functools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator

from agent.ledger.sealing import SINGULAR

SCHEMAS: Final = Path(__file__).resolve().parent.parent / "docs" / "contract" / "schemas"
MOST_HELD: Final = 3_000
"""Of more messages than these an even share is looked at: a test of a long backlog is about something else."""


def faults_of(received: Iterable[tuple[str, bytes]]) -> list[str]:
    """What in the messages of devices breaks the contract, as sentences.

    Tests of single rooms publish numbers and rubbish in place of messages: only what is a JSON object is looked at.

    Args:
        received: Topic and body of each.
    """
    said = [(topic, body) for one in received for topic, body in opened(*one) if body.startswith(b"{")]
    step = 1 + len(said) // MOST_HELD
    return [fault for topic, body in said[::step] for fault in faults_at(topic, body)]


def opened(topic: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """A message, or those in a batch, each with the topic that it has alone."""
    if not topic.endswith("/up/ledger/batch"):
        yield topic, body
        return
    kinds = {one: kind for kind, one in SINGULAR.items()}
    for line in zlib.decompress(body).split(b"\n"):
        if not line.startswith(b"{"):  # a room's own numbers
            continue
        kind = str(json.loads(line)["schema"]).removeprefix("fieldgate.").removesuffix("/1")
        yield f"{topic.removesuffix('batch')}{kinds[kind]}", line


def faults_at(topic: str, body: bytes) -> list[str]:
    """What in one message breaks the contract."""
    name = schema_name(topic)
    if name is None:
        return [f"{topic}: no schema in docs/contract says what is published there"]
    try:
        message = json.loads(body)
    except ValueError as fault:
        return [f"{topic}: not JSON: {fault}"]
    return [f"{topic}: {fault}" for fault in faults_in(name, message)]


def faults_in(name: str, message: object) -> list[str]:
    """What in a message breaks the schema of this name, such as ``inspections``."""
    return [f"{error.json_path}: {error.message[:300]}" for error in _closed(name).iter_errors(message)]


def schema_name(topic: str) -> str | None:
    """The schema of what a device says on a topic: the ledger's kind, else the branch."""
    branch, _, below = topic.partition("/up/")[2].partition("/")
    name = below if branch == "ledger" else "replies" if branch == "answers" else branch
    return name if (SCHEMAS / f"{name}.json").exists() else None


@functools.cache
def _closed(name: str) -> Draft7Validator:
    return Draft7Validator(_without_unknown(json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))))


def _without_unknown(schema: Any) -> Any:
    """The same schema; what it leaves open for later versions is closed."""
    if isinstance(schema, dict):
        closed = {key: _without_unknown(value) for key, value in schema.items()}
        return {**closed, "additionalProperties": False} if "properties" in schema else closed
    return [_without_unknown(one) for one in schema] if isinstance(schema, list) else schema
