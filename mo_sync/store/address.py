"""From ``store.url`` to a store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mo_sync import settings
from mo_sync.errors import ConfigurationError
from mo_sync.store.base import Readable, Store
from mo_sync.store.local import LocalStore
from mo_sync.store.reading import LocalReader

__all__ = ["folder_of", "free_bytes", "open_for_reading", "open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")


def open_store(store: settings.Store, worker: str) -> Store:
    """The store that the settings name, ready to be written to under the name of ``worker``.

    Raises ConfigurationError for an address that is none, StoreOutOfReach when it cannot be written now.
    """
    return LocalStore(folder_of(store.url), worker)


def open_for_reading(store: settings.Store) -> Readable:
    """The store that the settings name, for who only looks into it: nothing is made there, and need be there.

    Raises ConfigurationError for an address that is none.
    """
    return LocalReader(folder_of(store.url))


def free_bytes(store: settings.Store) -> int | None:
    """How much may still be written there, for who only wants to know; None when that cannot be told.

    Nothing is made there. Raises ConfigurationError for an address that is none.
    """
    try:
        found = os.statvfs(folder_of(store.url))
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def folder_of(url: str) -> Path:
    """The folder that ``url`` means: a path, or a ``file:`` URL. Raises ConfigurationError.

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
