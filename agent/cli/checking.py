"""``doctor``: why does it not work?"""

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import FAILED, WRONG_CONFIG
from agent.cli.options import DEFAULT_PATH, ConfigOption, JsonOption
from agent.cli.printing import at_terminal, say, say_json
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.doctor.check import Check, Finding

OnlyOption = Annotated[str, typer.Option("--only", help="Run one check, and what it needs, by its code.")]

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": None}


def doctor(config: ConfigOption = DEFAULT_PATH, only: OnlyOption = "", *, as_json: JsonOption = False) -> None:
    """Check config, engines, cameras, store and broker; each finding has its likely cause and fix.

    Works beside a running daemon and without one. To the broker it sends the ledger's newest message once more,
    which consumers drop as a duplicate. Exit code 0 when nothing failed, 78 when the config did,
    else 1.

    Example: fieldgate doctor --config /etc/fieldgate/config.toml
    """
    from agent.doctor.check import FAIL, examine  # noqa: PLC0415 - cv2 and all that, which --help does without
    from agent.doctor.installation import Installation  # noqa: PLC0415

    findings: list[Finding] = []
    for finding in examine(Installation(Path(config)), _chosen(only)):
        findings.append(finding)
        if not as_json:
            _show(finding)
    failed = [one.code for one in findings if one.answer.result == FAIL]
    if as_json:
        say_json([one.to_json() for one in findings])
    else:
        _sum_up(findings)
    if failed:
        raise typer.Exit(WRONG_CONFIG if failed[0].startswith("config-") else FAILED)


def _chosen(only: str) -> "list[Check]":
    from agent.doctor.check import with_needs  # noqa: PLC0415 - as above
    from agent.doctor.checks import ALL  # noqa: PLC0415

    if not only:
        return list(ALL)
    if only not in {check.code for check in ALL}:
        raise UsageError(f"there is no check '{only}'; it is one of {', '.join(check.code for check in ALL)}")
    return with_needs(only, ALL)


def _show(finding: "Finding") -> None:
    answer, colour = finding.answer, _COLOURS[finding.answer.result]
    word = answer.result.upper() if answer.cause else answer.result
    typer.secho(f"{word:<8}", nl=False, fg=colour if at_terminal() else None)
    name = f"{finding.code} {finding.about}".strip()
    say(_wrapped(f"{name}: {answer.seen}"))
    if answer.cause:
        say(" " * 8 + _wrapped(f"likely cause: {answer.cause}"))
        say(" " * 8 + _wrapped(f"fix: {answer.fix}"))


def _wrapped(text: str) -> str:
    """Text that fits the terminal behind the column of results; a pipe gets it on one line."""
    if not at_terminal():
        return text
    width = max(40, shutil.get_terminal_size().columns - 9)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * 10).join(lines)


def _sum_up(findings: "list[Finding]") -> None:
    counts = {word: sum(one.answer.result == word for one in findings) for word in _COLOURS}
    say()
    say(", ".join(f"{count} {word}" for word, count in counts.items() if count))
