"""The body of the `watch` thread: every period, one health message."""

import threading
from collections.abc import Callable, Mapping, Sequence

from agent.monitor.health import LineTotals, health_body, line_figures
from agent.monitor.sensors import Sensors


class Watch:
    """Reads the device and the line, and publishes what it found.

    `run` belongs to the thread `watch` and returns once `stop` is set. `step` does one round and may
    be called by a test instead; never both. All callables are called from that thread only, and must
    neither block nor raise: `publish` hands the body over, or drops it when nobody is connected.
    """

    def __init__(
        self,
        *,
        period_s: float,
        sensors: Sensors,
        line_totals: Callable[[], LineTotals],
        backlog: Callable[[], Mapping[str, int]],
        ledger: Callable[[], Mapping[str, object]],
        envelope: Callable[[], Mapping[str, object]],
        budget: Callable[[], Mapping[str, object] | None],
        bounds: Sequence[float],
        publish: Callable[[dict[str, object]], None],
        stop: threading.Event,
    ) -> None:
        """Remember the sources; the first window begins here.

        Args:
            period_s: Seconds between two messages.
            sensors: The device.
            line_totals: What the line has counted so far.
            backlog: What waits now, by where it waits.
            ledger: The ledger's facts, as in `up/status`.
            envelope: Site, device, boot and time of the message.
            budget: What the store uses of the disk.
            bounds: Upper bounds of the latency buckets, milliseconds.
            publish: Takes the body.
            stop: Ends `run`.
        """
        self._period_s = period_s
        self._sensors = sensors
        self._line_totals = line_totals
        self._backlog = backlog
        self._ledger = ledger
        self._envelope = envelope
        self._budget = budget
        self._bounds = bounds
        self._publish = publish
        self._stop = stop
        self._before = line_totals()

    def run(self) -> None:
        """Publish every period until `stop` is set; the first time after one period."""
        while not self._stop.wait(self._period_s):
            self.step()

    def step(self) -> None:
        """Read everything once and publish it."""
        now = self._line_totals()
        line = line_figures(self._before, now, bounds=self._bounds, backlog=self._backlog())
        self._before = now
        self._publish(
            health_body(
                envelope=self._envelope(),
                host=self._sensors.read(),
                line=line,
                ledger=self._ledger(),
                budget=self._budget(),
            )
        )
