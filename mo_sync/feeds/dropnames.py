"""The names of dropped files: any bytes but NUL and ``/``, up to 255 of them, chosen by anyone.

Inside the program they are ``str`` with surrogate escapes, as :func:`os.fsdecode` makes them.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

__all__ = ["ERROR_SUFFIX", "OWN_FOLDERS", "numbered", "shown", "takeable", "unpacked"]

OWN_FOLDERS = ("processing", "done", "rejected")
ERROR_SUFFIX = ".error.txt"

_UNFINISHED = (".tmp", ".part", ".swp", "~")
_NAME_MAX = 255
_LONGEST_SUFFIX = 32
_SURELY_FITS = (_NAME_MAX - len(ERROR_SUFFIX)) // 4


def takeable(name: str, pattern: str) -> bool:
    """Whether a file of this name is ours to take: not hidden, not a temporary or backup name, and as ``pattern`` says.

    >>> [takeable(name, "*.json") for name in ("a.json", ".a.json", "a.json.tmp", "a.JSON.part", "a.json~", "a.xml")]
    [True, False, False, False, False, False]
    """
    hidden = name.startswith(".") or name.lower().endswith(_UNFINISHED)
    return not hidden and name not in OWN_FOLDERS and fnmatchcase(name, pattern)


def numbered(name: str, number: int) -> str:
    """The name to try when ``number`` others are taken, with room left for :data:`ERROR_SUFFIX`.

    >>> numbered("a.json", 0), numbered("a.json", 1), numbered("a.ndjson.gz", 2)
    ('a.json', 'a.1.json', 'a.2.ndjson.gz')
    """
    if not number and len(name) <= _SURELY_FITS:
        return name
    stem, suffix = _split(name)
    if number:
        suffix = f".{number}{suffix}"
    return _shortened(stem, _NAME_MAX - len(ERROR_SUFFIX) - len(os.fsencode(suffix))) + suffix


def unpacked(name: str) -> str:
    """The name for what came out of a file of this name: without ``.gz``.

    >>> unpacked("a.ndjson.gz"), unpacked("a.json"), unpacked(".gz")
    ('a.ndjson', 'a.json', '.gz')
    """
    stem, suffix = _splitext(name)
    return stem if suffix.lower() == ".gz" else name


def shown(name: str) -> str:
    r"""The name as it may stand in a log line, a ledger column or a text: whatever is not printable is escaped.

    >>> shown("bill.json"), shown("a\nb"), shown("\udcff.json")
    ('bill.json', 'a\\nb', '\\udcff.json')
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def _splitext(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem else (name, "")


def _split(name: str) -> tuple[str, str]:
    stem, suffix = _splitext(name)
    if suffix.lower() == ".gz":
        stem, inner = _splitext(stem)
        suffix = inner + suffix
    return (name, "") if len(os.fsencode(suffix)) > _LONGEST_SUFFIX else (stem, suffix)


def _shortened(stem: str, room: int) -> str:
    """The beginning of ``stem`` that fits into ``room`` bytes; whole characters only."""
    if len(os.fsencode(stem)) <= room:
        return stem
    kept = stem[:room]
    while len(os.fsencode(kept)) > room:
        kept = kept[:-1]
    return kept
