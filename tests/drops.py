"""A drop folder and a ledger in a folder of their own, driven through the feed itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mo_sync.clock import Clock, SystemClock
from mo_sync.feeds.drop import DropFeed
from mo_sync.intake import Intake, Receipt
from mo_sync.ledger import Ledger
from mo_sync.presence import worker_name
from mo_sync.settings import Drop, Limits
from mo_sync.settings import Ledger as LedgerSettings

__all__ = ["Drops", "event", "forked", "never", "repeated"]


def never() -> bool:
    """The stop that does not come."""
    return False


def event(number: int | str, *, size: int = 0) -> bytes:
    """One canonical event on one line; ``size`` bytes of message body."""
    fields = {
        "message_id": f"m{number}",
        "application_id": "17226",
        "from_address": "+14086080000",
        "to_address": "18322222222",
        "message_body": "x" * size,
        "attachment_ids": f" a{number}",
    }
    inner = {"fld-val-list": fields, "evt-tp": "mo_message_received", "timestamp": "2019-07-16T16:16:17.579Z"}
    return json.dumps({"topic": "SCG-Message", "attempt": 1, "event": inner, "event-id": f"e{number}"}).encode()


class Drops:
    """``root`` holds drop/ and ledger.db; ``settings`` are keys of ``[drop]``."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.folder = root / "drop"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings

    def copy(self, root: Path) -> Drops:
        """The same again, in another place."""
        shutil.copytree(self.root, root)
        return Drops(root, **self._settings)

    @contextlib.contextmanager
    def feed(self, *, clock: Clock | None = None, intake: Any = None, **settings: Any) -> Iterator[DropFeed]:
        """A feed with a ledger of its own; both are closed at the end."""
        clock = clock or SystemClock()
        ledger = Ledger.open(LedgerSettings(url=f"sqlite:///{self.root / 'ledger.db'}"))
        drop = Drop(path=self.folder, **{"settle": 1.0, **self._settings, **settings})
        feed = DropFeed(drop, Limits(), intake or Intake(ledger, clock, give_up_after_s=3600.0), clock, worker_name())
        try:
            yield feed
        finally:
            feed.close()
            ledger.close()

    def ingest(self, *, wait_for_settle: bool = False, **options: Any) -> Receipt:
        """One pass by a process of its own, as far as the ledger and the folder can tell."""
        with self.feed(**options) as feed:
            return feed.ingest(never, wait_for_settle=wait_for_settle)

    def put(self, name: str | bytes, content: bytes, *, age_s: float = 60.0) -> Path:
        """A file that was written ``age_s`` ago."""
        path = self.folder / os.fsdecode(name)
        path.write_bytes(content)
        at = time.time() - age_s
        os.utime(path, (at, at))
        return path

    def tree(self) -> list[str]:
        """Every file below the drop folder; of ``done/`` without the day."""
        files = (path for path in self.folder.rglob("*") if not path.is_dir() or path.is_symlink())
        names = (str(path.relative_to(self.folder)) for path in files)
        return sorted("done/" + name.split("/", 2)[2] if name.startswith("done/") else name for name in names)

    def read(self, pattern: str) -> bytes:
        """The one file that matches."""
        [path] = self.folder.glob(pattern)
        return path.read_bytes()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the ledger with plain sqlite3."""
        with contextlib.closing(sqlite3.connect(self.root / "ledger.db", timeout=30)) as ledger:
            return ledger.execute(sql).fetchall()

    def events(self) -> dict[str, int]:
        """Events by state."""
        return dict(self.query("select state, count(*) from event group by state"))

    def messages(self) -> set[str]:
        """The ids of the messages that were recorded."""
        return {row[0] for row in self.query("select message_id from event where state = 'accepted'")}


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process; its wait status. 0: it returned."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    return os.waitpid(child, 0)[1]


def repeated(count: int, *, first: int = 0, size: int = 0) -> bytes:
    """NDJSON of ``count`` events."""
    return b"".join(event(number, size=size) + b"\n" for number in range(first, first + count))
