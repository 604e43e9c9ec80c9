"""Streams that keep one waiting: until a stop, whatever the other end does."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.awaited import opened, readable, written

LONG_S = 10
MUCH = b"x" * 300_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def soon() -> Iterator[threading.Event]:
    """A stop that comes while somebody waits."""
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    yield stop
    timer.cancel()
    timer.join()


def test_a_silent_pipe_ends_at_a_stop_with_what_came(pipe: tuple[int, int], soon: threading.Event) -> None:
    os.write(pipe[1], b"one\ntwo")
    with os.fdopen(os.dup(pipe[0]), "rb") as stream:
        assert readable(stream, soon.is_set).read() == b"one\ntwo"
    assert soon.is_set()


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=[MUCH])
    writer.start()
    with opened(fifo, lambda: False) as stream:
        assert stream.read() == MUCH
    writer.join(LONG_S)


def test_a_named_pipe_that_nobody_writes_to_ends_at_a_stop(tmp_path: Path, soon: threading.Event) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with opened(fifo, soon.is_set) as stream:
        assert stream.read() == b""


def test_a_file_and_what_is_in_memory_are_read_as_ever(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(MUCH)
    with opened(tmp_path / "file", lambda: True) as stream:
        assert stream.read() == MUCH
    assert readable(io.BytesIO(MUCH), lambda: True).read() == MUCH


def test_a_reader_that_does_not_read_is_waited_for_until_a_stop(pipe: tuple[int, int], soon: threading.Event) -> None:
    assert not written(pipe[1], MUCH, soon.is_set)


def test_a_reader_that_reads_gets_all_of_it(pipe: tuple[int, int]) -> None:
    done: list[bool] = []
    writer = threading.Thread(target=lambda: done.append(written(pipe[1], MUCH, lambda: False)))
    writer.start()
    got = b""
    while len(got) < len(MUCH):
        got += os.read(pipe[0], 1 << 16)
    writer.join(LONG_S)
    assert (got, done) == (MUCH, [True])
