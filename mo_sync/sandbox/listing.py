"""Lists as the API gives them: filters by field, ranges of dates, pages; and lists as they should not be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from mo_sync.sandbox.answers import Refusal, scg_error
from mo_sync.sandbox.clock import Dice

__all__ = ["ListRules", "page", "range_of"]

_PAGING: Final = frozenset({"offset", "limit", "sort"})


@dataclass(frozen=True, slots=True)
class ListRules:
    """How lists behave, for servers differ: the largest page, whether totals are told, which filters are ignored.

    ``newest_first`` turns the order round; ``shuffled`` gives each answer an order of its own; ``uneven`` makes pages
    as short as the dice fall, though more follows; ``repeats`` is the share of a page that shows rows of the one
    before. ``unnamed``: rows name no attachments.
    """

    page_limit: int = 100
    totals: bool = True
    ignored_filters: frozenset[str] = frozenset()
    newest_first: bool = False
    shuffled: bool = False
    uneven: bool = False
    repeats: float = 0.0
    unnamed: bool = False


def page(
    rows: Sequence[Mapping[str, object]], query: Mapping[str, str], rules: ListRules, fall: Dice
) -> dict[str, object]:
    """The rows that fit the query's filters, from ``offset`` on, ``limit`` at most. Raises :class:`Refusal` (4001)."""
    offset, limit = _number(query, "offset", 0), _number(query, "limit", rules.page_limit)
    filters = {
        name: wanted
        for name, wanted in query.items()
        if name not in _PAGING and name not in rules.ignored_filters and any(name in row for row in rows)
    }
    fitting = [row for row in rows if all(_fits(row.get(name), wanted) for name, wanted in filters.items())]
    limit = min(limit, rules.page_limit)
    answer: dict[str, object] = {"list": _shown(fitting, offset, limit, rules, fall)}
    if rules.totals:
        answer |= {"total": len(fitting), "offset": offset, "limit": limit}
    return answer


def _shown(
    fitting: Sequence[Mapping[str, object]], offset: int, limit: int, rules: ListRules, fall: Dice
) -> list[Mapping[str, object]]:
    ordered = list(reversed(fitting)) if rules.newest_first else list(fitting)
    if rules.shuffled:
        fall.shuffle(ordered)
    size = fall.randint(1, limit) if rules.uneven and limit else limit
    shown = ordered[offset : offset + size]
    for place in range(len(shown)):
        if offset and fall.random() < rules.repeats:
            shown[place] = ordered[fall.randrange(max(0, offset - limit), offset)]
    if rules.unnamed:
        shown = [{name: value for name, value in row.items() if name != "attachments"} for row in shown]
    return shown


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    given = query.get(name, "") or str(default)
    if not given.isdecimal():
        raise Refusal(scg_error(400, "4001", f"{name} is not a number"))
    return int(given)


def _fits(value: object, wanted: str) -> bool:
    """Whether a field has the wanted value, or lies in the wanted range.

    >>> _fits("2026-01-01T10:00:00.000Z", "[2026-01-01T00:00:00.000Z,2026-01-02T00:00:00.000Z]")
    True
    """
    if wanted.startswith("[") and wanted.endswith("]"):
        low, high = range_of(wanted)
        moment = _moment(str(value))
        return (low is None or low <= moment) and (high is None or moment <= high)
    if isinstance(value, list):
        return wanted in value
    return str(value) == wanted


@lru_cache(maxsize=16)
def range_of(wanted: str) -> tuple[datetime | None, datetime | None]:
    """The ends of ``[low,high]``, of which either may be left out; neither for what is no range.

    Raises :class:`Refusal` (4001) for ends that are no dates.
    """
    if not (wanted.startswith("[") and wanted.endswith("]")):
        return None, None
    low, _, high = (part.strip() for part in wanted[1:-1].partition(","))
    return (_moment(low) if low else None), (_moment(high) if high else None)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(scg_error(400, "4001", f"{text} is not a date")) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
