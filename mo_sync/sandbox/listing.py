"""Lists as the API gives them: filters by field, ranges of dates, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mo_sync.sandbox.answers import Refusal, scg_error

__all__ = ["ListRules", "page"]

_PAGING: Final = frozenset({"offset", "limit", "sort"})


@dataclass(frozen=True, slots=True)
class ListRules:
    """How lists behave, for servers differ: the largest page, whether totals are told, which filters are ignored."""

    page_limit: int = 100
    totals: bool = True
    ignored_filters: frozenset[str] = frozenset()


def page(rows: Sequence[Mapping[str, object]], query: Mapping[str, str], rules: ListRules) -> dict[str, object]:
    """The rows that fit the query's filters, from ``offset`` on, ``limit`` at most. Raises :class:`Refusal` (4001)."""
    offset, limit = _number(query, "offset", 0), _number(query, "limit", rules.page_limit)
    filters = {
        name: wanted
        for name, wanted in query.items()
        if name not in _PAGING and name not in rules.ignored_filters and any(name in row for row in rows)
    }
    fitting = [row for row in rows if all(_fits(row.get(name), wanted) for name, wanted in filters.items())]
    limit = min(limit, rules.page_limit)
    answer: dict[str, object] = {"list": fitting[offset : offset + limit]}
    if rules.totals:
        answer |= {"total": len(fitting), "offset": offset, "limit": limit}
    return answer


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
        low, _, high = (part.strip() for part in wanted[1:-1].partition(","))
        moment = _moment(str(value))
        return (not low or _moment(low) <= moment) and (not high or moment <= _moment(high))
    if isinstance(value, list):
        return wanted in value
    return str(value) == wanted


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(scg_error(400, "4001", f"{text} is not a date")) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
