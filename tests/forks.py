"""Processes of mo-sync that start in milliseconds: forks of one that has imported the whole program already.

Thousands are started by the tests, and most of the time of one goes into importing. A fork has its own memory, signals,
files and exit code, as any process; only its arguments are not seen from outside. The tests of starting and of what is
imported (``test_cli_main.py``, ``test_cli_setup.py``, ``test_demo.py``) start real ones.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import importlib
import inspect
import json
import multiprocessing
import multiprocessing.context
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["Forked", "processes"]

_PR_SET_CHILD_SUBREAPER = 36
_MOST = 1 << 17
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


class Forked(subprocess.Popen[str]):
    """``mo-sync ARGUMENTS``, as ``subprocess.Popen`` would start it: with folder, environment, umask and streams."""

    def _execute_child(self, *given: Any) -> None:
        said = inspect.signature(subprocess.Popen._execute_child).bind(self, *given).arguments  # type: ignore[attr-defined]
        ours = (said["p2cread"], said["c2pwrite"], said["errwrite"])
        streams = [place if fd == -1 else fd for place, fd in enumerate(ours)]
        request = {"arguments": said["args"], "folder": os.fspath(said["cwd"]), "environment": dict(said["env"])}
        request |= {"umask": said["umask"]}
        try:
            self.pid = _nursery(os.getpid()).fork(request, streams)
        finally:
            self._close_pipe_fds(*(said[name] for name in _PIPES))  # type: ignore[attr-defined]
        self._child_created = True


def processes() -> multiprocessing.context.ForkServerContext:
    """For tests that let functions of theirs run in processes beside each other: forks too, of one with the ledger."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["alembic.command", "mo_sync.ledger", "psycopg", "pytest", "tests.ledgers"])
    return context


class _Nursery:
    """The process that forks them. They are children of this one, which can wait for them as for any."""

    def __init__(self) -> None:
        # Whose parent has ended is given to the nearest ancestor that says this: the nursery's own child ends at once.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._turn = threading.Lock()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith("MO_SYNC")},
            )
        atexit.register(self._end)

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """The process id of one that does what is requested."""
        with self._turn:
            socket.send_fds(self._line, [json.dumps(request).encode()], streams)
            return int(self._line.recv(_MOST))

    def _end(self) -> None:
        self._line.close()
        self._process.wait(10)


@functools.cache
def _nursery(process: int) -> _Nursery:
    del process  # a fork of the test's own would need another one
    return _Nursery()


def _import_all() -> None:
    import mo_sync

    for module in pkgutil.walk_packages(mo_sync.__path__, "mo_sync."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    for name in ("alembic.command", "rich.progress", "rich.table", "uvicorn", "uvloop", "httptools"):
        importlib.import_module(name)


def _serve(line: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork whenever it is asked for, until the line is closed. Returns the request in the forked one."""
    while True:
        message, streams, _, _ = socket.recv_fds(line, _MOST, 3)
        if not message:
            return None
        reader, writer = os.pipe()
        if (between := os.fork()) == 0:
            if (child := os.fork()) == 0:
                return json.loads(message), streams
            os.write(writer, str(child).encode())
            os._exit(0)
        os.waitpid(between, 0)
        line.sendall(os.read(reader, 20))
        for fd in (reader, writer, *streams):
            os.close(fd)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Be as a process that was started so."""
    for place, fd in enumerate(streams):
        os.dup2(fd, place)
    os.closerange(3, 256)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    if request["umask"] >= 0:
        os.umask(request["umask"])
    sys.argv = [str(Path(__file__).parent.parent / "mo_sync/__main__.py"), *request["arguments"]]
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115  for its whole life
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(*asked)
        from mo_sync.cli.main import main

        main()
