"""The tables as a page for people: ``docs/failures.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mo_sync.verdicts.kinds import MEANINGS
from mo_sync.verdicts.table import TABLE, TROUBLES, Ruling

__all__ = ["markdown"]

_ANSWERS = (
    "The first row that matches rules. A code is SCG's number, in whatever spelling it came; statuses and codes are "
    "regular expressions. From another host than the gateway (a redirect), hold and throttled become retry."
)


def markdown() -> str:
    """The page ``docs/failures.md``, made from the tables."""
    answers = [
        (row.step or "any", _shown(row.status), _shown(row.code), "yes" if row.asked else "", *_told(row.ruling))
        for row in TABLE
    ]
    parts = (
        "# What failures mean",
        "Made from the tables of `mo_sync/verdicts/` by `python -m mo_sync.verdicts`: change them there.",
        "## Verdicts",
        _grid(("verdict", "what is done"), [(f"`{verdict}`", text) for verdict, text in MEANINGS.items()]),
        "## Answers",
        _ANSWERS,
        _grid(("step", "status", "code", "names a time", "verdict", "meaning", "what to do"), answers),
        "## Troubles",
        "What keeps an answer from being had, or from being usable.",
        _grid(
            ("trouble", "verdict", "meaning", "what to do"),
            [(f"`{trouble}`", *_told(ruling)) for trouble, ruling in TROUBLES.items()],
        ),
    )
    return "\n\n".join(parts) + "\n"


def _told(ruling: Ruling) -> tuple[str, str, str]:
    return f"`{ruling.verdict}`", ruling.reason, ruling.advice


def _shown(pattern: str | None) -> str:
    match pattern:
        case None:
            return "any"
        case "":
            return "none"
        case _:
            return "`" + pattern.replace("|", "`, `") + "`"


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
