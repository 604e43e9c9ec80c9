"""Where the files are kept."""

from mo_sync.store.address import open_for_reading, open_store
from mo_sync.store.base import Exchange, Occupied, Placed, Placement, Readable, Staged, Store
from mo_sync.store.local import LocalStore

__all__ = [
    "Exchange",
    "LocalStore",
    "Occupied",
    "Placed",
    "Placement",
    "Readable",
    "Staged",
    "Store",
    "open_for_reading",
    "open_store",
]
