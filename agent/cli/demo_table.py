"""What a demo shows: a live table at a terminal, a line every few seconds elsewhere, and a summary."""

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from agent.app import App
from agent.camera.opening import open_source
from agent.camera.simulated import SimulatedCamera
from agent.cli.demo_tally import Tally
from agent.cli.printing import at_terminal, span, style_of, text_of, thousands
from agent.store.outbox import backlog, ledger_facts
from agent.store.queries import last_row, records_after

if TYPE_CHECKING:
    from rich.console import Group

_GLANCE_S: Final = 0.5
_LINE_EVERY_S: Final = 3.0
_PAGE: Final = 500
_AGREEMENT_STYLES: Final = {"missed": "red", "false alarm": "yellow", "no verdict": "yellow"}


class Watcher:
    """Watches an agent from outside its threads, through its database.

    Args:
        app: Built, with one simulated camera.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._began = time.monotonic()
        self._row = app.reader.ask(last_row)
        self._first_seq = app.journal.head.seq
        self._uplink: dict[str, Any] = {"state": "off", "reason": None}
        self._settled = 0
        self.tally = Tally()

    def run(self) -> None:
        """The thread's body: until the agent stops."""
        if at_terminal():
            self._live()
        else:
            self._lines()

    def _live(self) -> None:
        from rich.live import Live  # noqa: PLC0415 - pipes do without

        with Live(self._screen(), refresh_per_second=4) as live:
            while not self._app.stop.wait(_GLANCE_S):
                self._look()
                live.update(self._screen())

    def _lines(self) -> None:
        while not self._app.stop.wait(_LINE_EVERY_S):
            self._look()
            tally = self.tally
            typer.echo(
                f"{span(time.monotonic() - self._began)}: {thousands(tally.parts)} parts ({tally.outcome_words()}); "
                f"{tally.truth_words()}; {tally.latency_words()}; {self._broker_words()}"
            )

    def _look(self) -> None:
        """Read what was committed since the last look."""
        if self._app.uplink is not None:
            self._uplink = self._app.uplink.snapshot()
        while page := self._app.reader.ask(lambda db: records_after(db, self._row, _PAGE)):
            for row, record in page:
                self._row = row
                self.tally.add(record, self._truth(record["source"]))

    def _truth(self, source: str | None) -> Sequence[str]:
        line = self._simulated
        return [one.label for one in line.truth_of(int(source))] if line is not None and source else ()

    @functools.cached_property
    def _simulated(self) -> SimulatedCamera | None:
        """The same line as the camera's, asked for the truth only."""
        source = open_source(self._app.config.cameras[0])
        return source if isinstance(source, SimulatedCamera) else None

    def _waiting(self) -> int:
        return self._app.reader.ask(backlog)

    def _broker_words(self) -> str:
        waiting = thousands(self._waiting())
        mqtt = self._app.config.mqtt
        place = f"{mqtt.host}:{mqtt.port}"
        state = self._uplink["state"]
        if state == "off":
            return f"no broker is tried; {waiting} messages are kept"
        if state == "connected":
            return f"broker {place} is connected; {waiting} messages wait"
        if state == "connecting":
            return f"broker {place} is being tried; {waiting} messages wait"
        why = f" ({text_of(self._uplink['reason'])})" if state != "offline" else ""
        return f"broker {place} is {state}{why}; the backlog grows: {waiting} messages wait on the disk, none is lost"

    def _screen(self) -> "Group":
        from rich.console import Group  # noqa: PLC0415 - as above
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, header_style="dim", pad_edge=False, expand=False)
        for name in ("part", "truth", "verdict", "why", "ms", "compared"):
            table.add_column(name, justify="right" if name in {"part", "ms"} else "left", no_wrap=name != "why")
        for seen in self.tally.latest:
            table.add_row(
                seen.part,
                ", ".join(seen.truth) or "good",
                Text(seen.outcome, style=style_of(seen.outcome)),
                seen.reason,
                f"{seen.total_ms:.0f}",
                Text(seen.agreement, style=_AGREEMENT_STYLES.get(seen.agreement, "")),
            )
        tally = self.tally
        head = Text(f"fieldgate demo, {span(time.monotonic() - self._began)} (Ctrl-C ends it)\n", style="bold")
        foot = Text(
            f"\nparts    {thousands(tally.parts)}: {tally.outcome_words()}"
            f"\ntruth    {tally.truth_words()}"
            f"\nlatency  {tally.latency_words()} from capture to verdict"
            f"\nsync     {self._broker_words()}\n"
        )
        return Group(head, table, foot)

    def summary(self) -> str:
        """One paragraph about the whole demo, and where things lie; after the agent has stopped."""
        self._look()
        facts = self._app.reader.ask(ledger_facts)
        tally, folder = self.tally, self._app.config.store.dir.absolute()
        written, waiting = facts["head"] - self._first_seq, self._waiting()
        return (
            f"\nIn {span(time.monotonic() - self._began)} the agent inspected {thousands(tally.parts)} "
            "simulated parts: "
            f"{tally.outcome_words()}. {tally.truth_words()}. From capture to verdict: "
            f"{tally.latency_words()}. It wrote {thousands(written)} ledger messages; {self._sync_words(waiting)} "
            f"Database, pictures and log lie in {folder}: fieldgate.db, evidence/, demo.log."
        )

    def _sync_words(self, waiting: int) -> str:
        mqtt = self._app.config.mqtt
        if self._uplink.get("connects"):
            return (
                f"the broker {mqtt.host}:{mqtt.port} acknowledged {thousands(self._uplink['settled'])}, "
                f"{thousands(waiting)} wait on the disk for the next start."
            )
        if not mqtt.host:
            return f"no broker was tried, {thousands(waiting)} are kept on the disk."
        return (
            f"no broker was reached at {mqtt.host}:{mqtt.port}, so {thousands(waiting)} wait on the disk; none is lost."
        )
