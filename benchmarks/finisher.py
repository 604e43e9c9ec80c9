"""Files a second made durable and given their names: many at once, as the finisher does it, against one at a time.

Both start from 64 temporary files of 20 KB, each for a message of its own, and end with the same promise: data, name
and folders survive a power cut. Creating the temporary files is not counted; every round has fresh folders.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mo_sync.store import LocalStore, Placed, Placement

FILES = 64
CONTENT = os.urandom(20_000)
ROUNDS = 15


def main() -> None:
    """Print a row for each way, and the ratio."""
    ways = {"one at a time": _one_by_one, "together": _together}
    took_s: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(prefix="mo-sync-bench-", dir=Path.cwd()) as folder:
        for number in range(ROUNDS):
            for name, way in ways.items():
                took_s[name].append(_round(Path(folder) / f"{name}-{number}", way))
    middle = {name: statistics.median(values) for name, values in took_s.items()}
    for name, seconds in middle.items():
        print(f"{name:14} {FILES / seconds:7.0f} files/s  {seconds * 1000 / FILES:6.3f} ms a file")
    print(f"together / one at a time: {middle['one at a time'] / middle['together']:.1f}")


def _round(root: Path, way: Callable[[LocalStore, list[Placement]], None]) -> float:
    with closing(LocalStore(root, "benchmark")) as store:
        _together(store, _staged(store, "first", 2))  # the day's folder, and the threads, are there already as a rule
        batch = _staged(store, "message", FILES)
        began = time.perf_counter()
        way(store, batch)
        return time.perf_counter() - began


def _staged(store: LocalStore, name: str, count: int) -> list[Placement]:
    batch = []
    for number in range(count):
        staged = store.stage(f"{name}-{number}")
        staged.write(CONTENT)
        batch.append(Placement(staged, f"2026/11/20/{name}-{number}/0-attachment.jpg"))
    return batch


def _one_by_one(store: LocalStore, batch: list[Placement]) -> None:
    for item in batch:
        item.staged.finish()
        assert store.harden([item.staged]) == [None]
        assert store.place([item]) == [Placed()]


def _together(store: LocalStore, batch: list[Placement]) -> None:
    for item in batch:  # in the program each fetch does this on its own thread
        item.staged.finish()
    assert store.harden([item.staged for item in batch]) == [None] * len(batch)
    assert store.place(batch) == [Placed()] * len(batch)


if __name__ == "__main__":
    main()
