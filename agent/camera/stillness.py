"""Whether a live camera still sees: its sensor's noise makes every picture a little different."""

import numpy as np

from agent.inspection.frame import Image

_STRIDE = 16


class Stillness:
    """Measures for how long a camera has delivered bit for bit the same picture.

    Args:
        limit_s: Seconds after which the picture counts as frozen.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_ns = int(limit_s * 1e9)
        self._last: Image | None = None
        self._since_ns = 0
        self.suspect = False
        """Whether the picture was found frozen and no other one has come since."""

    def frozen(self, image: Image, now_ns: int) -> bool:
        """Take in one frame.

        Args:
            image: Shape (h, w, 3), uint8; kept until the next one, so nobody may write into it.
            now_ns: Monotonic time.

        Returns:
            True when the same picture has been seen for at least the limit; ``suspect`` stays set until a
            different picture comes.
        """
        if self._last is None or not _same(self._last, image):
            self._last, self._since_ns, self.suspect = image, now_ns, False
            return False
        self.suspect = self.suspect or now_ns - self._since_ns >= self._limit_ns
        return now_ns - self._since_ns >= self._limit_ns

    def reopened(self, now_ns: int) -> None:
        """Give a camera that was just opened the whole limit again to show another picture."""
        self._since_ns = now_ns


def _same(one: Image, other: Image) -> bool:
    """Bit-identical; a coarse sample answers first, since nearly all pictures differ there already."""
    if one.shape != other.shape:
        return False
    coarse = np.s_[::_STRIDE, ::_STRIDE]
    return np.array_equal(one[coarse], other[coarse]) and np.array_equal(one, other)
