"""What every store promises, held against each implementation (``mo_sync/store/base.py`` says it in prose).

A later store joins by adding a line to ``HOUSES``: a function that gives, for a fresh folder, an opener of stores.
"""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mo_sync.store import LocalStore, Occupied, Placed, Placement, Staged, Store
from mo_sync.store.base import HEAD_BYTES
from tests.stores import put_in_place

Opener = Callable[[str], Store]
HOUSES: dict[str, Callable[[Path], Opener]] = {
    "folder": lambda place: lambda worker: LocalStore(place / "media", worker),
}
KEY = "2026/11/20/WGqCwdXm2szqkIGq2Xmy06/0-Mno4Xayql1oVOYAvP7Iy25.jpg"


@pytest.fixture(params=HOUSES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    with ExitStack() as stores:
        opener = HOUSES[request.param](tmp_path)

        def opened(worker: str) -> Store:
            store = opener(worker)
            stores.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store("worker-1")


def stage(store: Store, content: bytes, lease: str = "lease") -> Staged:
    staged = store.stage(lease)
    staged.write(content)
    staged.finish()
    return staged


def put(store: Store, content: bytes, key: str = KEY, lease: str = "lease") -> Placed | OSError:
    return put_in_place(store, Placement(stage(store, content, lease), key))


def content_of(store: Store, key: str = KEY) -> bytes:
    with store.open(key) as file:
        return file.read()


def test_a_placed_file_is_read_back_byte_for_byte(store: Store) -> None:
    staged = stage(store, b"picture")
    hardened = store.harden([staged])
    placed = store.place([Placement(staged, KEY)])

    assert hardened == [None]
    assert placed == [Placed(adopted=False)]
    assert content_of(store) == b"picture"
    assert store.size(KEY) == 7


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=9000), max_size=6))
def test_size_hash_and_head_are_those_of_what_was_written(store: Store, pieces: list[bytes]) -> None:
    staged = store.stage("lease")
    for piece in pieces:
        staged.write(piece)
    staged.finish()
    seen = (staged.size, staged.sha256, staged.head)
    staged.discard()
    whole = b"".join(pieces)

    assert seen == (len(whole), hashlib.sha256(whole).hexdigest(), whole[:HEAD_BYTES])


def test_nothing_is_visible_before_it_is_placed(store: Store) -> None:
    staged = stage(store, b"picture")
    before = store.size(KEY)
    store.harden([staged])
    hardened = store.size(KEY)

    assert (before, hardened) == (None, None)
    with pytest.raises(FileNotFoundError):
        store.open(KEY)


def test_a_reader_never_sees_anything_but_a_whole_file_while_it_is_replaced(store: Store) -> None:
    versions = [bytes([n]) * 300_000 for n in range(8)]
    put(store, versions[0])
    done = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            seen.append(content_of(store))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        put(store, versions[n % 8], lease=f"lease{n}")
    done.set()
    reader.join()

    assert seen
    assert set(seen) <= set(versions)


def test_what_was_not_hardened_is_hardened_when_it_is_placed(store: Store) -> None:
    staged = stage(store, b"picture")

    assert store.place([Placement(staged, KEY)]) == [Placed()]
    assert content_of(store) == b"picture"


def test_the_same_bytes_are_adopted(store: Store, open_store: Opener) -> None:
    put(store, b"picture")
    again = put(open_store("worker-2"), b"picture", lease="another")

    assert again == Placed(adopted=True)
    assert content_of(store) == b"picture"


@pytest.mark.parametrize("new", [b"Picture", b"a longer picture", b"short"])
def test_other_bytes_are_replaced(store: Store, new: bytes) -> None:
    put(store, b"picture")
    again = put(store, new, lease="another")

    assert again == Placed(adopted=False)
    assert content_of(store) == new


def test_a_discarded_file_leaves_nothing_however_often_it_is_discarded(store: Store) -> None:
    staged = stage(store, b"picture")
    staged.discard()
    staged.discard()
    again = put(store, b"picture")  # the name of the lease is free again

    assert again == Placed()


def test_discarding_a_placed_file_changes_nothing(store: Store) -> None:
    staged = stage(store, b"picture")
    store.place([Placement(staged, KEY)])
    staged.discard()

    assert content_of(store) == b"picture"


def test_two_files_under_one_lease_are_refused(store: Store) -> None:
    store.stage("lease")

    with pytest.raises(FileExistsError):
        store.stage("lease")


def test_a_discarded_file_cannot_be_placed_and_costs_no_other(store: Store) -> None:
    gone, good = stage(store, b"gone", "one"), stage(store, b"good", "two")
    gone.discard()
    answers = store.place([Placement(gone, "a/gone"), Placement(good, "a/good")])

    assert isinstance(answers[0], OSError)
    assert answers[1] == Placed()
    assert (store.size("a/gone"), content_of(store, "a/good")) == (None, b"good")


