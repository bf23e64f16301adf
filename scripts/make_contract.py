#!/usr/bin/env python3
"""Writes docs/contract: a JSON Schema for each message and asyncapi.yaml, from the models in agent/central/contract.

Run it after a message or a topic has changed; ``--check`` only says what is stale.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent.central.contract import LEDGER, STATES
from agent.central.contract.envelope import Part
from agent.sync.topics import ROUTES

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = "docs/contract"
DRAFT: Final = "http://json-schema.org/draft-07/schema#"
MODELS: Final[Mapping[str, type[Part]]] = {**LEDGER, **STATES}

INTRO: Final = (
    "What a Fieldgate device says and obeys over MQTT. Consumers ignore unknown fields and store unknown kinds. "
    "Delivery is at least once with a dedup key (id); seq, prev and gaps prove completeness. Not exactly once, and "
    "not in order on the wire."
)


def schema_of(model: type[Part]) -> dict[str, Any]:
    """One model as a JSON Schema of its own, with the names that travel."""
    made = _without_titles(model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}"))
    inner = made.pop("$defs", {})
    return {"$schema": DRAFT, **made, **({"definitions": inner} if inner else {})}


def _without_titles(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A field's title only repeats its name; the title of a whole model is kept by its key."""
    if isinstance(value, dict):
        plain = {key: one for key, one in value.items() if not (key == "title" and isinstance(one, str))}
        return {key: _without_titles(one) for key, one in plain.items()}
    return [_without_titles(one) for one in value] if isinstance(value, list) else value


def schemas() -> Iterator[tuple[str, str]]:
    """Each schema's path and text."""
    for name, model in MODELS.items():
        text = json.dumps(schema_of(model), indent=2, ensure_ascii=False)
        yield f"{FOLDER}/schemas/{name}.json", f"{text}\n"


def messages() -> dict[str, Any]:
    """Every message of asyncapi.yaml: JSON by its schema, bytes by their content type."""
    told: dict[str, Any] = {
        name: {
            "summary": (model.__doc__ or "").strip().splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": f"./schemas/{name}.json"},
        }
        for name, model in MODELS.items()
    }
    told["batch"] = {
        "summary": "Sealed messages of any kind, unchanged, one a line, compressed with zlib; at most 100 KB.",
        "contentType": "application/zlib",
        "payload": {"type": "string", "format": "binary"},
    }
    told["picture"] = {
        "summary": "The picture of a record; user properties: record, sha256, size.",
        "contentType": "image/jpeg",
        "payload": {"type": "string", "format": "binary"},
    }
    return told


def channels() -> dict[str, Any]:
    """Every topic of the agent's own table; the ledger's kinds and what a consumer sends have one each."""
    made: dict[str, Any] = {}
    for name, route in ROUTES.items():
        if name == "ledger":
            for kind in LEDGER:
                made[kind] = _channel(route.topic.replace("{kind}", kind), [kind])
        else:
            known = {"reply": "replies", "command": "commands"}.get(name, name)
            made[known] = _channel(route.topic, [known] if known in messages() else [])
    made.setdefault("batch", _channel("up/ledger/batch", ["batch"]))
    made.setdefault("receipt", _channel("down/receipt/{consumer}", ["receipt"]))
    return made


def _channel(topic: str, names: list[str]) -> dict[str, Any]:
    words = re.findall(r"{([^}]+)}", topic)
    address = topic
    for word in words:
        address = address.replace(f"{{{word}}}", f"{{{_key(word)}}}")
    return {
        "address": f"fieldgate/1/{{site}}/{{device}}/{address}",
        "parameters": {"site": {}, "device": {}, **{_key(word): {} for word in words}},
        **({"messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names}} if names else {}),
    }


def _key(word: str) -> str:
    """``command id`` as a parameter may be called: ``commandId``."""
    first, *rest = word.split()
    return first + "".join(one.capitalize() for one in rest)


def operations(known: Mapping[str, Any]) -> dict[str, Any]:
    """What the device does with each channel: it sends up and receives down."""
    return {
        name: {
            "action": "send" if "/up/" in channel["address"] else "receive",
            "channel": {"$ref": f"#/channels/{name}"},
        }
        for name, channel in known.items()
    }


def asyncapi() -> str:
    """The whole document."""
    known = channels()
    document = {
        "asyncapi": "3.0.0",
        "info": {"title": "Fieldgate", "version": "1.0.0", "description": INTRO},
        "defaultContentType": "application/json",
        "channels": known,
        "operations": operations(known),
        "components": {"messages": messages()},
    }
    lines = ["# Made by scripts/make_contract.py; edit the models and run it again.", *yaml(document)]
    return "\n".join([*lines, ""])


def yaml(table: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Tables of tables and text as YAML; text is written as in JSON, which is YAML too."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value and set(value) != {"$ref"}:
            yield f"{indent}{key}:"
            yield from yaml(value, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"


def files() -> dict[str, str]:
    """Every file of the folder that is made, by its path."""
    return {**dict(schemas()), f"{FOLDER}/asyncapi.yaml": asyncapi()}


def main() -> int:
    """Write what has changed, or only say it; 1 when ``--check`` found something stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    only_check = parser.parse_args().check
    stale = []
    for name, text in files().items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not only_check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    how = "is stale; run scripts/make_contract.py" if only_check else "written"
    print("\n".join(f"{name}: {how}" for name in stale))
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
