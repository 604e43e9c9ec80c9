"""Where the files are kept."""

from mo_sync.store.address import open_store
from mo_sync.store.base import Finding, Placed, Placement, Staged, Store
from mo_sync.store.local import LocalStore

__all__ = ["Finding", "LocalStore", "Placed", "Placement", "Staged", "Store", "open_store"]
