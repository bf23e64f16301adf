"""``run``: the daemon."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from agent.cli.options import DEFAULT_PATH, ConfigOption, read_config
from agent.errors import ConfigError, PackError

if TYPE_CHECKING:
    from agent.config import Config

LAST_RESORT_S = 4.5
"""So long after SIGTERM the process ends whatever hangs."""


def run(config: ConfigOption = DEFAULT_PATH) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    Example: fieldgate run --config /etc/fieldgate/config.toml
    """
    from agent import logs  # noqa: PLC0415 - --help does without

    stop = stop_on_signals()
    settings = read_config(config)
    logs.set_up(settings.monitor.log_level)
    end(run_daemon(settings, stop))


def run_daemon(settings: "Config", stop: threading.Event) -> int:
    """Build and run the agent; its exit code.

    Raises:
        ConfigError: The settings, or an engine pack that they name, cannot be used.
    """
    if not settings.cameras:
        raise ConfigError("there is no camera: add a [[cameras]] table to the config")
    from agent.crew import share_heaps  # noqa: PLC0415 - only the daemon has threads

    share_heaps()
    from agent.app import App  # noqa: PLC0415 - only the daemon needs all of it

    try:
        app = App(settings, stop=stop)
    except PackError as error:
        raise ConfigError(str(error)) from None
    return app.run()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. If nothing follows, the process ends anyway."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            guard = threading.Timer(LAST_RESORT_S, os._exit, args=(0,))
            guard.daemon = True
            guard.start()
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def end(code: int) -> NoReturn:
    """End the process now: threads that hang in a driver must not hold it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
