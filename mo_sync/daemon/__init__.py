"""The long-running service: jobs, signals, the service manager."""

from mo_sync.daemon.companion import Companion
from mo_sync.daemon.daemon import Daemon
from mo_sync.daemon.systemd import Systemd

__all__ = ["Companion", "Daemon", "Systemd"]
