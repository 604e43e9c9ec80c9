"""Where the files are kept."""

from mo_sync.store.address import open_store
from mo_sync.store.base import Placed, Placement, Staged, Store
from mo_sync.store.local import LocalStore

__all__ = ["LocalStore", "Placed", "Placement", "Staged", "Store", "open_store"]
