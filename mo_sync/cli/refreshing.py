"""What ``mo-sync doctor`` looks at when tokens are refreshed. It asks for no new token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mo_sync.cli.checks import Check, Examined, of_error
from mo_sync.errors import MoSyncError
from mo_sync.gateway import Credentials
from mo_sync.gateway.tokenfile import room_beside
from mo_sync.settings import Application, Gateway

__all__ = ["refreshing"]


def refreshing(examined: Examined) -> Iterator[Check]:
    """With ``gateway.refresh``: consumer keys and secrets can be read, and each token's file can be replaced."""
    settings = examined.settings
    if not settings.gateway.refresh:
        return
    credentials = Credentials(settings.gateway, settings.applications)
    if settings.gateway.token_file:
        yield from _one("refresh", "", settings.gateway, credentials)
    for name, section in settings.applications.items():
        if section.token_file:
            yield from _one(f"refresh {name}", name, section, credentials)


def _one(check: str, application_id: str, section: Gateway | Application, credentials: Credentials) -> Iterator[Check]:
    try:
        credentials.refreshable(application_id)
    except MoSyncError as error:
        yield of_error(check, error)
        return
    yield _replaceable(check, section.token_file or Path())


def _replaceable(check: str, file: Path) -> Check:
    """Tried as a refresh does it: its folder must take a new file and give it the old one's name."""
    try:
        with room_beside(file):
            return Check(check, "ok", f"{file} can be replaced by a new token")
    except OSError as error:
        summary = f"{file} cannot be replaced: {error.strerror or error} ({file.parent})"
        return Check(check, "failed", summary, "let mo-sync's user write to its folder, or turn gateway.refresh off")
