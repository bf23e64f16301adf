"""How answers look: tables with colour at a terminal, aligned plain text in a pipe, JSON for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import typer

_STYLES: Final[Mapping[str, str]] = {
    "ok": "green",
    "pass": "green",
    "running": "green",
    "connected": "green",
    "writing": "green",
    "production": "green",
    "warn": "yellow",
    "inconclusive": "yellow",
    "manual": "yellow",
    "frozen": "red",
    "no-frames": "red",
    "offline": "red",
    "refused": "red",
    "forbidden": "red",
    "failing": "red",
    "fail": "red",
    "skipped": "dim",
    "off": "dim",
}
"""Colour of a word. The word itself is always there: nothing is told by colour alone."""


def at_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """One line of plain text."""
    typer.echo(text)


def say_json(value: object) -> None:
    """A whole answer for a script."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def heading(text: str) -> None:
    """What the lines below are about."""
    typer.echo()
    typer.secho(text, bold=at_terminal())


def trouble(text: str) -> None:
    """Something that wants attention."""
    typer.secho(f"  ! {text}", fg="red" if at_terminal() else None)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under their column names; numbers to the right."""
    shown = [["" if value is None else thousands(value) for value in row] for row in rows]
    numeric = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(columns))]
    if at_terminal():
        _rich_table(columns, shown, numeric)
    else:
        _plain_table(columns, shown, numeric)


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second that pipes do not need
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=True, header_style="dim")
    for name, right in zip(columns, numeric, strict=True):
        made.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
    Console().print(made)


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        typer.echo(("  " + "  ".join(cells)).rstrip())


def style_of(word: str) -> str:
    """Rich's style of a word of state; empty for any other text."""
    return _STYLES.get(word, "")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def thousands(value: object) -> str:
    """Text as it is, whole numbers grouped: 12,345."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def span(seconds: float) -> str:
    """A time span in its two largest units: ``3 d 4 h``, ``12 min 5 s``, ``8 s``."""
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def volume(count: int | None) -> str:
    """Bytes in the unit that fits: ``512 B``, ``1.4 MB``."""
    if count is None:
        return "?"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - what the units mean
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def text_of(reason: object) -> str:
    """The sentence in a reason, which is a table with code and text, or a sentence already."""
    if isinstance(reason, Mapping):
        return str(reason.get("text") or reason.get("code") or "")
    return str(reason or "")
