"""Tables of text: for a pipe, where nothing is cut off, and for a terminal, into which they must fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["aligned", "fitted"]

_BETWEEN: Final = 2
_LEAST_CUT: Final = 9


def aligned(heads: Sequence[str], cells: Sequence[Sequence[str]], *, right: Collection[int]) -> str:
    """As wide as it must be; the columns whose places are in ``right`` are set to the right.

    >>> print(aligned(("name", "size"), [("a", "7"), ("bcdef", "1,200")], right={1}), end="")
    name    size
    a          7
    bcdef  1,200
    """
    rows = [heads, *cells]
    widths = [max(_width(row[place]) for row in rows) for place in range(len(heads))]
    lines = []
    for row in rows:
        padded = []
        for place, cell in enumerate(row):
            blank = " " * (widths[place] - _width(cell))
            padded.append(blank + cell if place in right else cell + blank)
        lines.append((" " * _BETWEEN).join(padded).rstrip() + "\n")
    return "".join(lines)


def _width(text: str) -> int:
    """How many places it takes: some letters take two, and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # a tenth of a second, that only those wait for who have such letters

    return cell_len(text)


def fitted(
    heads: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    kept: Collection[int],
    right: Collection[int],
    console: Callable[[StringIO], Console],
) -> str:
    """For the terminal that ``console`` draws for. Where it is too narrow, columns are folded; or, when some are
    ``kept`` whole, all others are cut off, and lines are longer than the terminal if they must.

    It is drawn in memory: a closed pipe is the caller's to handle, and trailing blanks are nobody's.
    """
    from rich.console import ConsoleDimensions
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _BETWEEN, 0, 0), header_style="bold")
    overflow: Literal["fold", "ellipsis"] = "ellipsis" if kept else "fold"
    for place, head in enumerate(heads):
        longest = max((_width(row[place]) for row in cells), default=0)
        table.add_column(
            Text(head, no_wrap=bool(kept) or None, overflow=overflow),
            justify="right" if place in right else "left",
            overflow=overflow,
            no_wrap=place in kept,
            min_width=max(longest, len(head)) if place in kept else min(longest, _LEAST_CUT),
        )
    for row in cells:
        table.add_row(*(Text(cell, no_wrap=bool(kept) or None, overflow=overflow) for cell in row))
    page = StringIO()
    drawing = console(page)
    least = sum(column.min_width or 0 for column in table.columns) + _BETWEEN * len(heads)
    drawing.size = ConsoleDimensions(max(drawing.width, least if kept else 0), drawing.height)
    drawing.print(table)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())
