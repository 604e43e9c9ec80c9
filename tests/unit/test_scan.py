"""What the scanner's answers mean, and its silence; against a socket that misbehaves as it is told."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mo_sync.scan import Answer, Clean, Found, NotScanned, Scanner, ScannerOut, TooLarge
from mo_sync.scan.checkup import check_up, signatures
from tests.clamd import Stub

MEDIA = bytes(range(256)) * 400
TOO_LONG = f"{len(MEDIA):,} bytes are more than the scanner takes: see StreamMaxLength in clamd.conf"


def never() -> bool:
    return False


def says(words: bytes) -> Callable[[socket.socket], None]:
    return lambda line: line.sendall(words)


def scanner(address: str, *, timeout_s: float = 5.0, max_bytes: int = 1_000_000) -> Scanner:
    return Scanner(address, timeout_s=timeout_s, max_bytes=max_bytes)


def scan(asked: Scanner, *, name: str = "it", data: bytes = MEDIA, stop: Callable[[], bool] = never) -> Answer:
    return asked.scan(name, io.BytesIO(data), len(data), stop=stop)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (b"stream: OK\n", Clean()),
        (b"stream: Win.Test.EICAR_HDB-1 FOUND\n", Found("Win.Test.EICAR_HDB-1")),
        (b"stream: odd\x07name with spaces FOUND\n", Found("odd\ufffdname with spaces")),
        (b"stream: " + b"x" * 900 + b" FOUND\n", Found("x" * 200)),
        (b"stream: Can't allocate memory ERROR\n", NotScanned('it answered "Can\'t allocate memory"')),
        (b"no answer of clamd's\n", NotScanned('it answered "no answer of clamd\'s"')),
        (b"INSTREAM size limit exceeded. ERROR\n", TooLarge(TOO_LONG)),
    ],
)
def test_what_it_answers_is_told(words: bytes, answer: Answer) -> None:
    with Stub(says(words)) as stub:
        assert scan(scanner(stub.address)) == answer


def test_what_is_larger_than_the_limit_is_not_even_sent() -> None:
    with Stub(says(b"stream: OK\n")) as stub:
        answer = scan(scanner(stub.address, max_bytes=99))

        assert answer == TooLarge(f"{len(MEDIA):,} bytes are not scanned, scan.max_bytes is 99")
        assert stub.scans == 0


def test_the_last_words_of_one_who_hangs_up_amid_the_file_are_heard() -> None:
    """So does clamd with a file over its StreamMaxLength: it answers and is gone, while more is being sent."""
    with Stub(says(b"INSTREAM size limit exceeded. ERROR\n"), early=True) as stub:
        answer = scan(scanner(stub.address, max_bytes=1 << 30), data=bytes(50_000_000))

    assert isinstance(answer, TooLarge), answer


def test_one_who_hangs_up_but_lives_could_not_scan_this_file() -> None:
    with Stub(lambda line: None) as stub:
        asked = scanner(stub.address)
        answer = scan(asked)

        assert answer == NotScanned("it broke off amid this file: it hung up without an answer")
        assert asked.trouble() is None


def test_one_who_does_not_answer_in_time_but_lives_could_not_scan_this_file() -> None:
    held = threading.Event()
    with Stub(lambda line: bool(held.wait(20))) as stub:  # type: ignore[arg-type, return-value]
        answer = scan(scanner(stub.address, timeout_s=0.3))
        held.set()

    assert isinstance(answer, NotScanned), answer
    assert "timed out" in answer.reason


def test_a_file_over_which_it_dies_twice_is_that_files_trouble_and_not_everybodys() -> None:
    with Stub(lambda line: None, pings=False) as stub:
        asked = scanner(stub.address)
        answers = [scan(asked, name=name) for name in ("bad", "other", "bad", "other")]

    assert [type(answer) for answer in answers] == [ScannerOut, ScannerOut, NotScanned, NotScanned]
    assert answers[2] == NotScanned("the scanner went away amid this file, 2 times")


@pytest.mark.parametrize("address", ["unix:{}/none.ctl", "tcp://127.0.0.1:1", "tcp://[::1]:1"])
def test_one_that_is_not_there_is_out_of_reach(tmp_path: Path, address: str) -> None:
    asked = scanner(address.format(tmp_path))
    answer = scan(asked)

    assert isinstance(answer, ScannerOut)
    assert answer.reason.startswith(f"the scanner at {asked.address} is out of reach: ")
    assert asked.trouble() == answer


def test_one_that_comes_back_is_asked_again() -> None:
    with Stub(says(b"stream: OK\n"), pings=False) as stub:
        asked = scanner(stub.address)
        asked._out = True  # it was out of reach when last asked
        assert isinstance(asked.trouble(), ScannerOut)
        stub.pings = True

        assert asked.trouble() is None
        assert scan(asked) == Clean()


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[str]:
    """A socket that nobody accepts on, with a queue that is full: to connect would wait for ever."""
    path = tmp_path / "c.ctl"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        waiting = []
        for _ in range(3):
            line = socket.socket(socket.AF_UNIX)
            line.setblocking(False)
            waiting.append(line)
            line.connect_ex(str(path))
        yield f"unix:{path}"
        for line in waiting:
            line.close()


def test_a_stopped_one_whose_queue_is_full_holds_up_nobody(crowded: str) -> None:
    answer = scan(scanner(crowded, timeout_s=0.3))

    assert isinstance(answer, ScannerOut), answer


def test_a_stop_is_heard_while_the_file_is_sent() -> None:
    heard = iter([False, False, True])
    with Stub(says(b"stream: OK\n")) as stub:
        answer = scan(scanner(stub.address), stop=lambda: next(heard))

    assert answer == ScannerOut("stopped", stopped=True)


def test_closing_ends_the_wait_for_an_answer() -> None:
    asks, held = threading.Event(), threading.Event()

    def answer(_: socket.socket) -> None:
        asks.set()
        held.wait(20)

    with Stub(answer) as stub:
        asked = scanner(stub.address, timeout_s=60)
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(scan(asked)))
        thread.start()
        assert asks.wait(5)
        asked.close()
        thread.join(5)
        held.set()

    assert answers == [ScannerOut("stopped", stopped=True)]


class Unreadable(io.BytesIO):
    def read(self, _: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_file_that_cannot_be_read_is_the_disks_trouble_and_not_the_scanners() -> None:
    with Stub(says(b"stream: OK\n")) as stub, pytest.raises(OSError, match="Input/output"):
        scanner(stub.address).scan("it", Unreadable(), 5, stop=never)


# for doctor


@pytest.mark.parametrize(
    ("version", "level", "words"),
    [
        ("ClamAV 1.4.3/27800/Mon Nov 23 09:00:00 2026", "ok", "ClamAV 1.4.3, number 27800 of 2026-11-23"),
        ("ClamAV 1.4.3/27790/Sun Nov 15 09:00:00 2026", "warning", "ClamAV 1.4.3, number 27790 is 8 days old"),
        ("ClamAV 1.4.3", "warning", "ClamAV 1.4.3 names none of ClamAV's own"),
        ("ClamAV 1.4.3/x/y", "warning", "ClamAV 1.4.3 names none of ClamAV's own"),
    ],
)
def test_old_signatures_are_told(version: str, level: str, words: str) -> None:
    found = signatures(version, now=datetime(2026, 11, 23, 12, tzinfo=UTC))

    assert (found.level, found.detail) == (level, words)


@pytest.mark.parametrize(
    ("words", "level"),
    [(b"stream: Eicar FOUND\n", "ok"), (b"stream: OK\n", "warning"), (b"stream: no memory ERROR\n", "failed")],
)
def test_a_scanner_that_finds_nothing_is_told(words: bytes, level: str) -> None:
    with Stub(says(words)) as stub:
        found = check_up(scanner(stub.address), now=datetime(2026, 11, 23, 12, tzinfo=UTC))

    assert [(finding.subject, finding.level) for finding in found] == [("signatures", "warning"), ("test file", level)]
