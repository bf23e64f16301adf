"""``collect``: receive what devices say into one file, prove it, and write it out."""

import hashlib
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import JsonOption
from agent.cli.printing import say, say_json, table, thousands, trouble
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.central.collecting import Collector, Counts
    from agent.central.verifying import Verdict

_MOST_SHOWN = 10

BrokerOption = Annotated[str, typer.Option("--broker", help="mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS.")]
RootOption = Annotated[str, typer.Option("--root", help="What every topic begins with (mqtt.root of the devices).")]
UserOption = Annotated[str, typer.Option("--username", help="User name at the broker.")]
PasswordOption = Annotated[Path | None, typer.Option("--password-file", help="File whose first line is the password.")]
AuthorityOption = Annotated[Path | None, typer.Option("--ca-file", help="Authority of the broker's certificate.")]
CertificateOption = Annotated[Path | None, typer.Option("--cert-file", help="Our certificate, for mutual TLS.")]
KeyOption = Annotated[Path | None, typer.Option("--key-file", help="Key of our certificate.")]
FileArgument = Annotated[Path, typer.Argument(help="A file that fieldgate collect has made.")]


def collect(
    context: typer.Context,
    broker: BrokerOption = "",
    to: Annotated[Path | None, typer.Option("--to", help="File to collect into; made where there is none.")] = None,
    receipt: Annotated[
        str, typer.Option("--receipt", help="Tell the devices, under this name, how far all is stored.")
    ] = "",
    share: Annotated[str, typer.Option("--share", help="Name of a shared subscription ($share/NAME/...).")] = "",
    until_quiet: Annotated[
        float, typer.Option("--until-quiet", help="End after so many seconds without a message; 0: go on.")
    ] = 0.0,
    session_h: Annotated[
        float, typer.Option("--session", help="Hours for which the broker keeps messages while nobody collects.")
    ] = 168.0,
    client_id: Annotated[str, typer.Option("--client-id", help="Client id; empty: one made from host and file.")] = "",
    root: RootOption = "fieldgate/1",
    username: UserOption = "",
    password_file: PasswordOption = None,
    ca_file: AuthorityOption = None,
    cert_file: CertificateOption = None,
    key_file: KeyOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Receive the ledgers of all devices into one SQLite file; stop it with Ctrl-C, start it again at any time.

    Each message is stored as it came, once, before the broker is told that it need not come again.
    One process collects into a file; collect verify may read it meanwhile.

    Example: fieldgate collect --broker mqtt://localhost --to plant.db --receipt db
    """
    if context.invoked_subcommand is not None:
        return
    if not broker or to is None:
        raise UsageError(
            "say where from and where to. For example: fieldgate collect --broker mqtt://HOST --to FILE.db"
        )
    from agent.central.address import broker_at  # noqa: PLC0415 - --help does without
    from agent.central.collecting import GROUP, Collector  # noqa: PLC0415
    from agent.central.ledgers import LedgerFile  # noqa: PLC0415
    from agent.sync.broker import PahoBroker  # noqa: PLC0415

    for option, word in (("--receipt", receipt), ("--share", share)):
        if word and not word.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"{option} {word}: use letters, digits, '-' or '_'")
    settings = broker_at(
        broker,
        username=username,
        password_file=password_file,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        session_s=round(session_h * 3600),
    )
    own = f"fieldgate-collect-{hashlib.sha256(f'{socket.gethostname()}:{to.resolve()}'.encode()).hexdigest()[:12]}"
    with LedgerFile(to, writing=True) as file:
        wire = PahoBroker(settings, client_id=client_id or own, receive_maximum=GROUP, largest_packet=1024 * 1024)
        collector = Collector(wire, file, root=root, share=share, consumer=receipt)
        try:
            _run(collector, until_quiet)
        finally:
            collector.close()
        if as_json:
            say_json(_summary(collector.counts))
        else:
            say(_line(collector.counts))


def _run(collector: "Collector", until_quiet: float) -> None:
    """Collect until a signal comes, or it has been quiet for long enough."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    shown_at, shown = time.monotonic(), collector.counts.state
    while not stop.is_set():
        collector.step(0.2)
        now = time.monotonic()
        if until_quiet and now - collector.quiet_since > until_quiet:
            return
        if sys.stderr.isatty() and now - shown_at > 1:
            shown_at = now
            sys.stderr.write(f"\r\x1b[K{_line(collector.counts)}")
            sys.stderr.flush()
        elif collector.counts.state != shown:
            typer.echo(_line(collector.counts), err=True)
        shown = collector.counts.state


def _line(counts: "Counts") -> str:
    strange = f", {thousands(counts.strange)} strange" if counts.strange else ""
    return (
        f"{counts.state}: {thousands(counts.arrived)} messages from {thousands(len(counts.devices))} devices, "
        f"{thousands(counts.stored)} of them new{strange}"
    )


def _summary(counts: "Counts") -> dict[str, Any]:
    return {
        "arrived": counts.arrived,
        "stored": counts.stored,
        "strange": counts.strange,
        "connects": counts.connects,
        "devices": len(counts.devices),
    }


def verify(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Prove from the stored bytes, per device and epoch, what is complete; exit code 1 where anything is unexplained.

    Numbers are checked for holes, hashes for the chain, gaps for what will never come, and the end against the
    head that the device has published.

    Example: fieldgate collect verify plant.db
    """
    from agent.central.ledgers import LedgerFile  # noqa: PLC0415 - --help does without
    from agent.central.verifying import verify as proved  # noqa: PLC0415

    with LedgerFile(file, writing=False) as opened:
        verdicts = list(proved(opened))
        strange = opened.strange()
        not_kept = opened.not_kept()
    holds = all(one.holds for one in verdicts)
    if as_json:
        rubbish = [{"topic": topic, "why": why, "times": times} for topic, why, times in strange]
        ledgers = [one.to_json() for one in verdicts]
        say_json({"holds": holds, "ledgers": ledgers, "strange": rubbish, "strange_not_kept": not_kept})
    else:
        _show(verdicts)
        for topic, why, times in strange[:_MOST_SHOWN]:
            say(f"  strange, {times} times on {topic}: {why}")
        if len(strange) > _MOST_SHOWN or not_kept:
            say(f"  and {thousands(len(strange) + not_kept - min(len(strange), _MOST_SHOWN))} more strange ones")
        say("Nothing is unexplained." if holds else "Not everything is here. See above for what is missing.")
    if not holds:
        raise typer.Exit(1)


def _show(verdicts: "list[Verdict]") -> None:
    columns = ("device", "epoch", "received", "missing", "explained", "unexplained", "complete up to", "at")
    rows: list[tuple[object, ...]] = []
    for one in verdicts:
        proof, ledger = one.proof, one.ledger
        unexplained = proof.missing - proof.explained
        numbers = (proof.received, proof.missing, proof.explained, unexplained, proof.complete_up_to)
        rows.append((f"{ledger.site}/{ledger.device}", ledger.epoch, *numbers, one.at))
    if not rows:
        say("No device has said anything yet.")
        return
    table(columns, rows)
    for one in verdicts:
        name = f"{one.ledger.site}/{one.ledger.device}, epoch {one.ledger.epoch}"
        for first, last in one.proof.unexplained[:_MOST_SHOWN]:
            where = f"number {first}" if first == last else f"numbers {first} to {last}"
            trouble(f"{name}: {where} did not come and no gap explains it")
        for found in one.proof.breaks[:_MOST_SHOWN]:
            trouble(f"{name}: number {found.seq}: {found.text}")
        for seq in one.conflicts[:_MOST_SHOWN]:
            trouble(f"{name}: number {seq} came with two contents")
        if one.ledger.frames_lost:
            say(f"  {name}: {thousands(one.ledger.frames_lost)} frames were lost on the device, as its gaps say")


def export(
    file: FileArgument,
    to: Annotated[Path | None, typer.Option("--to", help="Where to; none: standard output.")] = None,
) -> None:
    """Write the stored messages, unchanged, one a line, by device, epoch and number: for other programs to verify.

    Example: fieldgate collect export plant.db --to plant.jsonl
    """
    from agent.central.ledgers import LedgerFile  # noqa: PLC0415 - --help does without

    with LedgerFile(file, writing=False) as opened:
        out = to.open("wb") if to else sys.stdout.buffer
        try:
            for ledger in opened.ledgers():
                for _seq, body in opened.bodies(ledger.number):
                    out.write(body + b"\n")
        finally:
            if to:
                out.close()
            else:
                out.flush()
