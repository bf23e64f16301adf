"""The alerts about the disk: when each begins, and when it is over."""

from typing import Final, Protocol

from agent.store.budget import MB, Quotas, Usage

CALM_S: Final = 3_600.0
"""Nothing had to make room for so long: the alert about it is over."""

ABOUT: Final = "store"


class Tell(Protocol):
    """Raises or clears an alert; telling the same twice says nothing new."""

    def __call__(
        self, code: str, *, about: str, text: str, figure: float | None = None, limit: float | None = None
    ) -> None:
        """Must not wait."""


class DiskAlerts:
    """Says what the disk is short of. For the threads ``retention`` and ``journal``.

    Args:
        quotas: What may be used.
        raised: Raises an alert.
        cleared: Clears one.
    """

    def __init__(self, quotas: Quotas, *, raised: Tell, cleared: Tell) -> None:
        self._quotas = quotas
        self._raised = raised
        self._cleared = cleared
        self._went_s: dict[str, float] = {}

    def low(self, usage: Usage, *, low: bool) -> None:
        """The disk is short of free space, or has enough."""
        tell = self._raised if low else self._cleared
        text = f"{usage.least_free / MB:,.0f} MB are free, {self._quotas.free / MB:,.0f} MB should be (store.free_mb). "
        text += "Look for what else fills the disk: du -xh / | sort -h | tail" if low else "There is room again."
        tell("disk-low", about=ABOUT, text=text, figure=usage.least_free, limit=self._quotas.free)

    def full(self, usage: Usage) -> None:
        """A commit found no room."""
        text = f"{usage.free / MB:,.1f} MB are free; a commit found no room. Inspection goes on, room is being made."
        self._raised("disk-full", about=ABOUT, text=text, figure=usage.free)

    def writable(self) -> None:
        """Commits find room again."""
        self._cleared("disk-full", about=ABOUT, text="Records are written again; what was lost is told by gaps.")

    def packs(self, usage: Usage) -> None:
        """The engine packs are within their quota, or not."""
        limit = self._quotas.packs
        tell = self._raised if 0 < limit < usage.packs else self._cleared
        text = f"The engine packs take {usage.packs / MB:,.0f} MB of {limit / MB:,.0f} MB (store.packs_mb)."
        tell("packs-over-quota", about=ABOUT, text=text, figure=usage.packs, limit=limit)

    def evicted(self, code: str, count: int, now_s: float) -> None:
        """Something that nobody else has had to make room.

        Args:
            code: ``evidence-evicted`` or ``ledger-evicted``.
            count: How many pictures or messages.
            now_s: Monotonic clock.
        """
        self._went_s[code] = now_s
        if code == "evidence-evicted":
            text = f"{count} pictures had to make room. Raise store.evidence_mb, or keep fewer (store.evidence)."
        else:
            text = f"{count} messages had to make room. Connect the broker, or raise store.database_mb."
        self._raised(code, about=ABOUT, text=text)

    def calm(self, now_s: float) -> None:
        """Clear what has not happened for a while."""
        for code, went_s in list(self._went_s.items()):
            if now_s - went_s > CALM_S:
                del self._went_s[code]
                self._cleared(code, about=ABOUT, text=f"Nothing had to make room for {CALM_S / 60:.0f} minutes.")
