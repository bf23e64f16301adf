"""What the uplink asks of the store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.store.outbox import Outgoing


@dataclass(frozen=True, slots=True)
class Disk:
    """The outbox, as bound methods. Reading raises ``StoreError``; telling never waits.

    Attributes:
        unsettled: Unsettled messages of (lane, after, up to, limit), in order.
        newest: The highest place in the outbox, 0 if it is empty.
        settle: These places are acknowledged; the second argument is called after the commit, on any thread.
        bury: The broker refuses this place for good, and why.
        connected: A connection begins.
        sent_on: Bytes that were sent on a day.
        count: So many bytes more were sent on a day.
    """

    unsettled: Callable[[int, int, int, int], Sequence[Outgoing]]
    newest: Callable[[], int]
    settle: Callable[[Sequence[int], Callable[[], None]], None]
    bury: Callable[[int, str], None]
    connected: Callable[[], None]
    sent_on: Callable[[str], int]
    count: Callable[[str, int], None]
