"""The long-running service: jobs, signals, the service manager."""

from mo_sync.daemon.daemon import Companion, Daemon
from mo_sync.daemon.systemd import Systemd

__all__ = ["Companion", "Daemon", "Systemd"]
