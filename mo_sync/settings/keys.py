"""Every key that a configuration may hold, told from the model: its name, what is allowed, what it is when not set.

The loader asks here what a name means and which known name is nearest; the reference page lists it all.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from mo_sync.settings.model import Settings
from mo_sync.settings.units import LONGEST_S, duration, duration_text, size, size_text, type_pattern

__all__ = ["ANY_ID", "PREFIX", "TYPES", "Key", "Name", "dotted", "find", "is_section", "keys", "nearest", "sections"]

PREFIX = "MO_SYNC_"
ANY_ID = "<ID>"
"""Stands for the name that the operator gives, as in ``applications.<ID>.token``."""

Name = tuple[str, ...]
"""A key's place in the tree: ``("gateway", "token")``."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``kind`` is what its value is, ``allowed`` says so in words, ``default`` is as one would write it."""

    name: Name
    kind: Literal["duration", "size", "path", "secret", "choice", "whole", "number", "switch", "text", "list", "table"]
    allowed: str
    default: object
    meaning: str
    example: str | None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + "__".join(part if part == ANY_ID else part.upper() for part in self.name)

    @property
    def allowed_at_length(self) -> str:
        """What is allowed, with examples of how it is written."""
        noun, comma, bounds = self.allowed.partition(", ")
        return noun + _EXAMPLES.get(self.kind, "") + comma + bounds

    @property
    def allowed_in_entry(self) -> str:
        """What one entry of a table may be."""
        return f"a size{_EXAMPLES['size']}" if self.allowed == _SIZES else self.allowed.removeprefix("a table of ")

    @property
    def default_text(self) -> str:
        """The default as TOML, empty when there is none."""
        return self.shown(self.default)

    def shown(self, value: object) -> str:
        """``value`` as TOML would have it, with its unit; empty for None."""
        match self.kind, value:
            case _, None:
                return ""
            case "duration", int() | float():
                return f'"{duration_text(value)}"'
            case "size", int():
                return f'"{size_text(value)}"'
            case "table", Mapping() if self.allowed == _SIZES:
                return _toml({entry: size_text(count) for entry, count in value.items()})
            case _:
                return _toml(value)


def dotted(name: Name) -> str:
    """The name as people write it, and as TOML has it: ``gateway.token``."""
    return ".".join(name)


@cache
def keys() -> Mapping[Name, Key]:
    """Every key, in the order of the model."""
    return {key.name: key for key in _keys_of(Settings, ())}


@cache
def sections() -> Mapping[Name, type[BaseModel]]:
    """Every section, ``applications.<ID>`` included."""
    return {(): Settings, **dict(_sections_of(Settings, ()))}


def find(name: Name) -> Key | None:
    """What ``name`` means: a key, or an entry of a key that is a table (``limits.scan_status.OK``). None if nothing."""
    pattern = _pattern(name)
    found = keys().get(pattern)
    if found is None and keys().get(pattern[:-1]) and keys()[pattern[:-1]].kind == "table":
        return keys()[pattern[:-1]]
    return found


def is_section(name: Name) -> bool:
    """Whether ``name`` is a section, one application's included, or the table of all applications."""
    pattern = _pattern(name)
    return pattern in sections() or any(known[: len(pattern)] == pattern for known in sections())


def nearest(name: Name) -> str | None:
    """The known name that ``name`` was most likely meant to be, if any is like it. What the key is called counts most.

    >>> nearest(("gateway", "tokn")), nearest(("gateway", "workers")), nearest(("colour",))
    ('gateway.token', 'sync.workers', None)
    """
    given_id = name[1] if len(name) > 1 and name[0] == "applications" else ANY_ID
    known = [tuple(given_id if part == ANY_ID else part for part in key) for key in (*keys(), *sections()) if key]
    # Whoever left out the application did not mean one.
    meant = [candidate for candidate in known if ANY_ID not in candidate or len(name) == len(candidate)]
    likeness, best = max((_likeness(name, candidate), candidate) for candidate in meant)
    return dotted(best) if likeness > 0.7 else None


def _likeness(name: Name, candidate: Name) -> float:
    if (len(name) == 1) != (len(candidate) == 1):
        return 0.0
    first, last = (_ratio(name[place], candidate[place]) for place in (0, -1))
    return (first + 2 * last) / 3


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.lower(), other).ratio()


