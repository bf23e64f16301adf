"""Simulated devices at a broker: each with its own connection, window and troubles, all on one thread."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from agent.central.played import Packet
from agent.central.playing import PlayedDevice
from agent.central.wires import Wire, Wires
from agent.config.sections import MqttSection
from agent.errors import BrokerRefused
from agent.ledger.sealing import canonical

WINDOW: Final = 20
"""Messages of one device that may wait for their acknowledgement."""

_FAILURE: Final = 0x80
_NOBODY_LISTENS: Final = 0x10
_HOLD_S: Final = 1.0
_STATUS_EVERY_S: Final = 5.0
_OUTAGE_EVERY_S: Final = 15.0
_LONGEST_OUTAGE_S: Final = 5.0
_MOST_AT_ONCE: Final = 200
_TURN_S: Final = 0.02
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and how long devices inspect.

    Attributes:
        rate: Parts per second and device.
        parts: Parts of each device; then it only sends what waits.
    """

    rate: float
    parts: int


class Player:
    """One device at the broker.

    Args:
        device: Its ledger and its troubles.
        root: What every topic begins with.
        draw: What decides about its line.
    """

    def __init__(self, device: PlayedDevice, *, root: str, draw: Random) -> None:
        self.device = device
        self.outages = 0
        self._up = f"{root.strip('/')}/{device.origin.site}/{device.origin.device}/up"
        self._draw = draw
        self._wire: Wire | None = None
        self._greeted = False
        self._connects = 0
        self._again_at = 0.0
        self._hold_until = 0.0
        self._outage_at = _NEVER
        self._status_at = 0.0
        self._inspected = 0
        self._flying: dict[int, Packet] = {}
        self._head_told = -1

    @property
    def drained(self) -> bool:
        """Whether everything was acknowledged, and its head is known."""
        ledger = self.device.ledger
        return not (ledger.waiting or self._flying) and self._head_told == ledger.heads[ledger.epoch]

    def step(self, wires: Wires, now: float, began: float, pace: Pace) -> bool:
        """Do what is due; returns whether all its parts have passed.

        Raises:
            BrokerRefused: The broker does not let it in.
        """
        due = min(pace.parts, int((now - began) * pace.rate))
        for _ in range(min(_MOST_AT_ONCE, due - self._inspected)):
            self.device.inspect()
            self._inspected += 1
            if self._inspected == pace.parts:
                self.device.close_minute("stop")
        self._keep_line(wires, now)
        if self._wire is not None and self._wire.connected:
            self._speak(self._wire, now)
        return self._inspected >= pace.parts

    def stop(self) -> None:
        """Say goodbye."""
        if self._wire is not None and self._wire.connected:
            self._wire.publish(f"{self._up}/online", self._online("stopped"), retain=True)
            self._wire.goodbye()

    def _keep_line(self, wires: Wires, now: float) -> None:
        wire = self._wire
        if wire is not None and wire.refused:
            raise BrokerRefused(f"the broker refuses {self.device.origin.device}: {wire.refused}")
        if wire is not None and wire.over:
            self._wire, self._greeted = None, False
            self.device.ledger.give_back(self._flying.values())
            self._flying.clear()
            self._again_at = max(self._again_at, now + self._draw.uniform(0.2, 1.0))
        elif wire is None and now >= self._again_at:
            self._connect(wires, now)
        elif wire is not None and wire.connected and self.device.has("outages") and now >= self._outage_at:
            self.outages += 1
            self._again_at = now + self._draw.uniform(0.2, _LONGEST_OUTAGE_S)
            self._plan_outage(now)
            wire.cut()

    def _connect(self, wires: Wires, now: float) -> None:
        self._connects += 1
        origin = self.device.origin
        try:
            self._wire = wires.open(
                f"fieldgate-{origin.site}-{origin.device}",
                will_topic=f"{self._up}/online",
                will=self._online("lost"),
                acknowledged=self._acknowledged,
            )
        except OSError:
            self._again_at = now + self._draw.uniform(0.5, 2.0)

    def _speak(self, wire: Wire, now: float) -> None:
        if not self._greeted:
            self._greeted, self._status_at = True, 0.0
            self._plan_outage(now)
            wire.publish(f"{self._up}/online", self._online("online"), retain=True)
        while len(self._flying) < WINDOW and now >= self._hold_until:
            packet = self.device.ledger.next(batches=self.device.has("batches"))
            if packet is None:
                break
            self._flying[wire.publish(f"{self._up}/{packet.branch}", packet.body)] = packet
        ledger = self.device.ledger
        stale = self._head_told != ledger.heads[ledger.epoch]
        if now >= self._status_at or (stale and not ledger.waiting and not self._flying):
            self._status_at = now + _STATUS_EVERY_S
            self._head_told = ledger.heads[ledger.epoch]
            wire.publish(f"{self._up}/status", canonical(self.device.status()), retain=True)

    def _acknowledged(self, mid: int, code: int) -> None:
        packet = self._flying.pop(mid, None)
        if packet is None:
            return  # online or status
        if code == _NOBODY_LISTENS or code >= _FAILURE:
            self.device.ledger.give_back([packet])
            self._hold_until = time.monotonic() + _HOLD_S
        else:
            self.device.ledger.settle(packet)

    def _plan_outage(self, now: float) -> None:
        self._outage_at = now + self._draw.expovariate(1 / _OUTAGE_EVERY_S)

    def _online(self, state: str) -> bytes:
        return canonical({"state": state, "boot": self.device.origin.boot, "connects": self._connects})


