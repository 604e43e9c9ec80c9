"""What an operator may choose."""

from mo_sync.settings.model import (
    Application,
    Drop,
    Gateway,
    Ledger,
    Limits,
    Log,
    Metrics,
    OAuth,
    Relay,
    Retry,
    Scan,
    Settings,
    Store,
    Sync,
)

__all__ = [
    "Application",
    "Drop",
    "Gateway",
    "Ledger",
    "Limits",
    "Log",
    "Metrics",
    "OAuth",
    "Relay",
    "Retry",
    "Scan",
    "Settings",
    "Store",
    "Sync",
]
