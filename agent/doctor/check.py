"""What a check is, what it finds, and in which order checks are run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from agent.doctor.installation import Installation

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"

EVERYWHERE: Final = ("",)
"""The subjects of a check that looks at the installation as a whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one check says about one subject.

    Attributes:
        result: ``ok``, ``warn``, ``fail`` or ``skipped``.
        seen: What was seen.
        cause: The likely cause; empty where nothing is wrong.
        fix: The command or edit that helps; empty where nothing is wrong.
    """

    result: str
    seen: str
    cause: str = ""
    fix: str = ""


def ok(seen: str) -> Answer:
    """Nothing is wrong."""
    return Answer(OK, seen)


def warn(seen: str, *, cause: str, fix: str) -> Answer:
    """It works, and somebody should look at it."""
    return Answer(WARN, seen, cause, fix)


def fail(seen: str, *, cause: str, fix: str) -> Answer:
    """It does not work."""
    return Answer(FAIL, seen, cause, fix)


def skip(seen: str) -> Answer:
    """It could not be looked at, or there is nothing to look at."""
    return Answer(SKIPPED, seen)


def everywhere(_installation: Installation) -> Sequence[str]:
    """One subject: the whole installation."""
    return EVERYWHERE


@dataclass(frozen=True, slots=True)
class Check:
    """One question to an installation.

    Attributes:
        code: Its stable name.
        title: The question that it answers, for people.
        run: Answers it for one subject.
        needs: Codes of checks that must not have failed for the same subject, or for the whole.
        subjects: The names that it is asked about; one empty name for the whole installation.
    """

    code: str
    title: str
    run: Callable[[Installation, str], Answer]
    needs: tuple[str, ...] = ()
    subjects: Callable[[Installation], Sequence[str]] = everywhere


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found about one subject.

    Attributes:
        code: The check's.
        title: The check's.
        about: The engine or camera; empty for the whole installation.
        answer: What it said.
    """

    code: str
    title: str
    about: str
    answer: Answer

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"code": self.code, "title": self.title, "about": self.about or None, **asdict(self.answer)}


def examine(installation: Installation, checks: Sequence[Check]) -> Iterator[Finding]:
    """Run checks in their order; one whose need has failed is skipped.

    Args:
        installation: What is looked at.
        checks: Each after those that it needs.

    Yields:
        What was found, as soon as it is.
    """
    answers: dict[tuple[str, str], Answer] = {}
    for check in checks:
        subjects = check.subjects(installation) if installation.settings is not None else EVERYWHERE
        for about in subjects:
            answer = _blocked(check, about, answers) or check.run(installation, about)
            answers[check.code, about] = answer
            yield Finding(check.code, check.title, about, answer)


def with_needs(code: str, checks: Sequence[Check]) -> list[Check]:
    """The check with this code and, before it, everything that it needs."""
    wanted = {code}
    for check in reversed(checks):
        if check.code in wanted:
            wanted.update(check.needs)
    return [check for check in checks if check.code in wanted]


def _blocked(check: Check, about: str, answers: dict[tuple[str, str], Answer]) -> Answer | None:
    for need in check.needs:
        before = answers.get((need, about)) or answers.get((need, ""))
        if before is None or before.result in {OK, WARN}:
            continue
        return skip(before.seen if before.result == SKIPPED else f"not tried, since {need} failed")
    return None
