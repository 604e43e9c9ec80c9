"""Tables of text; and, for a terminal that is too narrow for one, some lines for each row. Nothing is ever cut off."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Lines", "beneath", "laid_out", "side_by_side"]

_BETWEEN = "  "
_INDENT = "  "

Told = tuple[str, str]
"""The names of the columns, and the rows, as lines."""


@dataclass(frozen=True, slots=True)
class Lines:
    """How a row is told without a table, by the names of its columns.

    ``first`` are short, stand in its first line and are compared from one row to the next. ``texts`` are sentences and
    ``alone`` is what is copied: each of these has a line of its own, unfolded. Of all others the names are told too.
    """

    first: Sequence[str]
    texts: Sequence[str] = ()
    alone: Sequence[str] = ()


def laid_out(
    heads: Sequence[str],
    cells: Sequence[Sequence[str]],
    room: int | None,
    how: Lines | None = None,
    *,
    right: Collection[str] = (),
) -> Told:
    """A table where there is ``room`` for it (None: any), else some lines for each row, as ``how`` says; by default all
    but the last column stand in the first of them."""
    if room is None or _wide(_widths(heads, cells)) <= room:
        return side_by_side(heads, cells, right=right)
    return beneath(heads, cells, room, how or Lines(heads[:-1] or heads, heads[1:][-1:]), right=right)


def side_by_side(heads: Sequence[str], cells: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> Told:
    """A table, as wide as it must be; the columns that are named in ``right`` are set to the right.

    >>> print(*side_by_side(("name", "size"), [("a", "7"), ("bcdef", "1,200")], right={"size"}), sep="", end="")
    name    size
    a          7
    bcdef  1,200
    """
    widths = _widths(heads, cells)
    head, *lines = [_line(heads, row, widths, right) for row in (heads, *cells)]
    return head, "".join(lines)


def beneath(
    heads: Sequence[str], cells: Sequence[Sequence[str]], room: int, how: Lines, *, right: Collection[str] = ()
) -> Told:
    """For each row some lines, folded between words: what is copied stays in one piece, however narrow the room is.

    >>> rows = [("A1", "failed", "M1", "the gateway answered 404")]
    >>> print(*beneath(("id", "state", "message", "why"), rows, 30, Lines(("id", "state"), ("why",))), sep="", end="")
    id  state
    A1  failed
      message M1: the gateway
      answered 404
    """
    rows = [dict(zip(heads, row, strict=True)) for row in cells]
    first = [[row[name] for name in how.first] for row in rows]
    head, *lines = _first_lines([how.first, *first], how.first, room, right)
    return head, "".join(line + _below(row, how, room) for line, row in zip(lines, rows, strict=True))


def _first_lines(
    rows: Sequence[Sequence[str]], names: Sequence[str], room: int, right: Collection[str]
) -> Iterator[str]:
    """One below the other; where not even these have room, what is first is alone in its line."""
    widths = _widths(rows[0], rows[1:])
    for row in rows:
        if _wide(widths) <= room:
            yield _line(names, row, widths, right)
        else:
            yield row[0] + "\n" + _folded(_BETWEEN.join(filter(None, row[1:])), room)


def _below(row: Mapping[str, str], how: Lines, room: int) -> str:
    named = [name for name in row if name not in (*how.first, *how.texts, *how.alone) and row[name]]
    about = _BETWEEN.join(f"{name} {row[name]}" for name in named)
    told = ": ".join(filter(None, [about, *(row[name] for name in how.texts)]))
    return _folded(told, room) + "".join(f"{_INDENT}{row[name]}\n" for name in how.alone if row[name])


def _folded(text: str, room: int) -> str:
    wrapped = textwrap.wrap(
        text,
        max(room, len(_INDENT) + 1),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"{line}\n" for line in wrapped)


def _line(names: Sequence[str], row: Sequence[str], widths: Sequence[int], right: Collection[str]) -> str:
    padded = []
    for name, cell, width in zip(names, row, widths, strict=True):
        blank = " " * (width - _width(cell))
        padded.append(blank + cell if name in right else cell + blank)
    return _BETWEEN.join(padded).rstrip() + "\n"


def _wide(widths: Sequence[int]) -> int:
    return sum(widths) + len(_BETWEEN) * (len(widths) - 1)


def _widths(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]


def _width(text: str) -> int:
    """How many places it takes: some letters take two, and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # a tenth of a second, that only those wait for who have such letters

    return cell_len(text)
