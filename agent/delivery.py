"""What is decided about messages on their way out: settled, confirmed, refused for good, wanted again."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from agent.errors import BadCommand, StoreError
from agent.store.dead_letters import BuryEntry, DeadLettersEntry, Decision, count_dead
from agent.store.journal import Journal
from agent.store.outbox import kept, number_of_epoch
from agent.store.reader import Reader
from agent.store.settlements import AckEntry, AgainEntry, OverdueEntry, ReceiptEntry, SettleEntry

MOST_RUNS: Final = 100
"""Runs of numbers that a reply to ``replay`` names."""

_PATIENCE_S: Final = 5.0


class Delivery:
    """The outbox as the uplink, consumers and people change it. Any thread; only ``decide`` waits for the disk.

    Args:
        journal: Writes.
        reader: Reads.
        required: Consumers without whose receipt nothing is settled.
        overdue_s: A receipt may take so long; then the message is sent again on the next connection.
        raised: Raises an alert.
        cleared: Clears one.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        reader: Reader,
        required: Sequence[str],
        overdue_s: float,
        raised: Callable[..., None],
        cleared: Callable[..., None],
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._required = tuple(required)
        self._overdue = timedelta(seconds=overdue_s)
        self._raised = raised
        self._cleared = cleared
        self._reread: Callable[[], None] = lambda: None

    def attach(self, reread: Callable[[], None]) -> None:
        """Say whom to tell that something old is to be sent after all."""
        self._reread = reread

    def settle(self, places: Sequence[int], done: Callable[[], None]) -> None:
        """The broker has these messages; ``done`` is called after the commit."""
        self._journal.put(AckEntry(places, done) if self._required else SettleEntry(places, done))

    def bury(self, place: int, reason: str) -> None:
        """The broker refuses a message for good."""
        self._journal.put(BuryEntry(place, reason, self.look_at_the_dead))

    def connected(self) -> None:
        """A connection begins: what the broker had long ago and nobody has confirmed is sent again."""
        if self._required:
            self._journal.put(OverdueEntry(self._overdue, self._reread))

    def receipt(self, consumer: str, epoch: str, upto: int, done: Callable[[str | None], None]) -> None:
        """A consumer has stored everything up to a number; ``done`` hears why that was refused, or None."""
        self._journal.put(ReceiptEntry(consumer, epoch=epoch, upto=upto, required=self._required, done=done))

    def replay(self, args: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], None]) -> None:
        """Send messages again; ``answer`` hears how many, and which are not kept, on another thread.

        Args:
            args: ``epoch``, ``from`` and ``to``, checked.
            answer: Takes the result of the command.

        Raises:
            BadCommand: ``unknown-epoch``.
            StoreError: The database cannot be read.
        """
        epoch, first, last = args["epoch"], args["from"], args["to"]
        number = self._reader.ask(lambda db: number_of_epoch(db, epoch))
        if number is None:
            raise BadCommand(f"this device has had no epoch {epoch}", code="unknown-epoch")
        there = self._reader.ask(lambda db: kept(db, number, first, last))
        runs = runs_without(there, first, last)
        told = {
            "epoch": epoch,
            "from": first,
            "to": last,
            "not_kept": last - first + 1 - len(there),
            "not_kept_runs": [list(run) for run in runs[:MOST_RUNS]],
        }

        def done(again: int) -> None:
            answer({**told, "again": again})

        self._journal.put(AgainEntry(epoch_number=number, first=first, last=last, done=done))

    def decide(self, decision: Decision, *, give_up: bool) -> list[int]:
        """Send dead letters again, or give them up; their numbers, once that is on the disk.

        Raises:
            StoreError: The disk did not take it in time.
        """
        found: list[int] = []
        written = threading.Event()

        def done(seqs: list[int]) -> None:
            found.extend(seqs)
            written.set()

        self._journal.put(DeadLettersEntry(decision, give_up=give_up, done=done))
        if not written.wait(_PATIENCE_S):
            raise StoreError(f"what was decided was not written within {_PATIENCE_S:.0f} s; look at it again later")
        self.look_at_the_dead()
        self._reread()
        return found

    def look_at_the_dead(self) -> None:
        """Raise or clear the alert that says how many messages the broker refuses for good."""
        try:
            count = self._reader.ask(count_dead)
        except StoreError:
            return  # the alert can wait for a disk that can be read
        if count:
            text = f"the broker refuses {count} messages for good. See: fieldgate outbox show"
            self._raised("dead-letters", about="outbox", text=text, figure=float(count))
        else:
            self._cleared("dead-letters", about="outbox", text="no message is refused for good any more")


def runs_without(there: Sequence[int], first: int, last: int) -> list[tuple[int, int]]:
    """The runs of numbers from ``first`` to ``last`` that are not there; both ends of a run belong to it.

    Args:
        there: Numbers within those bounds, rising.
        first: The first number.
        last: The last number.
    """
    runs: list[tuple[int, int]] = []
    expected = first
    for number in [*there, last + 1]:
        if number > expected:
            runs.append((expected, number - 1))
        expected = number + 1
    return runs
