"""From ``store.url`` to a store."""

from __future__ import annotations

from mo_sync import settings
from mo_sync.settings.paths import folder_of
from mo_sync.store.base import Readable, Store
from mo_sync.store.local import LocalStore
from mo_sync.store.reading import LocalReader

__all__ = ["open_for_reading", "open_store"]


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
