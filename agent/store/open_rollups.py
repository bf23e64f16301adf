"""The rollups whose minute has not ended, in memory and as rows that every commit brings up to date."""

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from sqlite_utils import Database

from agent.inspection.frame import Moment
from agent.inspection.record import Record
from agent.ledger.rollups import MINUTE_NS, Rollup, RollupKey, rollup_body
from agent.ledger.sealing import Draft, Origin

_COLUMNS = "boot, camera, engine, engine_digest, runtime, role, minute, kernel_boot, wall_minute, last, counts"


class OpenRollups:
    """Counts frames by minute. Used by the journal thread only, inside its transactions.

    After a rollback ``forget`` must be called: the rows are the truth, memory follows them.

    Args:
        origin: This device and process.
        new_id: Makes a UUIDv7.
    """

    def __init__(self, origin: Origin, new_id: Callable[[], str]) -> None:
        self._origin = origin
        self._new_id = new_id
        self._open: dict[RollupKey, Rollup] = {}
        self._wall: dict[RollupKey, str] = {}
        self._touched: set[RollupKey] = set()

    def count(self, record: Record, moment: Moment, *, replaced: int, skipped: int) -> None:
        """Count one frame in the minute of its commit."""
        engine = record.engine
        key = RollupKey(
            self._origin.boot,
            record.frame.camera,
            engine.name,
            engine.digest,
            engine.runtime,
            record.role,
            moment.monotonic_ns // MINUTE_NS,
        )
        if key not in self._open:
            self._open[key] = Rollup()
            self._wall[key] = minute_text(moment.wall)
        self._open[key].add(record, replaced=replaced, skipped=skipped)
        self._touched.add(key)

    def write(self, db: Database, moment: Moment) -> None:
        """Bring the rows of all rollups that this transaction touched up to date."""
        last = json.dumps(moment.to_json())
        rows = [
            (*_identity(key), self._origin.kernel_boot, self._wall[key], last, json.dumps(self._open[key].to_json()))
            for key in self._touched
        ]
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        db.conn.executemany(f"INSERT OR REPLACE INTO open_rollups ({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608 - constants
        self._touched.clear()

    def ended(self, moment: Moment) -> bool:
        """Whether any minute has ended and waits to be sealed."""
        return any(key.minute < moment.monotonic_ns // MINUTE_NS for key in self._open)

    def sealed(self, db: Database, moment: Moment, *, closed: str) -> list[Draft]:
        """Take out what has ended (all, at a stop) as drafts; the rows go in the same transaction."""
        minute = moment.monotonic_ns // MINUTE_NS
        keys = [key for key in self._open if closed == "stop" or key.minute < minute]
        drafts = []
        for key in keys:
            counts = self._open.pop(key).to_json()
            body = rollup_body(moment.to_json(), key, counts, minute=self._wall.pop(key), closed=closed)
            drafts.append(Draft("rollups", self._new_id(), self._origin, body))
            self._touched.discard(key)
            _delete(db, key)
        return drafts

    def left_open(self, db: Database) -> list[Draft]:
        """Take out the rows that an earlier process left behind, as drafts of that process."""
        drafts = []
        for row in db.query(f"SELECT {_COLUMNS} FROM open_rollups ORDER BY minute"):  # noqa: S608 - constants
            key = RollupKey(*(row[name] for name in RollupKey.__slots__))
            if key.boot == self._origin.boot:
                continue
            body = rollup_body(
                json.loads(row["last"]), key, json.loads(row["counts"]), minute=row["wall_minute"], closed="restart"
            )
            origin = Origin(self._origin.site, self._origin.device, key.boot, row["kernel_boot"])
            drafts.append(Draft("rollups", self._new_id(), origin, body))
            _delete(db, key)
        return drafts

    def forget(self, db: Database) -> None:
        """After a rollback: take over what the rows say."""
        self._touched.clear()
        self._open.clear()
        for row in db.query(f"SELECT {_COLUMNS} FROM open_rollups WHERE boot = ?", [self._origin.boot]):  # noqa: S608 - constants
            key = RollupKey(*(row[name] for name in RollupKey.__slots__))
            self._open[key] = Rollup()
            self._open[key].merge(json.loads(row["counts"]))
            self._wall[key] = row["wall_minute"]


def minute_text(wall: datetime) -> str:
    """The minute that a moment lies in, as text: ``2026-11-22T09:00:00Z``."""
    return wall.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:00Z")


def _identity(key: RollupKey) -> tuple[Any, ...]:
    return (key.boot, key.camera, key.engine, key.engine_digest, key.runtime, key.role, key.minute)


def _delete(db: Database, key: RollupKey) -> None:
    db.conn.execute(
        "DELETE FROM open_rollups WHERE boot = ? AND camera = ? AND engine_digest = ? AND role = ? AND minute = ?",
        (key.boot, key.camera, key.engine_digest, key.role, key.minute),
    )
