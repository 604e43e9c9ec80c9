"""Whose inboxes there are to look into: one for each token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mo_sync.events import UNKNOWN_APPLICATION
from mo_sync.ledger.holdings import Owners
from mo_sync.settings import Application, Gateway, Settings

__all__ = ["Scope", "scopes_of"]

_GATEWAY: Final = "gateway"


@dataclass(frozen=True, slots=True)
class Scope:
    """One inbox. ``application_id`` is whose token opens it; of the gateway's own token it is ``unknown``.

    ``owners`` says which applications' messages in it are wanted.
    """

    name: str
    application_id: str
    owners: Owners


def scopes_of(settings: Settings) -> list[Scope]:
    """An inbox for each application with a token of its own, and one for all that share the gateway's."""
    own = sorted(name for name, one in settings.applications.items() if _has_token(one))
    found = [Scope(name, name, Owners(only=name)) for name in own]
    if _has_token(settings.gateway):
        found.append(Scope(_GATEWAY, UNKNOWN_APPLICATION, Owners(but=frozenset(own))))
    return found


def chosen(settings: Settings, application_id: str | None) -> list[Scope]:
    """All of them; or the one that the messages of ``application_id`` lie in, and of it these alone."""
    found = scopes_of(settings)
    if application_id is None:
        return found
    named = {scope.name: scope for scope in found}
    scope = named.get(application_id) or named.get(_GATEWAY)
    return [replace(scope, owners=Owners(only=application_id))] if scope is not None else []


def _has_token(section: Gateway | Application) -> bool:
    return section.token is not None or section.token_file is not None
