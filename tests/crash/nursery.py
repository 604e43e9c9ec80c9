"""A process that has imported mo-sync and does nothing but fork: each child is a mo-sync of its own, ready at once.

    {"arguments": ["--sync-now"], "cwd": "...", "log": "...", "point": "minted", "passing": 2}

One order a line on standard input; two answers: the child's pid when it runs, and how it ended. A child runs the very
function that the installed command runs; starting Python and importing takes 1.5 s, forking 10 ms.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Ended", "Nursery", "Running"]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
_IMPORTED = (
    "alembic.command",
    "alembic.ddl.sqlite",
    "apscheduler.schedulers.background",
    "argparse",
    "defusedxml.ElementTree",
    "mo_sync.cli.run",
    "mo_sync.log",
    "mo_sync.settings.load",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "tests.crash.plants",
    "tests.crash.points",
    "watchfiles",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: ``code`` as of subprocess (-9: killed); ``in_time`` False: it was killed for taking long."""

    code: int
    in_time: bool

    @property
    def killed(self) -> bool:
        """Whether it was killed when and where it was meant to be."""
        return self.code == -signal.SIGKILL and self.in_time


class Running:
    """A child at work. :meth:`wait` must be called before the nursery bears another."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def wait(self) -> Ended:
        """Its end."""
        told = self._nursery.hear()
        return Ended(told["code"], told["in_time"])


class Nursery:
    """The campaign's end: bears one child at a time. A context manager."""

    def __init__(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("MO_SYNC")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=ROOT,
            env={**kept, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def start(
        self,
        cwd: Path,
        *arguments: str,
        point: str | None = None,
        passing: int = 1,
        number: signal.Signals = signal.SIGKILL,
        plant: str | None = None,
        threads: int | None = None,
        spare_mb: int | None = None,
        user: int | None = None,
        kill_after_s: float | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Running:
        """Let ``mo-sync ARGUMENTS`` run in ``cwd``; its output goes to the file ``cwd/log``.

        It is killed at the ``passing``-th coming by of ``point`` (or gets the signal ``number`` there), or after
        ``kill_after_s`` seconds, and in any case after ``patience_s``. ``plant`` names a fault that is planted in it;
        ``threads`` is how many it may have besides its first, ``spare_mb`` how much memory besides what it has;
        ``user`` whose rights it has.
        """
        order = {
            "arguments": arguments, "cwd": str(cwd), "point": point, "passing": passing, "number": number,
            "plant": plant, "threads": threads, "spare_mb": spare_mb, "user": user, "kill_after_s": kill_after_s,
            "patience_s": patience_s,
        }  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Running(self, self.hear()["pid"])

    def run(self, cwd: Path, *arguments: str, **more: Any) -> Ended:
        """The same, to its end."""
        return self.start(cwd, *arguments, **more).wait()

    def hear(self) -> dict[str, Any]:
        """The next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the nursery ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """The nursery itself: one thread, no sockets, no files but its pipes."""
    _import_all()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_born(order)
        _say({"pid": pid})
        _say(_wait(pid, order))


def _import_all() -> None:
    """What a run would import piece by piece, so that the children need not."""
    for name in _IMPORTED:
        importlib.import_module(name)


def _wait(pid: int, order: dict[str, Any]) -> dict[str, Any]:
    """Only the parent can tell that a pid is still its child's, so it is who kills."""
    kill_after_s = order["kill_after_s"]
    until = time.monotonic() + (order["patience_s"] if kill_after_s is None else kill_after_s)
    in_time = True
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        left_s = until - time.monotonic()
        if left_s > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left_s)  # a stop or a continuation of the child wakes it too
        else:
            in_time = kill_after_s is not None
            os.kill(pid, signal.SIGKILL)
            found = os.waitpid(pid, 0)
            break
    return {"code": os.waitstatus_to_exitcode(found[1]), "in_time": in_time}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _be_born(order: dict[str, Any]) -> None:
    """In the child: become a mo-sync of its own. Does not return."""
    code = 70
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        if order["user"] is not None:
            _become(order["user"])
        os.chdir(order["cwd"])
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = _work(order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _work(order: dict[str, Any]) -> int:
    from mo_sync.cli.main import run
    from tests.crash.plants import plant
    from tests.crash.points import end_at

    if order["threads"] is not None:
        _spare_threads(order["threads"])
    if order["spare_mb"] is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + order["spare_mb"] * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if order["plant"]:
        plant(order["plant"])
    if order["point"]:
        end_at(order["point"], order["passing"], signal.Signals(order["number"]))
    return run(order["arguments"])


def _become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def _spare_threads(most: int) -> None:
    """No more than so many at once; what Python says then is what it says when the system gives it no more."""
    start: Any = threading._start_new_thread  # type: ignore[attr-defined]

    def scarce(*arguments: Any) -> Any:
        # The one that is about to start is not among the active ones yet.
        if threading.active_count() - 1 > most:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    threading._start_new_thread = scarce  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
