#!/usr/bin/env python3
"""The fault stories of the tests at any length: kills, power cuts, bad disks, networks, brokers, clocks and commands.

Each ordeal runs the installed command against a real broker and proves at its end, from what the centre received and
from the list of what the agent had recorded, that nothing is lost or unexplained. Start it as `scripts/soak`.
"""

import argparse
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ordeals.outcome import Outcome
from ordeals.plan import ORDEALS, Ordeal

OUT, SIDE = Console(), Console(stderr=True)


def main() -> int:
    """Run what was asked for; 1 when an ordeal was not passed."""
    wanted = _arguments()
    seed = secrets.randbelow(1_000_000) if wanted.seed is None else wanted.seed
    chosen = [ordeal for ordeal in ORDEALS if not wanted.ordeals or ordeal.name in wanted.ordeals]
    end = time.monotonic() + wanted.minutes * 60
    table = Table("ordeal", "seed", "count", "seconds", "what was seen", title=f"scripts/soak, seed {seed}")
    failed = 0
    while True:
        for ordeal in chosen:
            failed += not _passed(ordeal, seed, table, full=wanted.full)
        seed += 1
        if time.monotonic() >= end:
            break
    OUT.print(table)
    OUT.print(f"{failed} ordeals were not passed" if failed else "nothing lost, nothing unexplained")
    return int(failed > 0)


def _passed(ordeal: Ordeal, seed: int, table: Table, *, full: bool) -> bool:
    """Run one ordeal in a folder of its own, under a bar, and write its row."""
    count = ordeal.full if full else ordeal.few
    if reason := ordeal.why_not():
        table.add_row(ordeal.name, str(seed), "-", "-", f"skipped: {reason}")
        return True
    columns = (TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="fieldgate-soak-") as folder, Progress(*columns, console=SIDE) as bars:
        task = bars.add_task(ordeal.name, total=ordeal.ticks(count))
        try:
            outcome: Outcome = ordeal.run(Path(folder), seed, count, lambda: bars.advance(task))
        except (AssertionError, subprocess.TimeoutExpired) as fault:
            table.add_row(ordeal.name, str(seed), str(count), "-", f"[red]NOT PASSED[/red]: {str(fault)[:2000]}")
            return False
    seen = ", ".join(f"{name} {value}" for name, value in outcome.figures.items())
    table.add_row(outcome.ordeal, str(outcome.seed), str(outcome.count), f"{outcome.seconds:.0f}", seen)
    return True


def _arguments() -> argparse.Namespace:
    names = ", ".join(ordeal.name for ordeal in ORDEALS)
    parser = argparse.ArgumentParser(prog="scripts/soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ordeals", nargs="*", metavar="ORDEAL", help=f"{names}; default: all")
    parser.add_argument("--full", action="store_true", help="full counts, about an hour; else a few minutes")
    parser.add_argument("--seed", type=int, help="what all ordeals draw from; default: another one each time")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin again, with the next seed, for so long")
    wanted = parser.parse_args()
    for name in wanted.ordeals:
        if name not in {ordeal.name for ordeal in ORDEALS}:
            parser.error(f"there is no ordeal '{name}'; there are {names}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
