#!/usr/bin/env python3
"""Writes the pages that the code itself can tell: config.example.toml and docs/reference/{config,cli,errors}.md.

Run it after a key, a verb, an error or a check of the doctor has changed; ``--check`` only says what is stale.
"""

import argparse
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent import errors
from agent.cli import FAILED, WRONG_CONFIG, WRONG_USAGE, exit_code
from agent.cli.commands import app
from agent.cli.effective import toml_value
from agent.config import Config
from agent.config.sections import EngineSection, FolderCamera, RtspCamera, SimulatedCamera, V4l2Camera, VideoCamera
from agent.doctor.check import Check, everywhere
from agent.doctor.checks import ALL

ROOT: Final = Path(__file__).resolve().parent.parent
CAMERAS: Final[Sequence[type[BaseModel]]] = (FolderCamera, VideoCamera, V4l2Camera, RtspCamera, SimulatedCamera)
ENGINE: Final = "demo-surface"
MADE: Final = "<!-- Made by scripts/make_docs.py; edit the code and run it again. -->"

EXAMPLES: Final[dict[str, object]] = {
    "engine": ENGINE,
    "region": [0, 0, 640, 480],
    "device": "/dev/v4l/by-id/usb-camera",
    "url": "rtsp://192.168.1.20:554/stream",
    "password_file": "/etc/fieldgate/password",
    "token_file": "/etc/fieldgate/upload-token",
    "ca_file": "/etc/fieldgate/ca.pem",
    "cert_file": "/etc/fieldgate/device.pem",
    "key_file": "/etc/fieldgate/device.key",
    "recorded_log": "/var/log/fieldgate-recorded.txt",
    "part": "A-17",
    "batch": "221",
    "serial": "000431",
    "asset": "press-4",
    "location": "hall 2",
    "recipe": "standard",
    "pack": f"engines/{ENGINE}-v1.0",
}
"""Values for keys that have no default."""

PATHS: Final = {"folder": "/data/images", "video": "/data/line.mp4"}

CONFIG_INTRO: Final = (
    "One TOML file, `--config PATH`, by default `/etc/fieldgate/config.toml`. Every key can be set in the "
    "environment as `FIELDGATE_SECTION__KEY`, cameras by their place in the file: `FIELDGATE_CAMERAS__0__URL`. "
    "The environment stands above the file. An unknown key is an error that names the nearest known one."
)

CONFIG_VERBS: Final = (
    "`fieldgate config check` says what is wrong, `fieldgate config show` what is in effect and where it comes "
    "from. Secrets are paths of files whose first line is the password; they are read at each use. "
    "[config.example.toml](../../config.example.toml) holds all keys with their defaults."
)

CLI_INTRO: Final = (
    "`fieldgate VERB`, also `python -m agent VERB`. Tables are coloured at a terminal and plain in a pipe; "
    "`--json` is for scripts. What goes wrong is one sentence on standard error."
)

ERRORS_INTRO: Final = (
    "A message says what happened, where, and what to do. A fault that is not in this tree is a fault of the "
    "agent: the process ends with exit code 1 and a traceback in the log."
)


# -- config.example.toml


def example() -> str:
    """Every key with its default and one sentence; what has no default is commented out."""
    lines = [
        "# The settings of fieldgate: every key with its default.",
        "# A line that begins with # and no space is a setting that is not in effect; take the # away to use it.",
        "# Each key can be set in the environment too: FIELDGATE_MQTT__HOST, FIELDGATE_CAMERAS__0__URL.",
        "# Check your file with: fieldgate config check --config FILE",
    ]
    for name, field in Config.model_fields.items():
        if name == "cameras":
            for camera in CAMERAS:
                lines += ["", f"# {sentence(camera)}", "#[[cameras]]", *keys(camera, "#")]
        elif name == "engines":
            lines += ["", f"# {sentence(EngineSection)}", f"#[engines.{ENGINE}]", *keys(EngineSection, "#")]
        else:
            section = model_of(field)
            lines += ["", f"# {sentence(section)}", f"[{name}]", *keys(section, "")]
    return "\n".join([*lines, ""])


