"""What we tell systemd, by the protocol of sd_notify(3): a datagram to the socket that ``NOTIFY_SOCKET`` names."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

__all__ = ["Systemd"]

_PATIENCE_S = 1.0


class Systemd:
    """The service manager, if there is one; else every word goes nowhere.

    ``watchdog_s`` is how often systemd wants a sign of life (None: never), from ``WATCHDOG_USEC``.
    """

    def __init__(self, environ: Mapping[str, str], *, pid: int) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ, pid)

    def ready(self, status: str) -> None:
        """The service is up."""
        self._tell(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._tell("WATCHDOG=1")

    def reloading(self, monotonic_s: float) -> None:
        """The settings are being read again; :meth:`ready` ends it. systemd wants the monotonic time of the start."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1_000_000)}")

    def stopping(self, status: str) -> None:
        """The service is on its way down."""
        self._tell(f"STOPPING=1\nSTATUS={status}")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A service manager that does not listen must not stop us, nor one that stands still while its queue is full.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.settimeout(_PATIENCE_S)
            notify.connect(self._address)
            notify.sendall(message.encode())


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1_000_000 if usec.isdecimal() and int(usec) else None
