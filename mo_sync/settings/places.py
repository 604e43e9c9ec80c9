"""Where each key stands in a TOML file: tomllib tells values, but no lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

__all__ = ["flat", "lines_of"]

_HEADER = re.compile(r"\s*\[")


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """The line (from 1) on which each key and each table of a valid TOML ``text`` begins.

    >>> lines_of('[gateway]\\ntoken = "x"\\n')
    {('gateway',): 1, ('gateway', 'token'): 2}
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for line, statement, tree in _statements(text):
        if _HEADER.match(statement):
            table = _header_of(tree)
            found.setdefault(table, line)
        else:
            for name in _names(tree):
                found.setdefault(table + name, line)
    return found


def flat(tree: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every leaf of a tree of tables with its place. An empty table is a leaf, or it would go unnoticed.

    >>> dict(flat({"gateway": {"token": "x"}, "drop": {}}))
    {('gateway', 'token'): 'x', ('drop',): {}}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, (*above, key))
        else:
            yield (*above, key), value


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Each statement with its first line. It ends where what was read since the last one is TOML for the first time."""
    begun, so_far = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        so_far += line + "\n"
        try:
            tree = tomllib.loads(so_far)
        except tomllib.TOMLDecodeError:
            continue
        if tree:
            yield begun, so_far, tree
        begun, so_far = number + 1, ""


def _header_of(tree: object) -> tuple[str, ...]:
    """The name in a table's header, itself read as TOML: ``[a.b]`` is ``{"a": {"b": {}}}``, ``[[a]]`` a list of one."""
    name: tuple[str, ...] = ()
    while tree:
        if isinstance(tree, list):
            tree = tree[0]
        elif isinstance(tree, Mapping):
            [(key, tree)] = tree.items()
            name = (*name, key)
    return name


def _names(tree: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        yield (*above, key)
        if isinstance(value, Mapping):
            yield from _names(value, (*above, key))
