"""A device that does not exist: parts pass, it has troubles, it says what a real one would. No network, no thread."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, Final

from agent.central.played import PlayedLedger
from agent.inspection.frame import Frame, Moment, Subject, Trigger
from agent.inspection.record import EngineFacts, Latency, Record
from agent.inspection.screening import Screening
from agent.inspection.verdict import Detection, judge
from agent.ledger.gaps import FrameGap, frame_gap_body
from agent.ledger.rollups import MINUTE_NS, Rollup, RollupKey, rollup_body
from agent.ledger.sealing import Origin

TROUBLES: Final[Mapping[str, str]] = {
    "outages": "Its line breaks now and then for some seconds; it goes on recording.",
    "replays": "It sends again what was acknowledged already.",
    "gaps": "It evicts messages that nobody has, and loses frames; gaps say so.",
    "batches": "What waits goes out in batches.",
    "clocks": "Its clock begins in 1970 or stands three days ahead, and jumps.",
    "epochs": "It loses its database, or finds it damaged, and begins a new ledger.",
}
"""What a simulated device can have, and what that is."""

_ENGINE: Final = EngineFacts("simulated-part-v1.0", "0" * 64, "simulated")
_ROLLUP_EVERY: Final = 60
_SUSPICIOUS, _FAILS = 0.1, 0.5
_CHANCES: Final[Mapping[str, float]] = {"replays": 0.02, "gaps": 0.01, "epochs": 0.003, "clocks": 0.005}
_MOST_AT_ONCE: Final = 20
_EPOCH_1970: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class PlayedDevice:
    """One device.

    Args:
        site: Its site.
        name: Its name.
        draw: What decides about parts and troubles.
        new_id: Makes ids.
        now: The clock.
        troubles: Which of ``TROUBLES`` it has.
        most_waiting: Messages that may wait; beyond them the oldest are evicted, and a gap says so.

    Attributes:
        frames_lost: Frames whose verdicts it says were lost.
        again: Messages that it sent once more without being asked to.
    """

    def __init__(
        self,
        *,
        site: str,
        name: str,
        draw: Random,
        new_id: Callable[[], str],
        now: Callable[[], Moment],
        troubles: Iterable[str] = (),
        most_waiting: int = 10_000,
    ) -> None:
        self.origin = Origin(site, name, new_id(), new_id())
        self.ledger = PlayedLedger(self.origin, new_id)
        self.frames_lost = self.again = 0
        self._draw = draw
        self._now = now
        self._troubles = frozenset(troubles)
        self._most_waiting = most_waiting
        self._frame = 0
        self._minute = Rollup()
        self._off = timedelta(0)
        self._clock = "synced"
        if "clocks" in self._troubles:
            self._start_with_a_wrong_clock()

    def has(self, trouble: str) -> bool:
        """Whether it has this trouble."""
        return trouble in self._troubles

    def inspect(self) -> None:
        """One part passes: a record, sometimes the minute's rollup, sometimes trouble."""
        self._frame += 1
        record = self._record()
        self._minute.add(record)
        self.ledger.say("inspections", record.to_json())
        if self._frame % _ROLLUP_EVERY == 0:
            self.close_minute("minute")
        happenings = {
            "replays": self._send_again,
            "gaps": self._lose,
            "epochs": self._lose_database,
            "clocks": self._jump,
        }
        for trouble, happens in happenings.items():
            if trouble in self._troubles and self._draw.random() < _CHANCES[trouble]:
                happens()
        if self.ledger.waiting > self._most_waiting:
            self.ledger.evict(self._most_waiting // 4, self.moment())

    def close_minute(self, closed: str) -> None:
        """Seal the open rollup, if anything is in it."""
        if not self._minute.frames:
            return
        moment = self.moment()
        counts, self._minute = self._minute.to_json(), Rollup()
        number = moment.monotonic_ns // MINUTE_NS
        key = RollupKey(self.origin.boot, "top", _ENGINE.name, _ENGINE.digest, _ENGINE.runtime, "active", number)
        minute = f"{moment.wall:%Y-%m-%dT%H:%M}:00Z"
        self.ledger.say("rollups", rollup_body(moment.to_json(), key, counts, minute=minute, closed=closed))

    def status(self) -> dict[str, Any]:
        """The body of ``up/status``."""
        engine = {"pack": _ENGINE.name, "digest": _ENGINE.digest, "runtime": _ENGINE.runtime}
        epoch = self.ledger.epoch
        return {
            "schema": "fieldgate.status/1",
            "site": self.origin.site,
            "device": self.origin.device,
            "boot": self.origin.boot,
            "kernel_boot": self.origin.kernel_boot,
            **self.moment().to_json(),
            "agent": "simulated",
            "modes": {"simulated-part": "shadow"},
            "engines": {"simulated-part": engine},
            "cameras": [],
            "alerts": [],
            "ledger": {"epoch": epoch, "head": self.ledger.heads[epoch], "settled": None, "oldest_kept": None},
        }

    def moment(self) -> Moment:
        """Now, on this device's clock."""
        now = self._now()
        return Moment(now.wall + self._off, now.monotonic_ns, self._clock)

    def _record(self) -> Record:
        draw = self._draw
        suspicious = draw.random() < _SUSPICIOUS
        score = draw.uniform(0.3, 1) if suspicious else draw.uniform(0, 0.299)
        screening = Screening(round(score, 6), 0.3)
        detections: tuple[Detection, ...] = ()
        if suspicious and draw.random() < _FAILS:
            x, y = float(draw.randint(0, 500)), float(draw.randint(0, 300))
            detections = (Detection("scratch", round(draw.uniform(0.1, 1), 6), 0.7, (x, y, x + 40, y + 30)),)
        screen = round(draw.uniform(4, 9), 3)
        verify = round(draw.uniform(15, 40), 3) if suspicious else None
        subject = Subject(part=f"P-{self._frame}", batch=f"{self._frame // 100}")
        return Record(
            frame=Frame(None, "top", self._frame, None, self.moment(), Trigger("continuous"), subject),
            engine=_ENGINE,
            agent="simulated",
            role="active",
            mode="shadow",
            kept="all",
            audit_rate=0.001,
            screening=screening,
            detections=detections,
            verdict=judge(screening, detections, triggered=False),
            latency=Latency(1.0, screen, verify, round(1.0 + screen + (verify or 0.0), 3)),
        )

    def _send_again(self) -> None:
        self.again += self.ledger.send_again(self._draw.randint(1, _MOST_AT_ONCE))

    def _lose(self) -> None:
        """What is oldest makes room, or the next frames find none."""
        count = self._draw.randint(1, _MOST_AT_ONCE)
        if self._draw.random() < _FAILS:
            self.ledger.evict(count, self.moment())
            return
        gap = FrameGap("top", self.origin.boot, self._frame + 1, self._frame + count, count)
        self._frame += count
        self.frames_lost += count
        text = "the disk did not keep up"
        self.ledger.say("gaps", frame_gap_body(self.moment(), gap, code="journal-full", text=text))

    def _lose_database(self) -> None:
        lost = self._draw.randint(0, _MOST_AT_ONCE)
        self.ledger.begin_again(self.moment(), damaged=self._draw.random() < _FAILS, lost=lost)

    def _start_with_a_wrong_clock(self) -> None:
        if self._draw.random() < _FAILS:
            self._off, self._clock = _EPOCH_1970 - self._now().wall, "unset"
        else:
            self._off, self._clock = timedelta(days=3), "holdover"

    def _jump(self) -> None:
        """The clock is set right; one that is right runs away by up to an hour, in either direction."""
        if self._off:
            self._off, self._clock = timedelta(0), "synced"
        else:
            self._off, self._clock = timedelta(seconds=self._draw.randint(-3600, 3600)), "holdover"