BAD_KEYS = ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a/.hidden", ".incoming/x", "a\0b", "a/b\n"]


@pytest.mark.parametrize("key", [*BAD_KEYS, "x" * 256, "é" * 128])
def test_a_key_that_is_none_is_refused_and_costs_no_other(store: Store, tmp_path: Path, key: str) -> None:
    bad, good = stage(store, b"bad", "one"), stage(store, b"good", "two")
    answers = store.place([Placement(bad, key), Placement(good, KEY)])
    bad.discard()

    assert isinstance(answers[0], OSError)
    assert answers[0].errno == errno.EINVAL
    assert answers[1] == Placed()
    for ask in (store.open, store.size, store.remove):
        with pytest.raises(OSError, match="cannot be a name"):
            ask(key)


def test_many_are_placed_at_once_and_one_that_cannot_be_costs_no_other(store: Store) -> None:
    """Here a file lies where one of them needs a folder."""
    put(store, b"in the way", "2026/11/20/m7")
    contents = {f"2026/11/20/m{n % 20}/{n}.jpg": b"%d" % n * 1000 for n in range(100)}
    staged = [stage(store, content, f"lease{n}") for n, content in enumerate(contents.values())]
    hardened = store.harden(staged)
    answers = store.place([Placement(one, key) for one, key in zip(staged, contents, strict=True)])
    blocked = [key for key in contents if "/m7/" in key]

    assert hardened == [None] * 100
    for answer, (key, content) in zip(answers, contents.items(), strict=True):
        if key in blocked:
            assert isinstance(answer, OSError)
            assert "not a folder" in str(answer)
        else:
            assert answer == Placed()
            assert content_of(store, key) == content


def test_a_folder_under_the_final_name_is_an_error_that_says_so(store: Store) -> None:
    put(store, b"inside", f"{KEY}/inside")
    answer = put(store, b"picture", lease="another")

    assert isinstance(answer, OSError)
    assert "folder" in str(answer)
    assert content_of(store, f"{KEY}/inside") == b"inside"
    with pytest.raises(OSError, match="not a file"):
        store.open(KEY)


def test_removing_is_told_once_and_may_be_repeated(store: Store) -> None:
    put(store, b"picture")

    assert [store.remove(KEY), store.remove(KEY), store.remove("never/was")] == [True, False, False]
    assert store.size(KEY) is None
    assert put(store, b"again", lease="another") == Placed()


def test_a_store_is_untouched_until_a_file_rests_there_and_never_again(store: Store) -> None:
    staged = stage(store, b"picture")
    before = store.untouched()
    store.place([Placement(staged, KEY)])
    while_it_rests = store.untouched()
    store.remove(KEY)

    assert (before, while_it_rests, store.untouched()) == (True, False, False)
    assert list(store.resting()) == []


def test_a_purge_takes_all_of_a_name_and_what_was_set_aside_of_it_and_nothing_else(store: Store) -> None:
    day = "2026/11/20"
    for number, ending in enumerate(("jpg", "jpg", "png", "bin")):
        put(store, b"x", f"{day}/m/0-a.{ending}", f"aside-{number}")
        store.set_aside(f"{day}/m/0-a.{ending}")
    others = [
        f"{day}/m/1-a.jpg",
        f"{day}/m/0-ab.jpg",
        f"{day}/m/0-a.b.jpg",
        f"{day}/n/0-a.jpg",
        f"quarantine/{day}/m/0-a.jpg",
    ]
    for number, key in enumerate([*others, f"{day}/m/0-a.gif"]):
        put(store, b"x", key, f"lease-{number}")
    put(store, b"x", f"{day}/m/1-a.png", "other-aside")
    kept = store.set_aside(f"{day}/m/1-a.png")

    assert store.purge(f"{day}/m/0-a.bin") == 5
    assert store.purge(f"{day}/m/0-a.bin") == 0
    assert store.purge(f"{day}/nothing/0-a.bin") == 0

    assert [one.key for one in store.resting()] == sorted(others)
    assert store.size(kept) == 1
    with pytest.raises(OSError):
        store.purge("../x")


def test_an_empty_batch_is_answered_with_nothing(store: Store) -> None:
    assert (store.harden([]), store.place([])) == ([], [])


def test_there_is_room(store: Store) -> None:
    assert store.free_bytes() > 0


def test_a_living_neighbour_is_seen_and_not_swept(store: Store, open_store: Opener) -> None:
    other = open_store("worker-2")
    staged = stage(other, b"on its way")
    swept = store.sweep()

    assert swept == []
    assert store.neighbours() == ["worker-2"]
    assert other.place([Placement(staged, KEY)]) == [Placed()]


