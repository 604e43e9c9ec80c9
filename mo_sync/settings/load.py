"""Settings from all their sources, read once: defaults < TOML file < environment < credentials.

    loaded = load(None, environ=os.environ, cwd=Path.cwd())
    loaded.settings.gateway.token_file, loaded.origins["gateway.token_file"]

Whatever is wrong is told at once, in one :class:`~mo_sync.settings.problems.SettingsInvalid`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mo_sync.settings import sources
from mo_sync.settings.addresses import wrong_addresses
from mo_sync.settings.changes import values_of
from mo_sync.settings.keys import Name, dotted, find, keys
from mo_sync.settings.model import Settings
from mo_sync.settings.problems import Given, Origin, Problem, SettingsInvalid, misplaced, not_allowed
from mo_sync.settings.refreshing import not_refreshable
from mo_sync.settings.secrets import credentials, said_twice, twin

__all__ = ["Loaded", "load"]

_DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, where each of them came from (by dotted name), and the file that was read, if any."""

    settings: Settings
    origins: Mapping[str, Origin]
    path: Path | None

    @property
    def configured(self) -> bool:
        """Whether anybody configured anything: by a file, a variable or a credential. How to log does not count."""
        return self.path is not None or any(
            origin.kind in ("environment", "credential")
            for name, origin in self.origins.items()
            if not name.startswith("log.")
        )


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    log_level: str | None = None,
    system_file: Path = sources.SYSTEM_FILE,
) -> Loaded:
    """Read the settings. ``path`` and ``log_level`` are what the command line says, and win.

    Paths in the result are absolute: one in the file begins at the file's folder, one in a variable at ``cwd``, and a
    default at the file's folder, or at ``cwd`` when there is no file. Raises ConfigurationError.
    """
    found = sources.find_file(path, environ, cwd, system_file=system_file)
    in_environment, wrong_variables = sources.environment(environ, cwd)
    handed_over, wrong_credentials = credentials(environ)
    layers = (sources.file(found) if found else {}, in_environment, handed_over, _command_line(log_level, cwd))
    problems = [*wrong_variables, *wrong_credentials]
    for layer in layers:
        problems += [*_misplaced(layer), *said_twice(layer)]
    given = _merged([_defaults(found.parent if found else cwd), *layers])
    settings, wrong_values = _validated(given)
    problems += [*wrong_values, *wrong_addresses(given)]
    if settings is None or problems:
        raise SettingsInvalid(problems)
    origins = _origins(settings, given)
    if unfit := list(not_refreshable(settings, origins)):
        raise SettingsInvalid(unfit)
    return Loaded(settings, origins, found)


def _command_line(log_level: str | None, cwd: Path) -> dict[Name, Given]:
    if log_level is None:
        return {}
    return {("log", "level"): Given(log_level, Origin("command line", "--log-level"), cwd)}


def _misplaced(layer: Mapping[Name, Given]) -> list[Problem]:
    return [problem for name, given in layer.items() if (problem := misplaced(name, given))]


def _defaults(base: Path) -> dict[Name, Given]:
    """The defaults that the model alone cannot give: places, which need a base, and tables, which are added to."""
    given: dict[Name, Given] = {}
    for name, key in keys().items():
        if name in _ANCHORS:
            given[name] = Given(key.default, _DEFAULT, base)
        elif key.kind == "table" and isinstance(key.default, Mapping):
            given |= {(*name, entry): Given(value, _DEFAULT, base) for entry, value in key.default.items()}
    return {name: replace(default, value=_anchored(name, default).value) for name, default in given.items()}


def _merged(layers: Iterable[Mapping[Name, Given]]) -> dict[Name, Given]:
    """Later layers win; giving a secret in one way takes away the other way of the layers before."""
    merged: dict[Name, Given] = {}
    for layer in layers:
        for name, given in layer.items():
            if misplaced(name, given) is None:
                merged.pop(twin(name) or (), None)
                merged.pop(name, None)  # so that the last to be given comes last
                merged[name] = _anchored(name, given)
    return merged


def _anchored(name: Name, given: Given) -> Given:
    """A relative path made absolute. What is no text, or an empty one, is left for the validation to refuse."""
    key = find(name)
    if key is None or not isinstance(given.value, str) or not given.value:
        return given
    if key.kind == "path":
        return replace(given, value=str(given.base / given.value))
    anchor = _ANCHORS.get(name)
    return replace(given, value=anchor(given.value, given.base)) if anchor else given


def _sqlite_url(url: str, base: Path) -> str:
    """``sqlite:///ledger.db`` is relative, ``sqlite:////srv/ledger.db`` is not; ``sqlite://`` is in memory."""
    scheme, found, rest = url.partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not found or not rest or rest.startswith((":memory:", "file:")):
        return url
    return f"{scheme}:///{base / rest}"


def _store_url(url: str, base: Path) -> str:
    return url if "://" in url or url.lower().startswith("file:") else str(base / url)


_ANCHORS: Mapping[Name, Callable[[str, Path], str]] = {("ledger", "url"): _sqlite_url, ("store", "url"): _store_url}


def _validated(given: Mapping[Name, Given]) -> tuple[Settings | None, list[Problem]]:
    switches = {name: problem for name, value in given.items() if (problem := _a_switch(name, value))}
    problems = list(switches.values())
    try:
        settings = Settings.model_validate(_tree({name: given[name] for name in given if name not in switches}))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return None, problems + [_worded(detail, given) for detail in details]
    return settings, problems


def _a_switch(name: Name, given: Given) -> Problem | None:
    """pydantic takes ``true`` for the number 1: nobody means that."""
    key = find(name)
    if key is None or key.kind == "switch" or not isinstance(given.value, bool):
        return None
    found = str(given.value).lower()
    return Problem(dotted(name), str(given.origin), f"found {found}, allowed is {key.allowed_at_length}")


def _worded(error: ErrorDetails, given: Mapping[Name, Given]) -> Problem:
    """An error of pydantic's, told about the key that was given: the error may lie within its value."""
    place = tuple(str(part) for part in error["loc"])
    name = max((known for known in given if known == place[: len(known)]), key=len, default=None)
    if name is None:
        return Problem(dotted(place), "not set", error["msg"])
    return not_allowed(error, name, given[name])


def _tree(given: Mapping[Name, Given]) -> dict[str, Any]:
    """The values as the model wants them: nested. What should be a table and is none stays, for the model to refuse."""
    tree: dict[str, Any] = {}
    for name in sorted(given, key=len):
        branch: Any = tree
        for part in name[:-1]:
            branch = branch.setdefault(part, {}) if isinstance(branch, dict) else None
        if isinstance(branch, dict):
            value = given[name].value
            branch[name[-1]] = {} if value == {} else value
    return tree


def _origins(settings: Settings, given: Mapping[Name, Given]) -> dict[str, Origin]:
    """Where every value came from. Of a table that several added to: the last of them."""
    origins: dict[str, Origin] = {}
    for name in values_of(settings):
        last = [value.origin for place, value in given.items() if place[: len(name)] == name]
        origins[dotted(name)] = last[-1] if last else _DEFAULT
    return origins
