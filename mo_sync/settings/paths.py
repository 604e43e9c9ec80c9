"""Where the settings put things on this machine's disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from mo_sync.errors import ConfigurationError
from mo_sync.settings.changes import values_of
from mo_sync.settings.keys import dotted
from mo_sync.settings.model import Settings

if TYPE_CHECKING:
    from mo_sync.settings.load import Loaded

__all__ = ["BESIDE", "CONFIGURATION", "folder_of", "ledger_file", "own_files"]

BESIDE: Final = ("-wal", "-shm", "-journal")
"""How the names of the files end that SQLite keeps beside its own, and without which that is damaged."""
CONFIGURATION: Final = "the configuration"
_FOLDERS: Final = {("drop", "path")}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")


def ledger_file(settings: Settings) -> Path | None:
    """The ledger's file, or None when a server keeps it.

    >>> ledger_file(Settings.model_validate({"ledger": {"url": "sqlite:////srv/ledger.db"}}))
    PosixPath('/srv/ledger.db')
    """
    scheme, _, path = settings.ledger.url.partition(":///")
    return Path(path.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" and path else None


def own_files(loaded: Loaded) -> dict[Path, str]:
    """The files without which mo-sync cannot work, be they there or not, and in words what each of them is: the
    ledger's, the configuration, and what the settings name, such as tokens and certificates."""
    files: dict[Path, str] = {}
    ledger = ledger_file(loaded.settings)
    if ledger is not None:
        files |= {ledger.with_name(ledger.name + end): f"the ledger's {end}" for end in BESIDE}
        files[ledger] = "the ledger itself"
    if loaded.path is not None:
        files[loaded.path] = CONFIGURATION
    for name, value in values_of(loaded.settings).items():
        if isinstance(value, Path) and name not in _FOLDERS:
            files[value] = f"the file of {dotted(name)}"
    return files


def folder_of(url: str) -> Path:
    """The folder that ``store.url`` means: a path, or a ``file:`` URL. Raises ConfigurationError.

    >>> folder_of("file:///srv/my%20media")
    PosixPath('/srv/my media')
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return _path(url, url)
    if scheme[1].lower() == "file":
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
            raise _no_store(url, "a file: URL names a folder of this machine, as in file:///srv/media")
        return _path(unquote(parts.path), url)
    if scheme[2] is None:
        return _path(url, url)  # a folder whose name holds a colon
    raise _no_store(url, f"{scheme[1].lower()}:// needs an object store, which this version does not have yet")


def _path(path: str, url: str) -> Path:
    if not path.strip() or "\0" in path:
        raise _no_store(url, "it names no folder")
    return Path(path)


def _no_store(url: str, summary: str) -> ConfigurationError:
    return ConfigurationError("store-url-invalid", summary, item=f"store.url = {url!r}", hint="give a folder")
