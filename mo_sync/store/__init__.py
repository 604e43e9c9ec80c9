"""Where the files are kept."""

from mo_sync.store.address import open_store
from mo_sync.store.base import Exchange, Occupied, Placed, Placement, Staged, Store
from mo_sync.store.local import LocalStore

__all__ = [
    "Exchange",
    "LocalStore",
    "Occupied",
    "Placed",
    "Placement",
    "Staged",
    "Store",
    "open_store",
]
