"""A process that takes dropped files is killed at every step that changes the folder; nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mo_sync.feeds import dropbatch
from tests.drops import Drops, event, forked, never, repeated

BAD = b'{"topic": "SCG-Message", "event": '
LARGE = repeated(25, first=100) + BAD + b"\n" + event("last")
FILES = {
    "good.json": event(1),
    "bad.json": BAD,
    "mixed.ndjson": event(2) + b"\n" + BAD + b"2\n" + event(3) + b"\n",
    "large.ndjson": LARGE,
}
MOST_EVENTS = 20
"""In one transaction here, so that a large file takes several and is small all the same."""
STEPS = {"os.rename", "os.remove", "os.mkdir", "os.utime", "fcntl.flock", "open", "os.scandir"}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropbatch, "_MOST_EVENTS", MOST_EVENTS)


def kill_at(step: int, work: Callable[[], object]) -> Callable[[], object]:
    """``work``, killed right before the ``step``-th change to the folder (or look into it)."""

    def run() -> object:
        left = step

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if name in STEPS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        return work()

    return run


def put_all(drops: Drops) -> None:
    for name, content in FILES.items():
        drops.put(name, content)


def check_whole(drops: Drops) -> None:
    """Every good event once, every bad piece kept once, nothing in between."""
    wanted = {"m1", "m2", "m3", "mlast"} | {f"m{number}" for number in range(100, 125)}
    assert drops.messages() == wanted
    assert drops.events() == {"accepted": len(wanted), "rejected": 2}
    assert drops.tree() == [
        "done/good.json",
        "done/large.ndjson",
        "done/mixed.ndjson",
        "rejected/bad.json",
        "rejected/bad.json.error.txt",
        "rejected/large.ndjson",
        "rejected/large.ndjson.error.txt",
        "rejected/mixed.ndjson",
        "rejected/mixed.ndjson.error.txt",
    ]
    assert drops.read("rejected/large.ndjson").strip() == BAD.strip()
    assert drops.read("rejected/mixed.ndjson").strip() == BAD + b"2"
    assert list((drops.folder / "processing").iterdir()) == []


@pytest.mark.timeout(300)
def test_killed_before_any_step_at_all_the_next_pass_ends_whole(tmp_path: Path) -> None:
    template = Drops(tmp_path / "0")
    template.ingest()
    put_all(template)
    step, killed = 0, 0
    while True:
        step += 1
        drops = template.copy(tmp_path / str(step))

        status = forked(kill_at(step, drops.ingest))
        drops.ingest()

        check_whole(drops)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
    assert killed >= 40, "hardly a step was counted: the hook does not see what it should"


@pytest.mark.timeout(300)
def test_killed_again_and_again_the_last_pass_ends_whole(tmp_path: Path) -> None:
    drops = Drops(tmp_path / "site")
    put_all(drops)

    for step in range(5, 80, 5):
        forked(kill_at(step, drops.ingest))
    drops.ingest()

    check_whole(drops)


@pytest.mark.timeout(300)
def test_processes_that_take_from_one_folder_at_once_record_each_event_once(tmp_path: Path) -> None:
    drops = Drops(tmp_path / "site")
    drops.ingest()
    for number in range(600):
        drops.put(f"{number}.json", event(number) if number % 10 else BAD + str(number).encode())

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                drops.ingest()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]

    assert drops.query("select count(*), sum(deliveries) from event") == [(600, 600)]
    assert len([name for name in drops.tree() if name.startswith("done/")]) == 540
    assert len([name for name in drops.tree() if name.startswith("rejected/")]) == 120
    assert list((drops.folder / "processing").iterdir()) == []


def test_a_neighbour_filing_the_same_name_at_the_same_time_overwrites_nothing(tmp_path: Path) -> None:
    """Two processes each hold a file of one name; both keep theirs."""
    drops = Drops(tmp_path / "site")
    with drops.feed() as one, drops.feed() as other:
        for feed, number in ((one, 1), (other, 2)):
            drops.put("a.json", event(number))
            works = feed._intake
            feed._intake = None  # type: ignore[assignment]
            with pytest.raises(AttributeError):
                feed.ingest(never)
            feed._intake = works
        threads = [threading.Thread(target=feed.ingest, args=[never]) for feed in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {path.read_bytes() for path in drops.folder.glob("done/*/*")} == {event(1), event(2)}
