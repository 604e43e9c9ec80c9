"""What ``gateway.refresh`` needs: a token in a file that can be replaced, and the consumer key and secret to its name.

A new token that could not be kept would be lost with the process, and the old one is dead by then: so a token that
stands in the settings themselves, or that systemd hands over as a read-only copy, cannot be refreshed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mo_sync.settings.model import Application, Gateway, Settings
from mo_sync.settings.problems import Origin, Problem

__all__ = ["not_refreshable"]

_CONSUMER = ("consumer_key", "consumer_secret")
_SWITCH = "gateway.refresh"
_FILE_HINT = "name a file that mo-sync's user may replace"


def not_refreshable(settings: Settings, origins: Mapping[str, Origin]) -> Iterator[Problem]:
    """Everything that keeps tokens from being refreshed although ``gateway.refresh`` asks for it."""
    if not settings.gateway.refresh:
        return
    sections: dict[str, Gateway | Application] = {"gateway": settings.gateway}
    sections |= {f"applications.{name}": application for name, application in settings.applications.items()}
    with_files = [name for name, section in sections.items() if section.token_file is not None]
    if not with_files:
        yield Problem(_SWITCH, str(origins[_SWITCH]), f"it needs gateway.token_file: {_FILE_HINT}")
    for name, section in sections.items():
        yield from _unwritable(name, section, origins)
        if section.token_file is not None:
            yield from _without_consumer(name, section, settings.gateway)
        elif isinstance(section, Application):
            yield from _without_token(name, section, origins)


def _unwritable(name: str, section: Gateway | Application, origins: Mapping[str, Origin]) -> Iterator[Problem]:
    if section.token is not None:
        place = str(origins[f"{name}.token"])
        yield Problem(f"{name}.token", place, f"{_SWITCH} needs {name}.token_file instead: {_FILE_HINT}")
    origin = origins[f"{name}.token_file"]
    if origin.kind == "credential":
        message = f"{_SWITCH} cannot replace a credential of systemd's, a read-only copy: {_FILE_HINT}"
        yield Problem(f"{name}.token_file", str(origin), message)


def _without_consumer(name: str, section: Gateway | Application, gateway: Gateway) -> Iterator[Problem]:
    """Key and secret are one pair: an application has both of its own, or uses the gateway's."""
    own = [part for part in _CONSUMER if _given(section, part)]
    holder = section if own or section is gateway else gateway
    place = name if own or section is gateway else "gateway"
    for part in _CONSUMER:
        if not _given(holder, part):
            yield Problem(f"{place}.{part}_file", "not set", f"{_SWITCH} needs it for {name}.token_file")


def _without_token(name: str, section: Application, origins: Mapping[str, Origin]) -> Iterator[Problem]:
    for part in _CONSUMER:
        if _given(section, part):
            origin = origins[f"{name}.{part}"] if getattr(section, part) else origins[f"{name}.{part}_file"]
            yield Problem(f"{name}.{part}", str(origin), f"it is of no use without {name}.token_file")


def _given(section: Gateway | Application, part: str) -> bool:
    return getattr(section, part) is not None or getattr(section, f"{part}_file") is not None
