"""A connection to clamd that cannot hang, and that hears clamd's last words when it breaks off.

The conversation itself, its framing and its answers, is clamav-client's; facts about clamd are from clamd(8).
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final
from urllib.parse import urlsplit

from clamav_client.clamd import ClamdNetworkSocket, CommunicationError

__all__ = ["CONNECT_S", "Line"]

CONNECT_S: Final = 10.0
"""How long the making of a connection may take, in seconds."""


class Line(ClamdNetworkSocket):
    """One connection to clamd, by either kind of socket, that never waits for longer than it was told.

    The library's own does not limit the making of a connection over a Unix socket, and knows IPv4 only.
    """

    def __init__(self, address: str, timeout_s: float) -> None:
        split = urlsplit(address)
        super().__init__(split.hostname or split.path, split.port or 0, timeout_s)
        self._connect_s = min(timeout_s, CONNECT_S)
        self._unix = split.scheme == "unix"
        self._spare: socket.socket | None = None

    @property
    def made(self) -> bool:
        """Whether the connection came about."""
        return self._spare is not None

    def last_words(self) -> str:
        """What clamd said before it hung up on us, which the library does not read when sending failed."""
        with contextlib.suppress(OSError):
            if self._spare is not None:
                return self._spare.recv(4096).decode("utf-8", "replace").strip()
        return ""

    def hang_up(self) -> None:
        """From any thread: whatever waits on this connection, waits no longer."""
        with contextlib.suppress(OSError):
            if self._spare is not None:
                self._spare.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """Close what is left of it."""
        if self._spare is not None:
            self._spare.close()

    def _init_socket(self) -> None:
        try:
            self.clamd_socket = self._connected()
            self.clamd_socket.settimeout(self.timeout)
            self._spare = self.clamd_socket.dup()  # the library closes its own before anybody could look
        except OSError as error:
            raise CommunicationError(error.strerror or str(error)) from error

    def _close_socket(self) -> None:
        """The library closes what it did not get, too."""
        if self.made:
            super()._close_socket()

    def _connected(self) -> socket.socket:
        if not self._unix:
            return socket.create_connection((self.host, self.port), timeout=self._connect_s)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(self._connect_s)
            made.connect(self.host)
        except OSError:
            made.close()
            raise
        return made
