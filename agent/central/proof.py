"""What a consumer can prove of one ledger from what it holds. Pure: numbers and hashes in, a proof out.

A number is *received*, *explained* by a gap that says that it will never come, or *unexplained*. A ledger is complete
up to N when no number up to N is unexplained and the chain of hashes holds everywhere it can be checked.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.ledger.sealing import FIRST_PREV

Range = tuple[int, int]
"""A run of numbers; both ends belong to it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A received message's place in the chain.

    Attributes:
        seq: Its number, 1 and above.
        prev: What it says about the message before.
        sha256: Of its own bytes.
    """

    seq: int
    prev: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A gap of numbers: ``first`` to ``last`` will never come; ``last_sha256`` is that of the message ``last``."""

    first: int
    last: int
    last_sha256: str


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain does not hold.

    Attributes:
        seq: The message that does not fit.
        text: To what it does not fit.
    """

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Frontier:
    """How far a ledger is complete.

    Attributes:
        upto: Every number up to this one is received or explained; 0 where nothing is.
        sha256: Of the message with that number; None where only a longer gap covers it.
    """

    upto: int = 0
    sha256: str | None = FIRST_PREV


class Explained:
    """What was said about a ledger's numbers that never come.

    Args:
        gaps: Gaps of numbers, in any order; they may overlap.
        after: The last number that a device which could not carry the ledger on knew of it, 0 where it knew none;
            None while it is carried on. Numbers above will never come.
    """

    def __init__(self, gaps: Iterable[Missing] = (), after: int | None = None) -> None:
        self.after = after
        self._hashes: dict[int, set[str]] = {}
        runs: list[Range] = []
        for gap in sorted(gaps, key=lambda one: one.first):
            self._hashes.setdefault(gap.last, set()).add(gap.last_sha256)
            if runs and gap.first <= runs[-1][1] + 1:
                runs[-1] = (runs[-1][0], max(runs[-1][1], gap.last))
            else:
                runs.append((gap.first, gap.last))
        self._runs = runs
        self._firsts = [first for first, _ in runs]

    @property
    def top(self) -> int:
        """The highest number that is known to have existed from what was said; 0 where nothing was."""
        return max(self.after or 0, self._runs[-1][1] if self._runs else 0)

    def reach(self, number: int, limit: int) -> int:
        """The last number of the run from ``number`` to at most ``limit`` that is explained; below it: none is."""
        place = bisect_right(self._firsts, number) - 1
        reached = number - 1
        if place >= 0 and self._runs[place][1] >= number:
            reached = min(self._runs[place][1], limit)
        if self.after is not None and reached < limit and reached + 1 > self.after:
            reached = limit
        return reached

    def uncovered_until(self, number: int, limit: int) -> int:
        """The end of the run from ``number``, which is not explained, to at most ``limit`` of which nothing is."""
        place = bisect_right(self._firsts, number)
        ends = [limit]
        if place < len(self._firsts):
            ends.append(self._firsts[place] - 1)
        if self.after is not None:
            ends.append(self.after)
        return min(ends)

    def contradicts(self, link: Link) -> bool:
        """Whether a gap ends with this message and names another hash."""
        return any(told != link.sha256 for told in self._hashes.get(link.seq, ()))

    def sha256_of(self, number: int) -> str | None:
        """The hash of a message that never comes, where a gap names it."""
        told = self._hashes.get(number, set())
        return next(iter(told)) if len(told) == 1 else None


def misfit(link: Link, before: str | None, explained: Explained) -> Break | None:
    """Where a message does not fit to what is known of it and of the one before; None where nothing contradicts it."""
    if before is not None and link.prev != before:
        return Break(link.seq, f"its prev is not the sha256 of message {link.seq - 1}")
    if explained.contradicts(link):
        return Break(link.seq, "a gap that ends with it names another sha256")
    return None


def advance(frontier: Frontier, links: Iterable[Link], explained: Explained) -> Frontier:
    """Move on over what has been received or explained since.

    Args:
        frontier: How far it was complete.
        links: Received messages with numbers above it, rising; read only as far as needed.
        explained: Every gap that is known.
    """
    upto, sha256 = frontier.upto, frontier.sha256
    for link in links:
        if link.seq > upto + 1:
            reached = explained.reach(upto + 1, link.seq - 1)
            if reached < link.seq - 1:
                return _explained_to(reached, Frontier(upto, sha256), explained)
            upto, sha256 = reached, explained.sha256_of(reached)
        if misfit(link, sha256, explained):
            return Frontier(upto, sha256)
        upto, sha256 = link.seq, link.sha256
    return _explained_to(explained.reach(upto + 1, explained.top), Frontier(upto, sha256), explained)


def _explained_to(reached: int, before: Frontier, explained: Explained) -> Frontier:
    return Frontier(reached, explained.sha256_of(reached)) if reached > before.upto else before


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known about one ledger.

    Attributes:
        received: How many different messages.
        missing: How many numbers up to ``top`` were not received.
        explained: How many of those are covered by gaps.
        unexplained: The runs of those that are not.
        breaks: Where the chain does not hold.
        complete_up_to: Every number up to this one is received or explained, and the chain holds.
        top: The highest number that is known to exist.
    """

    received: int
    missing: int
    explained: int
    unexplained: tuple[Range, ...]
    breaks: tuple[Break, ...]
    complete_up_to: int
    top: int

    @property
    def holds(self) -> bool:
        """Whether nothing is unexplained and the chain holds."""
        return not self.unexplained and not self.breaks


def prove(links: Iterable[Link], explained: Explained, *, head: int = 0) -> Proof:
    """Prove a ledger from all that was received of it.

    Args:
        links: Every received message, numbers rising, none twice.
        explained: Every gap that is known.
        head: The highest number that the device has published as its head; 0 where none is known.
    """
    received, last = 0, 0
    before: str | None = FIRST_PREV
    holes: list[Range] = []
    breaks: list[Break] = []
    for link in links:
        if link.seq > last + 1:
            holes.append((last + 1, link.seq - 1))
            before = explained.sha256_of(link.seq - 1)
        if found := misfit(link, before, explained):
            breaks.append(found)
        received, last, before = received + 1, link.seq, link.sha256
    top = max(head, explained.top, last)
    if top > last:
        holes.append((last + 1, top))
    unexplained = tuple(run for hole in holes for run in _without_reason(hole, explained))
    missing = top - received
    first_trouble = min([one.seq for one in breaks] + [first for first, _ in unexplained], default=top + 1)
    return Proof(
        received=received,
        missing=missing,
        explained=missing - count(unexplained),
        unexplained=unexplained,
        breaks=tuple(breaks),
        complete_up_to=first_trouble - 1,
        top=top,
    )


def count(runs: Sequence[Range]) -> int:
    """How many numbers."""
    return sum(last - first + 1 for first, last in runs)


def _without_reason(hole: Range, explained: Explained) -> Iterator[Range]:
    """The parts of a hole that no gap covers."""
    number, last = hole
    while number <= last:
        number = max(number, explained.reach(number, last) + 1)
        if number > last:
            return
        end = explained.uncovered_until(number, last)
        yield number, end
        number = end + 1
