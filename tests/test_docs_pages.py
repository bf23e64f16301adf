"""The hand-written pages say what the code does, and every link in them leads somewhere."""

import ast
import functools
import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agent.clock import ClockState
from agent.config.sections import AnyCamera
from agent.engine import manifest
from agent.engine.stages import FAMILIES
from agent.errors import CameraError
from agent.inspection.frame import TRIGGERED, Moment
from agent.inspection.record import STAGES, Evidence, Record, kept_as
from agent.inspection.screening import Screening
from agent.inspection.verdict import DISPOSITIONS, OUTCOMES, REASONS, Verdict, inconclusive, judge
from agent.ledger.gaps import GAPS, FrameGap, frame_gap_body
from agent.ledger.messages import ALERTS, FATES, PICTURE_REASONS, alert_body, audit_body, evidence_body
from agent.ledger.rollups import LATENCY_BOUNDS_MS, SCORE_BINS, Rollup, RollupKey, rollup_body
from agent.ledger.sealing import FIRST_PREV, SINGULAR, Draft, seal
from agent.store.modes import MODES
from agent.store.schema import MIGRATIONS
from agent.sync.commands import FAILURES
from agent.sync.commands import STATES as REPLY_STATES
from agent.sync.envelope import CODES
from agent.sync.standing import STATES as UPLINK_STATES
from consumer import Ledger
from samples import MOMENT, ORIGIN, a_detection, a_record

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("engines/**/*.md")])


def page(name: str) -> str:
    """A page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def rows(text: str, header: str) -> list[list[str]]:
    """The cells of the first table whose header row begins like this; code marks go from the first cell."""
    found, inside = [], False
    for line in text.splitlines():
        if line.startswith(header):
            inside = True
        elif inside and not line.startswith("|"):
            break
        elif inside and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.append([cells[0].replace("`", ""), *cells[1:]])
    assert found, f"there is no table {header}"
    return found


def section(text: str, title: str) -> str:
    """What stands below one heading, up to the next of the same rank or higher."""
    marks = title.split(" ", 1)[0]
    _, _, rest = text.partition(f"\n{title}\n")
    assert rest, f"there is no heading {title}"
    return re.split(rf"\n#{{1,{len(marks)}}} ", rest)[0]


def first_cells(text: str, header: str) -> list[str]:
    """The names in the first column; one cell may hold several, separated by commas."""
    return [name.strip() for row in rows(text, header) for name in row[0].split(",")]


# -- database.md


def real_tables() -> dict[str, list[tuple[str, str]]]:
    """Columns with their types by table, as the migrations make them."""
    db = sqlite3.connect(":memory:")
    for statement in (one for version in MIGRATIONS for one in version):
        db.execute(statement)
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]
    made = {
        name: [(row[0], row[1]) for row in db.execute("SELECT name, type FROM pragma_table_info(?)", [name])]
        for name in names
    }
    db.close()
    return made


def test_every_table_of_the_database_is_described() -> None:
    """The page's headings are the tables of the migrations."""
    described = re.findall(r"^### `(\w+)`$", page("database.md"), flags=re.MULTILINE)
    assert sorted(described) == sorted(real_tables())
    assert f"version {len(MIGRATIONS)} of" in page("database.md")


@pytest.mark.parametrize("table", real_tables())
def test_every_column_is_described(table: str) -> None:
    """Each column with its type and a sentence."""
    described = rows(section(page("database.md"), f"### `{table}`"), "| column |")
    assert [(row[0], row[1]) for row in described] == real_tables()[table]
    assert all(row[2].endswith(".") for row in described)


# -- reason-codes.md


def codes(header: str) -> list[str]:
    """The first column of a table of the page with codes."""
    return [row[0] for row in rows(page("reason-codes.md"), f"| {header} |")]


