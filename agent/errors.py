"""Everything the agent raises on purpose.

FieldgateError
  + UsageError              the command was called wrongly; exit 2
  + ConfigError             wrong settings; exit 78, a restart would not help
  + CameraError             no picture; the camera is retried and shown with its state
      - CorruptImage        one file cannot be decoded; it becomes an inconclusive record
  + EngineError
      - PackError           a pack's manifest, files and models do not fit together
      - InferenceError      one call of a model failed; the frame is inconclusive
  + StoreError              disk or database refused
      - SchemaTooNew        the database was written by a newer agent; exit 78
      - DamagedDatabase     the database's file is damaged; the daemon repairs it when it opens it
      - WriterBusy          another process holds the database's write lock
  + SyncError
      - BrokerRefused       the broker answered and said no
      - BadCommand          a command from outside is malformed, expired or not understood
  + ControlError            the daemon cannot be reached over its socket, or refused

Callers catch families. A message says what happened, where, and what to do.
"""


class FieldgateError(Exception):
    """Anything that the agent raises on purpose."""


class UsageError(FieldgateError):
    """A command was called with arguments that cannot work."""


class ConfigError(FieldgateError):
    """The settings are wrong; restarting with the same settings would fail again."""


class CameraError(FieldgateError):
    """A camera gives no picture now; it may later.

    Attributes:
        state: What the camera is shown as: ``offline``, ``no-frames`` or ``frozen``.
    """

    def __init__(self, message: str, *, state: str = "offline") -> None:
        super().__init__(message)
        self.state = state


class CorruptImage(CameraError):
    """A file exists and cannot be decoded as an image."""


class EngineError(FieldgateError):
    """An engine cannot be used."""


class PackError(EngineError):
    """An engine pack's manifest, files and models do not fit together."""


class InferenceError(EngineError):
    """A model failed on one frame, or answered with something that is not a number."""


class StoreError(FieldgateError):
    """The disk or the database refused."""


class SchemaTooNew(StoreError):
    """The database was written by a newer agent than this one."""


class DamagedDatabase(StoreError):
    """The database's file is there and damaged, or is no database."""


class WriterBusy(StoreError):
    """Another process holds the write lock of the database."""


class SyncError(FieldgateError):
    """The exchange with the broker failed."""


class BrokerRefused(SyncError):
    """The broker was reached and said no."""


class BadCommand(SyncError):
    """A command from outside is malformed, expired or not understood.

    Attributes:
        code: The reason code that the reply carries, such as ``expired``.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ControlError(FieldgateError):
    """The running daemon cannot be reached, or it refused the request."""


def in_words(error: BaseException) -> str:
    """What an error says to a technician: an operating system's without its number and file name."""
    return str(getattr(error, "strerror", None) or error)
