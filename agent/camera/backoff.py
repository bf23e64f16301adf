"""How long a failed camera rests before it is tried again."""


def delay_s(attempt: int, draw: float, *, first: float = 0.5, longest: float) -> float:
    """Seconds to wait before the next attempt: full jitter over an exponential ceiling.

    Cameras that lost the same switch come back spread out instead of all at once. Source of the formula:
    M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), "full jitter".

    Args:
        attempt: How many attempts in a row have failed before this one: 0, 1, 2, ...
        draw: A uniform random number, 0..1.
        first: Ceiling of the first wait, seconds.
        longest: Ceiling that no wait exceeds, seconds.

    Returns:
        ``draw * min(longest, first * 2**attempt)``.
    """
    return draw * min(longest, first * 2.0 ** min(attempt, 60))
