"""What is told of a ledger of which only parts could be recovered: no number is left unsaid."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from agent.ledger.gaps import EndedEpoch, NumberGap


def accounted(
    epoch: str,
    recovered: Sequence[int],
    *,
    prev_of: Callable[[int], str],
    top: tuple[int, str] | None,
    settled: int,
    unsettled: Sequence[int] | None,
) -> EndedEpoch:
    """Name every number of an ended epoch that will not come and may be missed.

    Args:
        epoch: The epoch.
        recovered: The numbers that there are of it, rising.
        prev_of: The ``prev`` of a recovered message.
        top: The last number that is known to have been given, and the sha256 of its bytes; None where none is known.
        settled: Every number up to this one was settled.
        unsettled: The numbers that were not settled, rising; None where that cannot be believed, so that each may be.

    Returns:
        The epoch with its holes. A hole reaches up to the next recovered message, whose ``prev`` tells the hash of
        its last number; so it may name numbers that a consumer has.
    """
    known = max(recovered[-1] if recovered else 0, top[0] if top else 0)
    if known == 0:
        return EndedEpoch(epoch, None)
    holes: list[NumberGap] = []
    upto = settled
    for seq in recovered[bisect_left(recovered, settled + 1) :]:
        if _missed(upto + 1, seq - 1, unsettled):
            holes.append(NumberGap(epoch, upto + 1, seq - 1, prev_of(seq)))
        upto = seq
    if top is not None and _missed(upto + 1, top[0], unsettled):
        holes.append(NumberGap(epoch, upto + 1, top[0], top[1]))
    return EndedEpoch(epoch, known, tuple(holes))


def _missed(first: int, last: int, unsettled: Sequence[int] | None) -> bool:
    """Whether a run holds a number that nobody may have."""
    if unsettled is None:
        return first <= last
    place = bisect_left(unsettled, first)
    return place < len(unsettled) and unsettled[place] <= last
