"""How the agent logs: one line per event, JSON unless a person watches."""

import logging
import sys
from typing import TextIO

import structlog

from agent.secret import conceal


def set_up(level: str, to: TextIO | None = None) -> None:
    """Choose the form once, before the first line: readable at a terminal, JSON under systemd and in a file.

    No line holds a secret that this process has read.

    Args:
        level: The least important level that is written.
        to: Where lines go; None: standard error.
    """
    to = sys.stderr if to is None else to
    readable = to.isatty()
    renderer = structlog.dev.ConsoleRenderer(pad_event_to=0) if readable else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
            lambda _logger, _name, line: conceal(str(line)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(to),
        cache_logger_on_first_use=False,
    )
