"""``simulate``: devices that do not exist, for those who write a consumer."""

import contextlib
import resource
import secrets
import signal
import threading
from random import Random
from typing import Annotated

import typer

from agent.cli.collecting import (
    AuthorityOption,
    BrokerOption,
    CertificateOption,
    KeyOption,
    PasswordOption,
    RootOption,
    UserOption,
)
from agent.cli.options import JsonOption
from agent.cli.printing import say, say_json, thousands
from agent.errors import FieldgateError, UsageError

_FILES_OF_ONE = 4


def simulate(
    broker: BrokerOption = "mqtt://localhost",
    devices: Annotated[int, typer.Option("--devices", min=1, max=2_000, help="How many devices.")] = 1,
    parts: Annotated[int, typer.Option("--parts", min=1, help="Parts that pass at each device.")] = 60,
    rate: Annotated[float, typer.Option("--rate", min=0.01, help="Parts per second and device.")] = 1.0,
    troubles: Annotated[
        str,
        typer.Option("--with", help="Troubles, by commas: outages, replays, gaps, batches, clocks, epochs; or all."),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Draws the same parts and troubles again; 0: a new seed.")] = 0,
    site: Annotated[str, typer.Option("--site", help="Site of the devices.")] = "simulated",
    keep: Annotated[int, typer.Option("--keep", min=1_000, help="Messages that may wait at all devices.")] = 200_000,
    drain_s: Annotated[float, typer.Option("--drain", help="Seconds to wait at the end for acknowledgements.")] = 60.0,
    root: RootOption = "fieldgate/1",
    username: UserOption = "",
    password_file: PasswordOption = None,
    ca_file: AuthorityOption = None,
    cert_file: CertificateOption = None,
    key_file: KeyOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Play one or many devices at a broker: real sealed messages about parts that do not exist.

    A device that finds nobody who listens waits, as real ones do. Beyond --keep the oldest messages are evicted, and
    gaps say so. Ends when everything was acknowledged; exit code 1 where it was not.

    Example: fieldgate simulate --broker mqtt://localhost --devices 20 --parts 600 --with all
    """
    from agent.central.address import broker_at  # noqa: PLC0415 - --help does without
    from agent.central.fleet import Fleet, Pace, Player  # noqa: PLC0415
    from agent.central.playing import PlayedDevice  # noqa: PLC0415
    from agent.clock import Clock, new_uuid7  # noqa: PLC0415

    settings = broker_at(
        broker,
        username=username,
        password_file=password_file,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )
    wanted = _troubles(troubles)
    seed = seed or secrets.randbits(32)
    clock = Clock()
    players = []
    for place in range(1, devices + 1):
        device = PlayedDevice(
            site=site,
            name=f"simulated-{place}",
            draw=Random(f"{seed}/{place}"),  # noqa: S311 - a seeded random is what is wanted
            new_id=new_uuid7,
            now=clock.now,
            troubles=wanted,
            most_waiting=max(10, keep // devices),
        )
        players.append(Player(device, root=root, draw=Random(f"{seed}/{place}/line")))  # noqa: S311 - as above
    _allow_files(_FILES_OF_ONE * devices)
    if not as_json:
        say(f"seed {seed}: {thousands(devices)} devices, {thousands(parts)} parts each, {rate:g} a second")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    fleet = Fleet(players, settings, Pace(rate, parts))
    whole = fleet.run(stopped=stop.is_set, drain_s=drain_s)
    told = {"seed": seed, **fleet.summary()}
    if as_json:
        say_json(told)
    else:
        for name, figure in told.items():
            if isinstance(figure, int) and name != "seed":
                say(f"  {name.replace('_', ' ')}: {thousands(figure)}")
    if not whole:
        raise FieldgateError("not everything was acknowledged; is the broker there, and does anybody listen?")


def _troubles(words: str) -> set[str]:
    from agent.central.playing import TROUBLES  # noqa: PLC0415 - as above

    wanted = {word.strip() for word in words.split(",")} - {""}
    if wanted == {"all"}:
        return set(TROUBLES)
    if unknown := wanted - set(TROUBLES):
        raise UsageError(f"--with {', '.join(sorted(unknown))}: there are {', '.join(TROUBLES)}, and all")
    return wanted


def _allow_files(count: int) -> None:
    """Raise this process's limit of open files, as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count + 256 if hard == resource.RLIM_INFINITY else min(hard, count + 256)
    if most > soft:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