def keys(model: type[BaseModel], mark: str, prefix: str = "") -> Iterator[str]:
    """Each key of a table under its sentence."""
    for name, field in in_order(model):
        inner = model_of(field)
        if inner is not BaseModel:
            yield from keys(inner, mark, f"{name}.")
            continue
        known = not field.is_required() and field.default is not None
        remark = "" if known else " Needed." if field.is_required() else " Not set by default."
        yield f"# {field.description}{remark}"
        value = field.default if known else example_value(model, name)
        yield f"{mark if known else '#'}{prefix}{name} = {toml_value(value)}"


def in_order(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """The keys of a table: its kind, what is needed, the rest."""
    return sorted(model.model_fields.items(), key=lambda item: (item[0] != "kind", not item[1].is_required()))


def example_value(model: type[BaseModel], name: str) -> object:
    """A value for a key without a default."""
    kind = model.model_fields["kind"].default if "kind" in model.model_fields else ""
    if name == "name":
        return f"{kind}-1"
    return PATHS[kind] if name == "path" else EXAMPLES[name]


def sentence(model: type[BaseModel]) -> str:
    """The first line of a class's docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]


def model_of(field: FieldInfo) -> type[BaseModel]:
    """The table that a key holds; BaseModel itself where it holds a plain value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else BaseModel


# -- docs/reference/config.md


def config_page() -> str:
    """The same keys as tables."""
    lines = [
        "# Settings",
        MADE,
        "",
        CONFIG_INTRO,
        "",
        CONFIG_VERBS,
    ]
    for name, field in Config.model_fields.items():
        if name == "cameras":
            for camera in CAMERAS:
                kind = camera.model_fields["kind"].default
                lines += ["", f'## `[[cameras]]` with `kind = "{kind}"`', "", sentence(camera), "", *rows(camera)]
        elif name == "engines":
            lines += ["", "## `[engines.NAME]`", "", sentence(EngineSection), "", *rows(EngineSection)]
        else:
            section = model_of(field)
            lines += ["", f"## `[{name}]`", "", sentence(section), "", *rows(section)]
    return "\n".join([*lines, ""])


def rows(model: type[BaseModel]) -> list[str]:
    """One table of keys."""
    return ["| key | default | values | |", "|---|---|---|---|", *key_rows(model, "")]


def key_rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """A row per key, those of an inner table with their dots."""
    for name, field in in_order(model):
        inner = model_of(field)
        if inner is not BaseModel:
            yield from key_rows(inner, f"{prefix}{name}.")
            continue
        default = "needed" if field.is_required() else "not set"
        if not field.is_required() and field.default is not None:
            default = f"`{toml_value(field.default)}`"
        yield f"| `{prefix}{name}` | {default} | {values(field)} | {field.description} |"


def values(field: FieldInfo) -> str:
    """What a key takes, in words."""
    kind = field.annotation
    if get_origin(kind) in {typing.Union, types.UnionType}:
        kind = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is typing.Literal:
        return ", ".join(f"`{one}`" for one in get_args(kind))
    words = {bool: "true, false", int: "whole number", float: "number", str: "text", Path: "path"}
    told = next((word for known, word in words.items() if kind is known), "")
    if get_origin(kind) is tuple:
        told = f"{len(get_args(kind))} whole numbers"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [
        f"{sign} {getattr(one, key):,}" for one in field.metadata for key, sign in signs.items() if hasattr(one, key)
    ]
    return " ".join([told, *([", ".join(limits)] if limits else [])])


# -- docs/reference/cli.md


def cli_page() -> str:
    """Every verb with its arguments and options."""
    lines = [
        "# Command line",
        MADE,
        "",
        CLI_INTRO,
        "",
        "| exit code | meaning |",
        "|---|---|",
        "| 0 | done |",
        f"| {FAILED} | failed; `status`: no daemon is running; `doctor`: something failed |",
        f"| {WRONG_USAGE} | called wrongly |",
        f"| {WRONG_CONFIG} | the configuration cannot be used; a restart would not help |",
        "| 130 | interrupted with Ctrl-C |",
    ]
    for path, command in sorted(verbs(typer.main.get_command(app), "fieldgate")):
        lines += ["", f"## {path}", "", *help_of(command), "", *option_rows(path, command)]
    return "\n".join([*lines, ""])


def verbs(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer may carry a click of its own
    """Every verb below a command, by its full name."""
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            if inner.invoke_without_command:
                yield f"{path} {name}", inner
            yield from verbs(inner, f"{path} {name}")
        else:
            yield f"{path} {name}", inner


def help_of(command: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    """The text of --help, its example as code."""
    for paragraph in command.help.strip().split("\n\n"):
        text = " ".join(line.strip() for line in paragraph.splitlines())
        if text.startswith("Example: "):
            yield from ("```", text.removeprefix("Example: "), "```")
        else:
            yield from (text, "")


def option_rows(path: str, command: Any) -> list[str]:  # noqa: ANN401 - as above
    """How it is written, and one row per argument and option."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([path, *(one.name.upper() if one.required else f"[{one.name.upper()}]" for one in arguments)])
    lines = [f"Usage: `{usage} [OPTIONS]`", "", "| | default | |", "|---|---|---|"]
    for one in command.params:
        name = one.name.upper() if one in arguments else ", ".join(one.opts)
        default = (
            "needed"
            if one.required
            else ""
            if one.default is None or one.default is False or one.default == ""
            else f"`{one.default}`"
        )
        lines.append(f"| `{name}` | {default} | {one.help or ''} |")
    return lines


# -- docs/reference/errors.md


def errors_page() -> str:
    """The tree of errors with exit codes, and the doctor's checks."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    lines = [
        "# Errors and checks",
        MADE,
        "",
        ERRORS_INTRO,
        "",
        "```",
        *tree.splitlines(),
        "```",
        "",
        "| error | exit code | |",
        "|---|---|---|",
        *(f"| `{one.__name__}` | {code_of(one)} | {sentence_of(one)} |" for one in error_classes()),
        "",
        "## The doctor's checks",
        "",
        "`fieldgate doctor` runs them in this order; one whose need has failed is skipped. The codes are stable.",
        "",
        "| code | looks at | needs | |",
        "|---|---|---|---|",
        *map(check_row, ALL),
    ]
    return "\n".join([*lines, ""])


def check_row(check: Check) -> str:
    """One check of the doctor."""
    about = "the installation" if check.subjects is everywhere else f"each {check.code.split('-')[0]}"
    needs = ", ".join(f"`{need}`" for need in check.needs)
    return f"| `{check.code}` | {about} | {needs} | {check.title} |"


def error_classes() -> Iterable[type[Exception]]:
    """Everything that the agent raises on purpose, in the order of the file."""
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    return [one for one in kinds if one is not errors.FieldgateError]


def code_of(kind: type[Exception]) -> int:
    """The exit code of a verb that ends with it."""
    raised = kind.__new__(kind)
    assert isinstance(raised, errors.FieldgateError)  # noqa: S101 - the tree has one root
    return exit_code(raised)


def sentence_of(kind: type[Exception]) -> str:
    """The first line of its docstring."""
    return (kind.__doc__ or "").strip().splitlines()[0]


PAGES: Final = {
    "config.example.toml": example,
    "docs/reference/config.md": config_page,
    "docs/reference/cli.md": cli_page,
    "docs/reference/errors.md": errors_page,
}


def main() -> int:
    """Write what has changed, or only say it; 1 when ``--check`` found something stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    only_check = parser.parse_args().check
    stale = []
    for name, made in PAGES.items():
        path, text = ROOT / name, made()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not only_check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    print("\n".join(f"{name}: {'is stale; run scripts/make_docs.py' if only_check else 'written'}" for name in stale))
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