@functools.cache
def calls() -> Mapping[str, list[ast.Call]]:
    """Every call in the package by the last name of what is called."""
    found: dict[str, list[ast.Call]] = defaultdict(list)
    for text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                found[name].append(node)
    return found


@functools.cache
def sources() -> list[str]:
    """The text of every file of the package."""
    return [path.read_text(encoding="utf-8") for path in (ROOT / "agent").rglob("*.py")]


def words_given(call: str, keyword: str | None) -> set[str]:
    """Every constant text that the code gives to a call: as a keyword, or as its first argument."""
    found = set()
    for node in calls()[call]:
        given = [one.value for one in node.keywords if one.arg == keyword] if keyword else node.args[:1]
        found |= {one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    assert found, f"nothing calls {call}"
    return found


def test_outcomes_and_dispositions_are_those_of_the_code() -> None:
    """All of them, in the code's order."""
    assert codes("outcome") == list(OUTCOMES)
    assert codes("disposition") == list(DISPOSITIONS)


def test_the_reasons_are_those_of_the_code() -> None:
    """Every reason of a record with the code's own words."""
    assert {row[0]: row[1] for row in rows(page("reason-codes.md"), "| reason | meaning |")} == REASONS


def test_the_verdicts_that_the_page_gives_are_those_of_judge() -> None:
    """Outcome and disposition beside each reason that comes from scores."""
    told = {row[0]: row[2] for row in rows(page("reason-codes.md"), "| reason | meaning |")}
    strong, weak = a_detection(score=0.9), a_detection(score=0.1)
    low, high = Screening(0.1, 0.3), Screening(0.9, 0.3)
    for screening, detections in ((low, []), (high, [weak]), (high, [strong]), (None, [weak])):
        verdict = judge(screening, detections, triggered=False)
        assert told.pop(verdict.code) == f"{verdict.outcome}, {verdict.disposition}"
    assert set(told.values()) == {"inconclusive"}
    assert [inconclusive("late", "", triggered=one).disposition for one in (True, False)] == ["flagged", "none"]


def test_what_to_do_is_said_for_every_inconclusive_reason_but_the_wanted_one() -> None:
    """A person in manual mode wants what happens; all others are trouble with a way out."""
    inconclusive_ones = {
        row[0] for row in rows(page("reason-codes.md"), "| reason | meaning |") if row[2] == "inconclusive"
    }
    assert set(codes("reason | likely cause")) == inconclusive_ones - {"manual"}


def test_the_headings_under_which_records_are_kept_are_those_of_the_code() -> None:
    """Everything that ``kept_as`` can say."""
    verdicts = [Verdict(*facts, "", "") for facts in product(OUTCOMES, DISPOSITIONS)]
    said = {
        kept_as(verdict, policy=policy, triggered=triggered, audited=audited)
        for verdict, policy, triggered, audited in product(verdicts, ("all", "notable"), (True, False), (True, False))
    }
    assert set(codes("kept")) == said - {None}


def test_the_reasons_for_no_picture_are_those_of_the_code() -> None:
    """What a record says from the start, and what the evidence room puts in its place."""
    assert set(codes("evidence_reason")) == {a_record().evidence_reason, *words_given("without_evidence", None)}


def test_triggers_and_modes_are_those_of_the_code() -> None:
    """Every kind of trigger, whether a part stands behind it, and every mode."""
    told = {row[0]: row[1] == "yes" for row in rows(page("reason-codes.md"), "| trigger |")}
    kinds = set(get_args(AnyCamera.model_fields["trigger"].annotation)) | TRIGGERED
    assert told == {kind: kind in TRIGGERED for kind in kinds}
    assert codes("mode") == list(MODES)


def test_what_is_said_once_in_the_code_is_on_the_page() -> None:
    """Codes of gaps, alerts, ways and closings: what the code gives to the functions that make the messages."""
    text = page("reason-codes.md")
    assert {row[0]: row[1] for row in rows(text, "| gap |")} == GAPS
    assert {row[0]: (row[1], row[2]) for row in rows(text, "| alert |")} == ALERTS
    assert {row[0]: row[1] for row in rows(text, "| fate |")} == FATES
    assert {row[0]: row[1] for row in rows(text, "| picture |")} == PICTURE_REASONS
    assert words_given("frame_gap_body", "code") <= set(GAPS)
    assert words_given("raised", None) <= set(ALERTS)
    assert set(codes("way")) == words_given("change_mode", "way") | words_given("audit_body", "way")
    closings = words_given("seal_rollups", "closed") | words_given("_write", "closed")
    assert set(codes("closed")) == closings | words_given("rollup_body", "closed")


def test_the_states_of_clock_camera_reply_and_uplink_are_those_of_the_code() -> None:
    """Every state that a message or a screen can show."""
    assert codes("clock") == list(get_args(ClockState))
    failed = words_given("CameraError", "state") | {CameraError("").state}
    shown = words_given("become", None) & {"running", "ended"}
    assert set(codes("camera")) == failed | shown | words_given("CameraState", None)
    text = page("reason-codes.md")
    assert {row[0]: row[1] for row in rows(text, "| reply |")} == REPLY_STATES
    assert {row[0]: row[1] for row in rows(text, "| command |")} == {**CODES, **FAILURES}
    expected = {"off": "No broker is configured.", **UPLINK_STATES}
    assert {row[0]: row[1] for row in rows(text, "| uplink |")} == expected


# -- ledger.md

EXAMPLE = (REFERENCE / "example-ledger.jsonl").read_bytes().splitlines()
MESSAGES = [json.loads(line) for line in EXAMPLE]


def made_now() -> dict[str, dict[str, Any]]:
    """One message of each kind, as the code makes it now."""
    record: Record = a_record(Screening(0.9, 0.3), [a_detection()]).with_evidence(Evidence("0" * 64, 1, 2, 3))
    counts = Rollup()
    counts.add(record)
    key = RollupKey("b", "top", "pcb-trace-v1.0", "4be1", "onnx-cpu", "active", 1)
    moment: Moment = MOMENT
    bodies: Mapping[str, dict[str, Any]] = {
        "inspections": record.to_json(),
        "rollups": rollup_body(moment.to_json(), key, counts.to_json(), minute="", closed="minute"),
        "alerts": alert_body(moment, code="mode-file", severity="warning", raised=True, about="x", text="y"),
        "gaps": frame_gap_body(moment, FrameGap("top", "b", 1, 2, 2), code="journal-full", text="z"),
        "evidence": evidence_body(moment, record="r", fate="stored", sha256="0" * 64, url="https://x/r", reason=None),
        "audit": audit_body(moment, what="mode", old="shadow", new="manual", by="anna", reason="x", way="cli"),
    }
    sealed = {
        kind: seal(Draft(kind, "i", ORIGIN, body), epoch="e", seq=1, prev=FIRST_PREV) for kind, body in bodies.items()
    }
    return {kind: json.loads(one.body) for kind, one in sealed.items()}


def keys(value: object, open_tables: tuple[str, ...] = ()) -> object:
    """The shape of a message: its fields and theirs; a table whose fields are data is named by the caller."""
    if isinstance(value, dict):
        return {key: None if key in open_tables else keys(one, open_tables) for key, one in value.items()}
    return keys(value[0], open_tables) if isinstance(value, list) and value else None


OPEN = ("metadata", "outcomes", "dispositions", "classes", "reasons", "score_histograms", "old", "new")


@pytest.mark.parametrize("kind", SINGULAR)
def test_the_example_has_the_shape_of_what_the_code_makes(kind: str) -> None:
    """Each kind of message in the example ledger has exactly the fields that the code gives it now."""
    (schema,) = {made_now()[kind]["schema"]}
    same = [one for one in MESSAGES if one["schema"] == schema]
    assert same, f"the example has no {kind}"
    assert keys(same[-1], OPEN) == keys(made_now()[kind], OPEN)


def test_the_kinds_on_the_page_are_those_of_the_code() -> None:
    """Kind and schema."""
    told = {row[0]: row[1].strip("`") for row in rows(page("ledger.md"), "| kind |")}
    assert told == {kind: f"fieldgate.{one}/1" for kind, one in SINGULAR.items()}


def test_the_envelope_on_the_page_is_that_of_the_code() -> None:
    """The same fields in the same order, then those of time."""
    named = first_cells(section(page("ledger.md"), "## The envelope"), "| field |")
    alert = list(made_now()["alerts"])
    assert named == alert[: len(named)]
    time_fields = re.findall(r"^\| `(at|clock|monotonic_ns)` \|", page("ledger.md"), flags=re.MULTILINE)
    assert time_fields == alert[len(named) : len(named) + 3]


@pytest.mark.parametrize(("title", "kind"), [("### A record", "inspections"), ("### A rollup", "rollups")])
def test_the_fields_of_the_big_messages_are_those_of_the_code(title: str, kind: str) -> None:
    """Every field behind the envelope is described, in order."""
    body = list(made_now()[kind])
    behind = body[body.index("camera") :]
    named = first_cells(section(page("ledger.md"), title), "| field |")
    assert sorted(named) == sorted(behind)


def test_the_messages_on_the_page_are_those_of_the_example() -> None:
    """Each JSON block is a line of example-ledger.jsonl, only wrapped."""
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page("ledger.md"), flags=re.DOTALL)]
    assert len(shown) == len(SINGULAR)
    by_number = {one["seq"]: one for one in MESSAGES}
    assert [by_number[one["seq"]] for one in shown] == shown


