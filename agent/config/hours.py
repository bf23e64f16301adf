"""Hours of the day as a person writes them: ``22:00-06:00, 12:00-13:00``."""

import re

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")

Span = tuple[int, int]
"""Minutes of the day at which it begins and ends; where it ends earlier than it begins, midnight lies in it."""


def spans_of(text: str) -> tuple[Span, ...]:
    """The spans in a text; none in an empty one.

    Raises:
        ValueError: It is not written like that.
    """
    spans = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        found = _SPAN.fullmatch(part)
        if found is None:
            raise ValueError("write hours as 22:00-06:00, several separated by commas")
        hour, minute, to_hour, to_minute = map(int, found.groups())
        spans.append((hour * 60 + minute, to_hour * 60 + to_minute))
    return tuple(spans)


def within(spans: tuple[Span, ...], minute: int) -> bool:
    """Whether a minute of the day lies in one of them; the end does not belong to a span. No spans: always."""
    return not spans or any(
        begin <= minute < end if begin < end else minute >= begin or minute < end for begin, end in spans
    )
