"""The sources of settings, each read into the same form: a key's place, its value, and where it was given.

Read here rather than by pydantic-settings, whose sources ignore a mistyped section in the environment, fold the case of
names that operators give, do not say which variable or line is wrong, and take 60 ms to import.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from mo_sync.errors import ConfigurationError
from mo_sync.settings.keys import ANY_ID, PREFIX, Key, Name, dotted, find, keys
from mo_sync.settings.places import flat, lines_of
from mo_sync.settings.problems import Given, Origin, Problem

__all__ = ["FILE_NAME", "SYSTEM_FILE", "environment", "file", "find_file"]

FILE_NAME = "mo-sync.toml"
SYSTEM_FILE = Path("/etc/mo-sync/mo-sync.toml")

_AT = re.compile(r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")


def find_file(asked: Path | None, environ: Mapping[str, str], cwd: Path, *, system_file: Path) -> Path | None:
    """The configuration file: the one asked for, ``$MO_SYNC_CONFIG``, the current folder's, the machine's, or none.

    Raises ConfigurationError ``configuration-missing`` when one was asked for that is not there.
    """
    variable = environ.get("MO_SYNC_CONFIG")
    for path, by in ((asked, "--config"), (Path(variable) if variable else None, "MO_SYNC_CONFIG")):
        if path is not None:
            return _must_exist(cwd / path, by)
    return next((path for path in (cwd / FILE_NAME, system_file) if _is_there(path)), None)


def file(path: Path) -> dict[Name, Given]:
    """Every value in a TOML file. Relative paths in it begin at its folder.

    Raises ConfigurationError ``configuration-unreadable``, or ``configuration-syntax`` with line and column.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        leaves = dict(flat(tomllib.loads(text)))
    except OSError as error:
        hint = "name the file itself" if isinstance(error, IsADirectoryError) else "let this user read it"
        summary = f"the file cannot be read ({error.strerror})"
        raise ConfigurationError("configuration-unreadable", summary, item=str(path), hint=hint) from error
    except UnicodeDecodeError as error:
        item = f"{path}, byte {error.start + 1}"
        raise ConfigurationError("configuration-syntax", "TOML is written in UTF-8, this is not", item=item) from error
    except tomllib.TOMLDecodeError as error:
        raise _syntax(path, text, str(error)) from None
    lines = lines_of(text)
    origins = {name: Origin("file", _place(path, name, lines)) for name in leaves}
    return {name: Given(value, origins[name], path.parent) for name, value in leaves.items()}


def environment(environ: Mapping[str, str], cwd: Path) -> tuple[dict[Name, Given], list[Problem]]:
    """Every ``MO_SYNC_<SECTION>__<KEY>``, and what is wrong with them. Relative paths begin at the current folder.

    An empty variable counts as not set. One without ``__`` is no setting (Kubernetes makes ``MO_SYNC_PORT`` and the
    like for a service of that name), unless it is one of ours but for the second underscore.
    """
    given: dict[Name, Given] = {}
    problems: list[Problem] = []
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not text:
            continue
        origin = Origin("environment", variable)
        name = _named_by(variable)
        if name is None:
            problems += _mistyped(variable)
            continue
        try:
            value = _decoded(find(name), text)
        except ValueError as error:
            problems.append(Problem(dotted(name), str(origin), str(error)))
        else:
            given |= {leaf: Given(part, origin, cwd) for leaf, part in flat({name[-1]: value}, name[:-1])}
    return given, problems


def _is_there(path: Path) -> bool:
    """Whether there is a file, also one that this user may not look at: reading it will say so."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _must_exist(path: Path, by: str) -> Path:
    if _is_there(path):
        return path
    hint = "run mo-sync init to write one"
    raise ConfigurationError("configuration-missing", "the file does not exist", item=f"{by} {path}", hint=hint)


def _syntax(path: Path, text: str, message: str) -> ConfigurationError:
    """tomllib's words, with its position made part of the item and never with the line itself: it may hold a secret."""
    at = _AT.search(message)
    line = at["line"] if at and at["line"] else str(text.count("\n") + 1)
    column = f", column {at['column']}" if at and at["column"] else " (the end)"
    return ConfigurationError(
        "configuration-syntax",
        f"this is not TOML: {_AT.sub('', message).strip()}",
        item=f"{path}, line {line}{column}",
        hint='texts stand in "quotes", sections in [brackets], one key = value a line',
    )


def _place(path: Path, name: Name, lines: Mapping[Name, int]) -> str:
    line = next((lines[name[:length]] for length in range(len(name), 0, -1) if name[:length] in lines), None)
    return f"{path}, line {line}" if line else str(path)


def _named_by(variable: str) -> Name | None:
    """The key that a variable sets. Only names that operators give keep their letter case."""
    parts = variable[len(PREFIX) :].split("__")
    if len(parts) < 2:
        return None
    head, *rest = (part.lower() for part in parts)
    if head == "applications":
        return (head, parts[1], *rest[1:])
    table = find((head, rest[0]))
    return (head, rest[0], *parts[2:]) if table and table.kind == "table" else (head, *rest)


def _mistyped(variable: str) -> list[Problem]:
    """A variable that differs from one of ours only in how many underscores it has."""
    bare = variable.replace("_", "")
    known = [key.variable for name, key in keys().items() if ANY_ID not in name]
    meant = [variable for variable in known if variable.replace("_", "") == bare]
    return [Problem("", variable, f"there is no such variable; did you mean {other}?") for other in meant]


def _decoded(key: Key | None, text: str) -> object:
    """A variable's text as the kind of value that its key holds. Raises ValueError that says what is allowed."""
    if key is None or key.kind not in ("list", "table") or (key.kind == "table" and text[:1] != "{"):
        return text
    if key.kind == "list" and text[:1] != "[":
        return [part.strip() for part in text.split(",")]
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"found text that is not JSON, allowed is {key.allowed}, as JSON") from None
