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
    Retention,
    Retry,
    Scan,
    Settings,
    Store,
    Sync,
    Verify,
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
    "Retention",
    "Retry",
    "Scan",
    "Settings",
    "Store",
    "Sync",
    "Verify",
]