def test_the_example_is_whole_and_its_rollups_add_up() -> None:
    """A consumer written from the contract proves the example: numbers, chain, rollups."""
    ledger = Ledger.of(EXAMPLE)
    ledger.prove_whole(head=len(EXAMPLE))
    ledger.prove_rollups_add_up()


def test_the_program_on_the_page_works() -> None:
    """The proof on the page accepts the example in any order and finds a lost and a changed message."""
    (program,) = re.findall(r"```python\n(.*?)```", page("ledger.md"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    prove = names["prove"]
    assert prove([*reversed(EXAMPLE), EXAMPLE[0]]) == f"{len(EXAMPLE)} messages, whole"
    assert prove([*EXAMPLE[:3], *EXAMPLE[4:]]) == "message 4 is missing"
    changed = EXAMPLE[1].replace(b'"pass"', b'"fail"')
    assert prove([EXAMPLE[0], changed, *EXAMPLE[2:]]) == "message 3 does not follow the one before it"


def test_the_buckets_on_the_page_are_those_of_the_code() -> None:
    """All bounds in milliseconds; as many counts as bounds and one more; 20 score bins."""
    (text,) = re.findall(r"```\n([\d., \n]+)```", page("ledger.md"))
    assert [float(one) for one in text.replace("\n", " ").split(",")] == list(LATENCY_BOUNDS_MS)
    rollup = next(one for one in MESSAGES if one["schema"] == "fieldgate.rollup/1")
    assert {len(rollup["latency_ms"][stage]["counts"]) for stage in STAGES} == {len(LATENCY_BOUNDS_MS) + 1}
    assert f"in {SCORE_BINS} bins of {1 / SCORE_BINS:.2f}" in page("ledger.md")


# -- engine-pack.md

TABLES: Mapping[str, type[BaseModel]] = {
    "### `[pack]`": manifest.PackTable,
    "### `[screening]`": manifest.ScreeningTable,
    "### `[screening.input]` and `[verification.input]`": manifest.InputTable,
    "### `[verification]`": manifest.VerificationTable,
    "### `[verification.classes.LABEL]`": manifest.ClassTable,
    "### `[verification.yolo]`": manifest.YoloTable,
    "### One entry of `heads`": manifest.HeadTable,
    "### `[metrics]`": manifest.MetricsTable,
    "### `[metrics.classes.LABEL]`": manifest.ClassMetrics,
    "### `[limits]`": manifest.LimitsTable,
}


def default_text(value: object, *, required: bool) -> str:
    """A default as the page writes it."""
    if required:
        return "needed"
    return "not set" if value is None else "none" if value == {} else f"`{value}`"


def limits(metadata: list[Any]) -> Iterator[str]:
    """The bounds of a number as the page writes them."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    for one in metadata:
        yield from (f"{sign} {getattr(one, key):,}" for key, sign in signs.items() if hasattr(one, key))


def told_range(values: str) -> set[str]:
    """The bounds that a cell of the page names; ``0 to 1`` is two of them."""
    between = re.match(r"(?:whole number )?(\d+) to (\d+)", values)
    if between:
        return {f">= {between[1]}", f"<= {between[2]}"}
    return set(re.findall(r"(?:[<>]=?) [\d,.]+\d|(?:[<>]=?) \d", values))


@pytest.mark.parametrize("title", TABLES)
def test_the_keys_of_a_pack_are_those_of_the_code(title: str) -> None:
    """Every key of each table, its default, its choices and its bounds."""
    fields = TABLES[title].model_fields
    told = {row[0]: row[1:] for row in rows(section(page("engine-pack.md"), title), "| key |")}
    assert list(told) == list(fields)
    for name, field in fields.items():
        default, values, meaning = told[name]
        value = None if field.default is PydanticUndefined else field.default
        assert default.strip("`") == default_text(value, required=field.is_required()).strip("`"), name
        choices = [one for one in get_args(field.annotation) if isinstance(one, str)]
        assert not choices or re.findall(r"`([^`]+)`", values) == choices, name
        if field.annotation in (int, float, int | None, float | None):
            assert told_range(values) == set(limits(field.metadata)) or name == "threshold", name
        assert meaning.endswith("."), name


def test_all_tables_of_a_pack_are_described() -> None:
    """No table of the manifest is missing from the page, and no family either."""
    models = {one for one in vars(manifest).values() if isinstance(one, type) and issubclass(one, manifest.Table)}
    assert set(TABLES.values()) == models - {manifest.Table, manifest.Manifest}
    named = next(row for row in rows(section(page("engine-pack.md"), "### `[verification]`"), "| key |"))[2]
    assert re.findall(r"`([^`]+)`", named) == list(FAMILIES)


@pytest.mark.parametrize("message", [row[0] for row in rows(page("engine-pack.md"), "| message |")])
def test_the_messages_on_the_page_are_said_by_the_code(message: str) -> None:
    """What a person meets stands so in the code, apart from the names in quotation marks."""
    parts = [part.strip() for part in re.split(r"'[^']*'", message)]
    assert any(all(part in text for part in parts) for text in sources())


# -- all pages


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings make, as GitHub names them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    """Each relative link of a page names a file, and its anchor a heading of it."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for target in (one or other for one, other in targets):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), f"{target}: no such heading"


def test_the_index_of_the_reference_names_every_page() -> None:
    """docs/reference/README.md lists each page beside it."""
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", page("README.md")))
    assert named == {path.name for path in REFERENCE.glob("*.md")} - {"README.md"}


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_every_decision_has_the_same_parts(path: Path) -> None:
    """Date, status, background, decision, consequence, and what would change our mind; the index names it."""
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^Date: \d{4}-\d\d-\d\d\nStatus: (accepted|replaced by .+)$", text, flags=re.MULTILINE)
    titles = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert titles == ["Background", "Decision", "Consequence", "What would change our mind"]
    assert f"({path.name})" in (path.parent / "README.md").read_text(encoding="utf-8")