def test_a_closed_store_is_no_neighbour_and_may_be_closed_again(store: Store, open_store: Opener) -> None:
    other = open_store("worker-2")
    stage(other, b"on its way")
    other.close()
    other.close()

    assert store.neighbours() == []
    assert store.sweep() == []


def test_a_closed_store_stages_nothing(store: Store) -> None:
    store.close()

    with pytest.raises(OSError, match=r".+"):
        store.stage("lease")


def test_many_threads_stage_at_once(store: Store) -> None:
    staged: list[Staged] = []
    threads = [
        threading.Thread(target=lambda n=n: staged.append(stage(store, b"%d" % n, f"lease{n}"))) for n in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = store.place([Placement(one, f"a/{one.sha256}") for one in staged])

    assert answers == [Placed()] * 32
    assert sorted(content_of(store, f"a/{one.sha256}") for one in staged) == sorted(b"%d" % n for n in range(32))


def test_a_healthy_store_passes_its_check_up_and_nothing_of_it_stays(store: Store) -> None:
    findings = store.check()

    assert {finding.level for finding in findings} == {"ok"}, findings
    assert store.neighbours() == []


def test_a_name_that_is_taken_is_never_given_again_by_placing(store: Store, open_store: Opener) -> None:
    """P7: whoever looked at its lease an hour ago and goes on now finds its successor's file there, and leaves it."""
    put(store, b"the successor's")
    late = open_store("worker-2")
    staged = stage(late, b"the late one's", "late")

    assert late.place([Placement(staged, KEY)]) == [Occupied()]
    assert content_of(store) == b"the successor's"
    staged.discard()
    assert late.place([Placement(stage(late, b"another", "next"), "a/b")]) == [Placed()]


def test_one_at_a_time_exchanges_a_file(store: Store, open_store: Opener) -> None:
    put(store, b"old")
    other = open_store("worker-2")
    mine, theirs = stage(store, b"mine", "one"), stage(other, b"theirs", "two")

    with store.exchange(Placement(mine, KEY)) as exchange, other.exchange(Placement(theirs, KEY)) as refused:
        assert refused is None
        assert exchange is not None
        assert exchange() == Placed()
    with other.exchange(Placement(theirs, KEY)) as exchange:
        assert exchange is not None
        assert content_of(store) == b"mine"
        assert exchange() == Placed()

    assert content_of(store) == b"theirs"


def test_an_exchange_that_is_not_made_changes_nothing(store: Store) -> None:
    put(store, b"old")
    staged = stage(store, b"new", "another")

    with store.exchange(Placement(staged, KEY)):
        pass

    assert content_of(store) == b"old"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_where_a_file_cannot_have_two_names_it_is_placed_by_exchange(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_links(*paths: object, **options: object) -> None:
        raise OSError(number, "no links here")

    monkeypatch.setattr("os.link", no_links)
    staged = stage(store, b"picture")

    assert store.place([Placement(staged, KEY)]) == [Occupied()]
    assert put_in_place(store, Placement(staged, KEY)) == Placed()
    assert content_of(store) == b"picture"
    assert {finding.level for finding in store.check()} <= {"ok", "warning"}


def test_what_rests_is_told_in_the_order_of_its_keys_and_nothing_else(store: Store) -> None:
    keys = ["2026/11/20/b/0-x.jpg", "2026/11/20/a/1-y.jpg", "2025/01/01/c/0-z.bin", "quarantine/2026/11/20/a/0-q.exe"]
    for number, key in enumerate(keys):
        assert isinstance(put(store, bytes(number + 1), key, f"lease-{number}"), Placed)
    stage(store, b"on its way", "another")
    store.set_aside(keys[0])

    found = list(store.resting())

    assert [(one.key, one.size) for one in found] == sorted(zip(keys[1:], (2, 3, 4), strict=True))
    assert all(abs(one.modified_at - time.time()) < 60 for one in found)


def test_what_is_set_aside_lies_in_lost_and_found_and_nothing_there_is_overwritten(store: Store) -> None:
    there = []
    for content in (b"first", b"second", b"third"):
        put(store, content)
        there.append(store.set_aside(KEY))
        assert store.size(KEY) is None

    assert [content_of(store, key) for key in there] == [b"first", b"second", b"third"]
    assert len(set(there)) == 3
    assert all(key.startswith("lost+found/2026/11/20/") for key in there)
    assert list(store.resting()) == []
    with pytest.raises(FileNotFoundError):
        store.set_aside(KEY)
    for odd in ("../x", "/etc/passwd", "a/../../b", "a/./b", "a//b", "", ".incoming/w/x", "a\0b"):
        with pytest.raises(OSError):
            store.set_aside(odd)
