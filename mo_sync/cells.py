"""Text in a cell of a CSV, such that no spreadsheet runs it, and back again.

A spreadsheet takes text that begins like a formula for one, and what a stranger wrote must never be run: an apostrophe
makes it text (OWASP, CSV Injection). What began so already, behind an apostrophe of its own, gets one more, so that
what is read back is always what was written.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["read_back", "secured"]

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n]")


def secured(text: str) -> str:
    """``text`` as it stands in a cell.

    >>> secured("=1+1"), secured("'=1+1"), secured("'tis")
    ("'=1+1", "''=1+1", "'tis")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def read_back(cell: str) -> str:
    """The text that :func:`secured` made ``cell`` of.

    >>> read_back("'=1+1"), read_back("''=1+1"), read_back("'tis"), read_back("=1+1")
    ('=1+1', "'=1+1", "'tis", '=1+1')
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
