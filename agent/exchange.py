"""The part of the composition that faces the broker: the uplink and what it obeys."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from agent.config import Config
from agent.delivery import Delivery
from agent.inspection.frame import Moment
from agent.monitor.alerts import Alerts
from agent.store.journal import Journal
from agent.store.outbox import newest, sent_on, unsettled
from agent.store.reader import Reader
from agent.store.remembered import remember, remembered
from agent.store.settlements import SentBytesEntry
from agent.sync.broker import PahoBroker
from agent.sync.budget import LocalTime
from agent.sync.commands import Commands, Verb
from agent.sync.disk import Disk
from agent.sync.dispatch import Dispatch
from agent.sync.limits import Limits
from agent.sync.receipts import Receipts
from agent.sync.topics import Topics
from agent.sync.uplink import Uplink


def made_uplink(
    config: Config,
    *,
    boot: str,
    now: Callable[[], Moment],
    reader: Reader,
    journal: Journal,
    delivery: Delivery,
    dispatch: Dispatch,
    alerts: Alerts,
    verbs: Mapping[str, Verb],
    status: Callable[[], Mapping[str, Any]],
    stop: threading.Event,
) -> tuple[Uplink, Commands]:
    """The uplink of an agent that has a broker, and the commands that it takes.

    Args:
        config: The settings.
        boot: This process, as in the ledger.
        now: The clock.
        reader: Reads the outbox.
        journal: Writes the last words on commands.
        delivery: Decides about messages on their way out.
        dispatch: Sends pictures.
        alerts: Hears of a broker that keeps everything back.
        verbs: What is obeyed.
        status: The body of ``up/status``; never waits.
        stop: Ends the uplink.
    """
    topics = Topics.of(config.mqtt.root, config.device.site, config.device.name)
    commands = Commands(
        topics=topics,
        verbs=verbs,
        now=now,
        remembered=lambda command: reader.ask(lambda db: remembered(db, command)),
        remember=lambda command, verb, reply: remember(journal, command, verb, reply),
    )
    name = config.device.timezone
    zone = timezone.utc if name == "UTC" else ZoneInfo(name)  # a device without the database still has UTC
    uplink = Uplink(
        broker=PahoBroker(config.mqtt, client_id=config.client_id),
        topics=topics,
        boot=boot,
        limits=Limits.of(config.mqtt),
        draw=random.random,
        now_ns=time.monotonic_ns,
        local=lambda: local_time(now(), zone),
        disk=Disk(
            unsettled=lambda *which: reader.ask(lambda db: unsettled(db, *which)),
            newest=lambda: reader.ask(newest),
            settle=delivery.settle,
            bury=delivery.bury,
            connected=delivery.connected,
            sent_on=lambda day: reader.ask(lambda db: sent_on(db, day)),
            count=lambda day, size: journal.put(SentBytesEntry(day, size)),
        ),
        status=status,
        commands=commands,
        receipts=Receipts(store=delivery.receipt, raised=alerts.raised, cleared=alerts.cleared),
        pictures=dispatch.parcels,
        stop=stop,
        raised=alerts.raised,
        cleared=alerts.cleared,
    )
    delivery.attach(uplink.reread)
    dispatch.join(wake_uplink=uplink.wake, finish=commands.finish)
    return uplink, commands


def local_time(moment: Moment, zone: tzinfo) -> LocalTime | None:
    """What a clock on the wall beside the device shows; None while the device's own is unset."""
    if moment.state == "unset":
        return None
    there = moment.wall.astimezone(zone)
    return LocalTime(there.date().isoformat(), there.hour * 60 + there.minute)
