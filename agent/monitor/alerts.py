"""Which alerts stand: each is told once when its trouble begins and once when it is over."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from agent.inspection.frame import Moment
from agent.ledger.messages import ALERTS, alert_body


class Alerts:
    """The alerts of this process. Any thread; never waits.

    An alert is identified by its code and what it is about. Raising one that stands says nothing new, and so does
    clearing one that does not. After a restart nothing stands until it is raised again: `up/status` names what
    stands now.

    Args:
        put: Takes the body of one alert for the ledger; must not wait.
        now: The clock.
    """

    def __init__(self, *, put: Callable[[Mapping[str, Any]], None], now: Callable[[], Moment]) -> None:
        self._put = put
        self._now = now
        self._standing: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def raised(
        self, code: str, *, about: str, text: str, figure: float | None = None, limit: float | None = None
    ) -> None:
        """Trouble begins, or goes on.

        Args:
            code: One of ``ALERTS``.
            about: The camera, engine or part of the agent.
            text: What happened and what to do, for a person.
            figure: The value that crossed a limit, where there is one.
            limit: That limit.
        """
        self._tell(code, about=about, text=text, figure=figure, limit=limit, raised=True)

    def cleared(
        self, code: str, *, about: str, text: str, figure: float | None = None, limit: float | None = None
    ) -> None:
        """Trouble is over, if it stood."""
        self._tell(code, about=about, text=text, figure=figure, limit=limit, raised=False)

    def follow(self, code: str, about: str, trouble: str | None, *, over: str) -> None:
        """Raise with what the trouble is; clear, with ``over`` as the text, where there is none any more."""
        if trouble is None:
            self.cleared(code, about=about, text=over)
        else:
            self.raised(code, about=about, text=trouble)

    def standing(self) -> list[dict[str, Any]]:
        """Code, what it is about, severity, text and since when, of each alert that stands; for ``up/status``."""
        with self._lock:
            bodies = list(self._standing.values())
        return [
            {key: body[key] for key in ("code", "about", "severity", "text")} | {"since": body["at"]} for body in bodies
        ]

    def _tell(
        self, code: str, *, about: str, text: str, figure: float | None, limit: float | None, raised: bool
    ) -> None:
        severity, _meaning = ALERTS[code]
        body = alert_body(
            self._now(), code=code, severity=severity, raised=raised, about=about, text=text, figure=figure, limit=limit
        )
        with self._lock:
            if ((code, about) in self._standing) == raised:
                return
            if raised:
                self._standing[code, about] = body
            else:
                del self._standing[code, about]
        self._put(body)
