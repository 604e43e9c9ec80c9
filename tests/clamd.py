"""Debian's real clamd on signatures of our own, which know EICAR; and one that misbehaves as it is told.

The test file of EICAR (eicar.org) is put together here, so that no scanner takes this source for infected.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tests.lacking import need

__all__ = ["EICAR", "Clamd", "Stub", "needs_clamd"]

EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*").encode()
_START_S = 60.0


def needs_clamd() -> None:
    """Leave the test out, loudly, where there is none."""
    need("clamd", package="clamav-daemon")


class Clamd:
    """A clamd with a socket of each kind, which can be killed, stopped and started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.socket = folder / "clamd.ctl"
        signatures = folder / "signatures"
        signatures.mkdir()
        (signatures / "test.ndb").write_text(f"Eicar-Test:0:*:{EICAR.hex()}\n")
        given = {
            "Foreground": "yes",
            "LocalSocket": str(self.socket),
            "TCPSocket": str(self.port),
            "TCPAddr": "127.0.0.1",
            "DatabaseDirectory": str(signatures),
            "TemporaryDirectory": str(folder),
            "LogFile": str(folder / "log"),
            "MaxThreads": "4",
            **settings,
        }
        (folder / "clamd.conf").write_text("".join(f"{name} {value}\n" for name, value in given.items()))

    @property
    def addresses(self) -> dict[str, str]:
        return {"unix": f"unix:{self.socket}", "tcp": f"tcp://127.0.0.1:{self.port}"}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["clamd", "--config-file", self._folder / "clamd.conf"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.sendall(b"nPING\n")
                if line.recv(9) == b"PONG\n":
                    return
            assert self._process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError(f"clamd does not answer after {_START_S} s")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, **settings: str) -> Iterator[Clamd]:
        """In a folder with a short name: that of a socket has at most 107 bytes."""
        folder = Path(tempfile.mkdtemp(prefix="clamd-", dir="/tmp"))
        clamd = cls(folder, **settings)
        try:
            clamd.start()
            yield clamd
        finally:
            clamd.kill()
            shutil.rmtree(folder)


class Stub:
    """A socket that speaks as clamd does, as ``answer`` tells it, for what no real clamd can be brought to do.

    ``answer`` gets a connection after a whole INSTREAM has been read from it (or at once, when ``early``).
    """

    def __init__(self, answer: Callable[[socket.socket], None], *, early: bool = False, pings: bool = True) -> None:
        self._answer = answer
        self._early = early
        self.pings = pings
        self.scans = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(line,), daemon=True).start()

    def _converse(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            command = b""
            while not command.endswith(b"\n"):
                command += line.recv(1)
            if command in (b"nPING\n", b"nVERSION\n"):
                if self.pings:
                    line.sendall(b"PONG\n" if command == b"nPING\n" else b"Stub 1\n")
                return
            self.scans += 1
            if not self._early:
                _swallow(line)
            self._answer(line)


def _swallow(line: socket.socket) -> None:
    with line.makefile("rb") as stream:
        while count := int.from_bytes(stream.read(4)):
            stream.read(count)
