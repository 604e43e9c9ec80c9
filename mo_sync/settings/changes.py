"""What differs between two loads of the settings, and what a running daemon can take over of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mo_sync.settings.keys import Name, dotted
from mo_sync.settings.model import Settings

__all__ = ["Changes", "changes", "reloadable", "values_of"]

_RELOADABLE = {"retry", "limits", "verify", "retention", "log"}
_WHO_MAY_POST = ("basic", "basic_file", "bearer", "bearer_file", "networks", "trusted_proxies", "anonymous")
# Both are handed to the feeds when they are made: a new event gets its deadline there, and its limit of size.
_NEEDS_RESTART = {("limits", "max_event"), ("retry", "give_up_after")}


@dataclass(frozen=True, slots=True)
class Changes:
    """The names of the settings that differ: those that a running daemon takes over, and those that it cannot."""

    reloadable: tuple[str, ...]
    needs_restart: tuple[str, ...]


def changes(old: Settings, new: Settings) -> Changes:
    """What differs between ``old`` and ``new``. Names only: a secret that changed is not shown."""
    before, after = values_of(old), values_of(new)
    differing = [name for name in before | after if before.get(name) != after.get(name)]
    return Changes(
        tuple(dotted(name) for name in differing if reloadable(name)),
        tuple(dotted(name) for name in differing if not reloadable(name)),
    )


def reloadable(name: Name) -> bool:
    """Whether a running daemon takes a change of ``name`` over (on SIGHUP)."""
    if name[0] == "relay":
        return name[-1] in _WHO_MAY_POST
    return name[0] in _RELOADABLE and name not in _NEEDS_RESTART


def values_of(settings: Settings) -> dict[Name, Any]:
    """Every value by its place, in the order of the model. Secrets are still masked by their type."""
    return dict(_values(settings, ()))


def _values(model: BaseModel, above: Name) -> Iterable[tuple[Name, Any]]:
    for field in type(model).model_fields:
        value = getattr(model, field)
        if isinstance(value, BaseModel):
            yield from _values(value, (*above, field))
        elif isinstance(model, Settings) and field == "applications":
            for identity, application in value.items():
                yield from _values(application, (field, identity))
        else:
            yield (*above, field), value