class Fleet:
    """All devices of a simulation.

    Args:
        players: The devices.
        settings: The broker.
        pace: How fast and how long.
    """

    def __init__(self, players: list[Player], settings: MqttSection, pace: Pace) -> None:
        self._players = players
        self._wires = Wires(settings)
        self._pace = pace

    def run(self, *, stopped: Callable[[], bool], drain_s: float) -> bool:
        """Play until every part has passed and everything was acknowledged; returns whether it was.

        Args:
            stopped: Asked often; True ends the inspecting at once and goes on to the draining.
            drain_s: How long after the last part may be waited for acknowledgements.

        Raises:
            BrokerRefused: The broker does not let a device in.
        """
        try:
            return self._play(stopped, drain_s)
        finally:
            for player in self._players:
                player.stop()
            self._turn(0.5)
            self._wires.close()

    def _play(self, stopped: Callable[[], bool], drain_s: float) -> bool:
        began = time.monotonic()
        pace, until = self._pace, _NEVER
        for now in self._turns():
            passed = [player.step(self._wires, now, began, pace) for player in self._players]
            if until == _NEVER:
                if all(passed) or stopped():
                    pace, until = Pace(0.0, 0), now + drain_s
            elif all(player.drained for player in self._players):
                return True
            elif now > until:
                break
        return False

    def _turns(self) -> Iterator[float]:
        while True:
            self._wires.turn(_TURN_S)
            yield time.monotonic()

    def _turn(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._wires.turn(_TURN_S)

    def summary(self) -> dict[str, Any]:
        """What was sealed, sent and lost, and the head of each ledger."""
        devices = [player.device for player in self._players]
        ledgers = [device.ledger for device in devices]
        return {
            "devices": len(devices),
            "sealed": sum(one.sealed for one in ledgers),
            "sent": sum(one.sent for one in ledgers),
            "sent_again": sum(one.again for one in devices),
            "batches": sum(one.batches for one in ledgers),
            "evicted": sum(one.evicted for one in ledgers),
            "frames_lost": sum(one.frames_lost for one in devices),
            "outages": sum(player.outages for player in self._players),
            "waiting": sum(one.waiting for one in ledgers),
            "ledgers": [
                {"site": device.origin.site, "device": device.origin.device, "epoch": epoch, "head": head}
                for device in devices
                for epoch, head in device.ledger.heads.items()
            ],
        }
