"""The command ``evidence``: somebody at the centre wants a picture now, or wants it gone."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.errors import BadCommand, FieldgateError
from agent.store.pictures import KeptPicture, OrderEntry, picture_of
from agent.store.reader import Reader
from agent.store.transaction import Entry
from agent.sync.envelope import Command

Finish = Callable[[str, Mapping[str, Any] | FieldgateError], None]
"""Brings a command's id and its result, or why it failed."""

_GONE: Final = frozenset({"evicted", "erased", "erasing"})


class PictureDesk:
    """Takes orders and answers them: an order to send when it is in the queue, one to erase when the file is gone.

    Args:
        reader: The database.
        put: Hands an entry to the journal.
    """

    def __init__(self, *, reader: Reader, put: Callable[[Entry], None]) -> None:
        self._reader = reader
        self._put = put
        self._wake: Callable[[], None] = lambda: None
        self._finish: Finish = lambda _command, _answer: None
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, list[str]] = defaultdict(list)

    def attach(self, *, wake: Callable[[], None], finish: Finish) -> None:
        """Say whom to wake when an order is committed, and who brings the answer to a command."""
        self._wake = wake
        self._finish = finish

    def order(self, command: Command) -> Mapping[str, Any] | None:
        """Carry out one command; None where the answer comes later.

        Raises:
            BadCommand: There is no such picture, it is gone already, or it is under legal hold.
            StoreError: The database cannot be read.
        """
        record, action = command.args["record"], command.args["action"]
        picture = self._reader.ask(lambda db: picture_of(db, record))
        if picture is None:
            raise BadCommand(f"this device has no picture of a record {record}", code="unknown-record")
        if action == "erase":
            return self._erase(command, picture)
        if picture.state in _GONE:
            raise BadCommand(f"the picture is not here any more: {picture.state}", code="picture-gone")
        self._put(self._entry(command, picture, self._asked))
        return None

    def erased(self, record: str) -> None:
        """A picture's file is gone and that is committed: whoever ordered it hears of it. Any thread."""
        with self._lock:
            commands = self._waiting.pop(record, [])
        for command in commands:
            self._finish(command, {"record": record, "state": "erased"})

    def _erase(self, command: Command, picture: KeptPicture) -> Mapping[str, Any] | None:
        if picture.state == "erased":
            return {"record": picture.record, "state": "erased"}
        if picture.state == "evicted":
            raise BadCommand("the picture has made room already and is not here any more", code="picture-gone")
        if picture.held:
            raise BadCommand("the picture is under legal hold; release it first", code="held")
        with self._lock:
            self._waiting[picture.record].append(command.id)
        self._put(self._entry(command, picture, self._ordered))
        return None

    def _entry(self, command: Command, picture: KeptPicture, done: Callable[[OrderEntry], None]) -> OrderEntry:
        return OrderEntry(
            picture,
            command.args["action"],
            command=command.id,
            by=command.by,
            why=command.reason,
            way="mqtt",
            done=done,
        )

    # On the journal's thread.

    def _asked(self, order: OrderEntry) -> None:
        self._finish(order.command, {"record": order.picture.record, "state": "asked"})
        self._wake()

    def _ordered(self, order: OrderEntry) -> None:
        if order.changed or order.picture.state == "erasing":
            self._wake()
            return
        record = order.picture.record
        with self._lock:
            commands = self._waiting.pop(record, [])
        for command in commands:
            self._finish(command, BadCommand("the picture went, or came under legal hold, just now", code="held"))
