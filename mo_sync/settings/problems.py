"""What is wrong with a configuration: all of it at once, each with its place, what was found and what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic_core import ErrorDetails

from mo_sync.errors import ConfigurationError
from mo_sync.settings.keys import TYPES, Name, dotted, find, is_section, nearest

__all__ = ["MASK", "Given", "Origin", "Problem", "SettingsInvalid", "misplaced", "not_allowed", "without_password"]

MASK = "**********"
_LONGEST_SHOWN = 80
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; ``place`` is the file and line, the variable or the credential."""

    kind: Literal["default", "file", "environment", "credential", "command line"]
    place: str = ""

    def __str__(self) -> str:
        return self.place or self.kind


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a source gives it. A relative path in it begins at ``base``."""

    value: Any
    origin: Origin
    base: Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: of which key, where, and what. Holds no secret."""

    name: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.name} ({self.place}): {self.message}" if self.name else f"{self.place}: {self.message}"


class SettingsInvalid(ConfigurationError):
    """Everything that is wrong with the settings, as ``problems``."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            [only] = self.problems
            item = f"{only.name} ({only.place})" if only.name else only.place
            super().__init__("settings-invalid", only.message, item=item)
        else:
            listed = "".join(f"\n  {problem}" for problem in self.problems)
            super().__init__("settings-invalid", f"{len(self.problems)} settings are wrong:{listed}")


def misplaced(name: Name, given: Given) -> Problem | None:
    """The problem with a key that does not exist, or with a section that is none; None when ``name`` is a key.

    What stands under an unknown name is not shown: it may be a secret whose name was mistyped.
    """
    if find(name):
        return None
    if is_section(name):
        if given.value == {}:
            return None
        return Problem(dotted(name), str(given.origin), f"this is a section: write [{dotted(name)}] and keys below it")
    known = nearest(name)
    meant = f"; did you mean {known}?" if known else ""
    return Problem(dotted(name), str(given.origin), f"there is no such setting{meant}")


def not_allowed(error: ErrorDetails, name: Name, given: Given) -> Problem:
    """What pydantic found wrong with the value of ``name``, in the words of the settings."""
    key = find(name)
    if key is None:
        return Problem(dotted(name), str(given.origin), error["msg"])
    shown = MASK if key.kind == "secret" else _shown(given.value if error["loc"] == name else error["input"])
    # One entry of a table: what is allowed for it, not for the table.
    allowed = key.allowed_at_length if key.name == name else key.allowed_in_entry
    if error["loc"][-1:] == ("[key]",):
        allowed = TYPES
    return Problem(dotted(name), str(given.origin), f"found {shown}, allowed is {allowed}")


def without_password(text: str) -> str:
    """An address without the password in it.

    >>> without_password("postgresql://mo:geheim@db/ledger")
    'postgresql://mo:**********@db/ledger'
    """
    return _PASSWORD.sub(rf"\1{MASK}", text)


def _shown(value: object) -> str:
    text = without_password(json.dumps(value, default=str, ensure_ascii=False))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
