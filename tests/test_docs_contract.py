"""The contract for consumers: what scripts/make_contract.py writes, and that what devices say keeps it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.central.contract import LEDGER, STATES
from agent.ledger.sealing import SINGULAR
from agent.sync.topics import ROUTES
from contract import faults_in, faults_of

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT / "docs" / "contract"
EXAMPLE = (ROOT / "docs" / "reference" / "example-ledger.jsonl").read_bytes().splitlines()
KINDS = {one: kind for kind, one in SINGULAR.items()}


def kind_of(message: dict[str, Any]) -> str:
    """The kind of a ledger message, as its topic names it."""
    return KINDS[message["schema"].removeprefix("fieldgate.").removesuffix("/1")]


def read_yaml(lines: list[str], depth: int = 0) -> dict[str, Any]:
    """Tables by their indent, every other value as JSON: the part of YAML that the document keeps to."""
    table: dict[str, Any] = {}
    while lines and len(lines[0]) - len(lines[0].lstrip()) == 2 * depth:
        key, _, value = lines.pop(0).strip().partition(":")
        table[key] = json.loads(value) if value else read_yaml(lines, depth + 1)
    return table


def document() -> dict[str, Any]:
    """asyncapi.yaml as a table."""
    text = (CONTRACT / "asyncapi.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    table = read_yaml(lines)
    assert lines == [], "a part of the document was not read"
    return table


def references(value: object) -> Iterator[str]:
    """Every ``$ref`` in a document."""
    if isinstance(value, dict):
        yield from (one for key, one in value.items() if key == "$ref")
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def leads_somewhere(reference: str, whole: dict[str, Any]) -> bool:
    """Whether a reference names a file of the contract, or a place in the document that it stands in."""
    file, _, place = reference.partition("#")
    if file:
        return (CONTRACT / file).is_file()
    here: Any = whole
    for step in place.strip("/").split("/"):
        if not isinstance(here, dict) or step not in here:
            return False
        here = here[step]
    return True


def test_the_contract_is_what_the_models_make() -> None:
    """scripts/make_contract.py would write docs/contract exactly as it is."""
    command = [sys.executable, str(ROOT / "scripts" / "make_contract.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "")


def test_every_kind_that_the_ledger_knows_has_a_model() -> None:
    """A kind without a model would be published and not described; the schema's name is the kind in the singular."""
    assert set(SINGULAR) <= set(LEDGER)
    for kind, model in LEDGER.items():
        said = model.model_json_schema(by_alias=True)["properties"]["schema"]["const"]
        assert said == f"fieldgate.{SINGULAR.get(kind, kind.removesuffix('s'))}/1"


@pytest.mark.parametrize("line", EXAMPLE, ids=range(1, len(EXAMPLE) + 1))
def test_the_example_ledger_keeps_the_contract(line: bytes) -> None:
    """Each message of a real agent fits its schema, closed, and its model, in which every field has its exact type."""
    kind = kind_of(json.loads(line))
    assert faults_of([(f"fieldgate/1/plant-a/cam-7/up/ledger/{kind}", line)]) == []
    assert LEDGER[kind].model_validate_json(line, strict=True).model_dump(by_alias=True, exclude_unset=True)


@pytest.mark.parametrize(
    ("name", "message", "told"),
    [
        ("online", {"state": "online", "boot": "b"}, "'connects' is a required property"),
        ("online", {"state": "away", "boot": "b", "connects": 1}, "'away' is not one of"),
        ("online", {"state": "lost", "boot": "b", "connects": 1, "mood": "sad"}, "'mood' was unexpected"),
        ("receipt", {"epoch": "e", "upto": -1}, "-1 is less than the minimum of 0"),
    ],
)
def test_what_breaks_the_contract_is_found(name: str, message: dict[str, object], told: str) -> None:
    """A field that is missing, unknown or wrong is told by its name."""
    (fault,) = faults_in(name, message)
    assert told in fault


def test_a_topic_that_the_contract_does_not_know_is_found() -> None:
    """A device that says something new has to describe it first."""
    (fault,) = faults_of([("fieldgate/1/plant-a/cam-7/up/ledger/moods", b"{}")])
    assert "no schema" in fault


def test_every_reference_of_the_contract_leads_somewhere() -> None:
    """In asyncapi.yaml and in each schema."""
    whole = document()
    found = list(references(whole))
    assert len(found) > len(whole["channels"])
    assert [one for one in found if not leads_somewhere(one, whole)] == []
    for path in sorted((CONTRACT / "schemas").iterdir()):
        schema = json.loads(path.read_text(encoding="utf-8"))
        assert [one for one in references(schema) if not leads_somewhere(one, schema)] == []


def test_every_topic_of_the_agent_is_a_channel_with_its_direction() -> None:
    """The document holds the agent's own table of topics; what lies under up/ is sent, under down/ received."""
    whole = document()
    assert whole["asyncapi"] == "3.0.0"
    addresses = {re.sub(r"{\w+}", "{}", one["address"]) for one in whole["channels"].values()}
    for route in ROUTES.values():
        topics = [route.topic.replace("{kind}", kind) for kind in LEDGER] if "{kind}" in route.topic else [route.topic]
        for topic in topics:
            assert f"fieldgate/1/{{}}/{{}}/{re.sub(r'{[^}]+}', '{}', topic)}" in addresses
    assert set(whole["operations"]) == set(whole["channels"])
    for name, operation in whole["operations"].items():
        assert (operation["action"] == "send") == ("/up/" in whole["channels"][name]["address"])
        named = set(re.findall(r"{(\w+)}", whole["channels"][name]["address"]))
        assert set(whole["channels"][name]["parameters"]) == named


def test_each_branch_beside_the_ledger_has_its_model() -> None:
    """Every message with a schema is described in the document, and the other way round."""
    names = {path.stem for path in (CONTRACT / "schemas").iterdir()}
    assert names == {*LEDGER, *STATES}
    assert names <= set(document()["components"]["messages"])