def _pattern(name: Name) -> Name:
    if len(name) > 1 and name[0] == "applications":
        return ("applications", ANY_ID, *name[2:])
    return name


def _sections_of(model: type[BaseModel], above: Name) -> list[tuple[Name, type[BaseModel]]]:
    found: list[tuple[Name, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            place = (*above, name) if inner is field.annotation else (*above, name, ANY_ID)
            found += [(place, inner), *_sections_of(inner, place)]
    return found


def _keys_of(model: type[BaseModel], above: Name) -> list[Key]:
    found: list[Key] = []
    for section, inner in [((), model), *_sections_of(model, above)]:
        for name, field in inner.model_fields.items():
            if _model_in(field.annotation) is None:
                found.append(_key((*section, name), field))
    return found


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The section that a field holds, itself or by name."""
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _key(name: Name, field: FieldInfo) -> Key:
    kind, words = _kind(field)
    example = next(iter(field.examples or ()), None)
    return Key(name, kind, words + _bounds(field, kind), field.get_default(), field.description or "", example)


_SIZES = "a table of sizes"
TYPES = 'content types or patterns like "image/*"'
"""What stands where content types are asked for."""
_EXAMPLES = {"duration": ' like "500ms", "3s", "15m", "2h" or "30d"', "size": ' like "20MB", "1MiB" or "5GB"'}
_KINDS: Mapping[type, tuple[Any, str]] = {
    SecretStr: ("secret", "a secret"),
    Path: ("path", "a path"),
    bool: ("switch", "true or false"),
    int: ("whole", "a whole number"),
    float: ("number", "a number"),
    str: ("text", "a text"),
}


def _kind(field: FieldInfo) -> tuple[Any, str]:
    readers = [getattr(note, "func", None) for note in _notes(field)]
    if duration in readers:
        return "duration", "a duration"
    if size in readers:
        return "size", "a size"
    wanted = _without_none(field.annotation)
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return "choice", _choices(wanted)
    if origin is tuple:
        return "list", f"a list of {TYPES}" if _read_by(typing.get_args(wanted)[0], type_pattern) else "a list of texts"
    if origin is dict:
        entry = typing.get_args(wanted)[1]
        return "table", _SIZES if _read_by(entry, size) else f"a table of {_choices(entry)}"
    return _KINDS[typing.cast("type", wanted)]


def _notes(field: FieldInfo) -> list[object]:
    """How its values are read and bounded; of one that may be absent, how those are that are there."""
    inner = getattr(_without_none(field.annotation), "__metadata__", ())
    within = [note for one in inner for note in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return [*field.metadata, *within]


def _read_by(annotation: object, reader: object) -> bool:
    """Whether a value of this kind is read by ``reader``."""
    return any(getattr(note, "func", None) is reader for note in getattr(annotation, "__metadata__", ()))


def _choices(annotation: object) -> str:
    return " or ".join(f'"{choice}"' for choice in typing.get_args(annotation))


def _without_none(annotation: object) -> object:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation


def _bounds(field: FieldInfo, kind: str) -> str:
    """The limits in words; those that go without saying are left out."""
    lower: list[tuple[float, str]] = []
    upper: list[tuple[float, str]] = []
    for note in _notes(field):
        for name, word, side in (("gt", "more than", lower), ("ge", "at least", lower), ("le", "at most", upper)):
            if (limit := getattr(note, name, None)) is not None:
                side.append((limit, word))
    told = [max(lower, key=lambda bound: (bound[0], bound[1] == "more than"))] if lower else []
    told += [min(upper)] if upper else []
    spoken = [f"{word} {_limit(limit, kind)}" for limit, word in told if (limit, word) not in _UNSPOKEN]
    return f", {' and '.join(spoken)}" if spoken else ""


_UNSPOKEN = ((LONGEST_S, "at most"),)


def _limit(limit: float, kind: str) -> str:
    if kind == "duration":
        return duration_text(limit) if limit else "0"
    return size_text(int(limit)) if kind == "size" else f"{limit:,}"


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case Mapping():
            entries = [f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()]
            return "{ " + ", ".join(entries) + " }" if entries else "{}"
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            return _quoted(str(value))


def _toml_key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04X}" for char in escaped) + '"'
