"""The drop feed on a real folder and a real ledger: what is taken, and what becomes of it."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mo_sync.errors import ConfigurationError, LedgerOutOfReach, OutOfReach
from mo_sync.intake import Receipt, Recording
from tests.clocks import HandClock
from tests.drops import Drops, event, never, repeated

BAD = b'{"topic": "SCG-Message", "event": '


@pytest.fixture
def drops(tmp_path: Path) -> Drops:
    return Drops(tmp_path / "site")


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def told(log: list[Any], name: str) -> list[Any]:
    return [entry for entry in log if entry["event"] == name]


class OutOfReachIntake:
    """A ledger that cannot be reached."""

    def record(self, raws: Any, *, errors: Any) -> Recording:
        raise LedgerOutOfReach("ledger-locked", "the ledger is locked")


class TestTaking:
    def test_a_dropped_event_is_recorded_and_its_file_moves_to_the_day_s_done(self, drops: Drops) -> None:
        drops.put("mms.json", event(1))

        assert drops.ingest() == Receipt(new=1)

        day = datetime.now(UTC).date().isoformat()
        assert (drops.folder / "done" / day / "mms.json").read_bytes() == event(1)
        assert drops.messages() == {"m1"}
        assert drops.tree() == ["done/mms.json"]

    def test_the_source_names_file_and_place(self, drops: Drops) -> None:
        drops.put("two.ndjson", repeated(2))

        drops.ingest()

        sources = [row[0] for row in drops.query("select source from event order by id")]
        assert all(source.startswith("drop:two.ndjson:") for source in sources)
        assert len(set(sources)) == 2

    def test_the_same_file_again_changes_nothing_but_deliveries(self, drops: Drops) -> None:
        drops.put("a.json", event(1))
        drops.ingest()
        drops.put("a.json", event(1))

        assert drops.ingest() == Receipt(duplicate=1)

        assert drops.query("select count(*), sum(deliveries) from event") == [(1, 2)]
        assert drops.tree() == ["done/a.1.json", "done/a.json"]

    def test_by_setting_a_recorded_file_is_deleted(self, drops: Drops) -> None:
        drops.put("a.json", event(1))

        drops.ingest(keep="delete")

        assert drops.messages() == {"m1"}
        assert drops.tree() == []

    def test_unfinished_hidden_and_unwanted_names_stay_where_they_are(self, drops: Drops) -> None:
        names = [".a.json", "a.json.part", "a.json.tmp", "a.json~", "a.swp", "a.xml"]
        for name in names:
            drops.put(name, event(1))

        assert drops.ingest(pattern="*.json*") == Receipt()

        assert drops.tree() == sorted(names)

    def test_folders_made_in_the_drop_folder_are_not_looked_into(self, drops: Drops, log: list[Any]) -> None:
        (drops.folder / "sub").mkdir()
        drops.put("sub/a.json", event(1))

        assert drops.ingest() == Receipt()

        assert drops.tree() == ["sub/a.json"]
        assert [entry["reason"] for entry in told(log, "drop.left-alone")] == [
            "this is a folder; only plain files at the top are taken"
        ]

    def test_a_missing_drop_folder_is_made(self, drops: Drops) -> None:
        drops.folder.rmdir()

        assert drops.ingest() == Receipt()

        assert sorted(path.name for path in drops.folder.iterdir()) == ["done", "processing", "rejected"]

    def test_a_drop_folder_that_is_replaced_while_we_run_is_worked_with_again(self, drops: Drops) -> None:
        with drops.feed() as feed:
            feed.ingest(never)
            drops.folder.rename(drops.root / "old")
            drops.folder.mkdir()
            drops.put("a.json", event(1))

            assert feed.ingest(never) == Receipt(new=1)

        assert drops.tree() == ["done/a.json"]

    def test_packed_files_are_read_too(self, drops: Drops) -> None:
        drops.put("a.ndjson.gz", gzip.compress(repeated(3)))

        assert drops.ingest() == Receipt(new=3)

        assert drops.tree() == ["done/a.ndjson.gz"]

    def test_links_pipes_sockets_and_second_names_are_reported_once_and_never_opened(
        self, drops: Drops, log: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = drops.root / "secret.json"
        secret.write_bytes(event(1))
        (drops.folder / "link.json").symlink_to(secret)
        os.link(drops.put("hard.json", event(2)), drops.root / "second.json")
        os.mkfifo(drops.folder / "pipe.json")
        with socket.socket(socket.AF_UNIX) as listener:
            monkeypatch.chdir(drops.folder)  # a socket's path may not be long
            listener.bind("socket.json")
        before = drops.tree()

        with drops.feed(settle=0.0) as feed:
            for _ in range(3):
                assert feed.ingest(never) == Receipt()

        assert drops.tree() == before
        assert sorted(entry["file"] for entry in told(log, "drop.left-alone")) == [
            "hard.json",
            "link.json",
            "pipe.json",
            "socket.json",
        ]

    def test_one_of_our_own_folders_that_is_a_link_elsewhere_is_a_configuration_error(self, drops: Drops) -> None:
        (drops.root / "elsewhere").mkdir()
        (drops.folder / "done").symlink_to(drops.root / "elsewhere")
        drops.put("a.json", event(1))

        with pytest.raises(ConfigurationError, match="drop-folder-not-ours"):
            drops.ingest()

        assert list((drops.root / "elsewhere").iterdir()) == []


class TestSettling:
    def test_a_file_written_a_moment_ago_is_left_until_it_stood_still(self, drops: Drops) -> None:
        drops.put("a.json", event(1), age_s=-3600)

        with drops.feed(clock=(clock := HandClock())) as feed:
            assert feed.ingest(never) == Receipt()
            clock.advance(0.9)
            assert feed.ingest(never) == Receipt()
            clock.advance(0.2)
            assert feed.ingest(never) == Receipt(new=1)

    def test_a_file_renamed_into_place_is_taken_at_once(self, drops: Drops) -> None:
        drops.put(".a.json.tmp", event(1), age_s=0.1).rename(drops.folder / "a.json")

        assert drops.ingest(settle=3600.0) == Receipt(new=1)

    def test_a_one_shot_pass_waits_for_what_was_written_a_moment_before(self, drops: Drops) -> None:
        (drops.folder / "a.json").write_bytes(event(1))

        assert drops.ingest(settle=0.3, wait_for_settle=True) == Receipt(new=1)

    def test_a_stop_ends_that_wait(self, drops: Drops) -> None:
        (drops.folder / "a.json").write_bytes(event(1))
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()

        with drops.feed(settle=3600.0) as feed:
            assert feed.ingest(stop.is_set, wait_for_settle=True) == Receipt()

        assert drops.tree() == ["a.json"]

    def test_a_file_that_is_half_written_is_recorded_whole_once_it_is_complete(self, drops: Drops) -> None:
        content = repeated(100)
        path = drops.folder / "a.ndjson"
        with drops.feed(settle=600.0) as feed, path.open("wb", buffering=0) as writer:
            writer.write(content[: len(content) // 2])
            assert feed.ingest(never) == Receipt()
            writer.write(content[len(content) // 2 :])
            assert feed.ingest(never) == Receipt()
            os.utime(path, (1, 1))
            assert feed.ingest(never) == Receipt(new=100)

        assert drops.read("done/*/a.ndjson") == content
        assert drops.events() == {"accepted": 100}

    def test_a_file_that_grows_while_it_is_read_is_read_again_to_its_end(self, drops: Drops, log: list[Any]) -> None:
        """The writer paused for longer than settle: nothing it wrote later is lost."""
        drops.put("a.ndjson", repeated(3) + BAD)
        writer = (drops.folder / "a.ndjson").open("ab", buffering=0)

        with drops.feed() as feed, writer:
            record = feed._intake.record

            def record_while_it_grows(*args: Any, **options: Any) -> Recording:
                writer.write(b"}\n" + event("late") + b"\n")
                feed._intake.record = record  # type: ignore[method-assign]
                return record(*args, **options)

            feed._intake.record = record_while_it_grows  # type: ignore[method-assign]
            feed.ingest(never)
            assert told(log, "drop.still-written")
            feed.ingest(never)

        assert "mlate" in drops.messages()
        assert "done/a.ndjson" in drops.tree()


class TestRejecting:
    def test_a_file_without_any_good_event_goes_to_rejected_with_an_explanation_beside_it(self, drops: Drops) -> None:
        drops.put("bad.json", BAD)

        assert drops.ingest() == Receipt(rejected=1)

        assert drops.tree() == ["rejected/bad.json", "rejected/bad.json.error.txt"]
        assert drops.read("rejected/bad.json") == BAD
        text = drops.read("rejected/bad.json.error.txt").decode()
        assert text.startswith("bad.json: 1 of 1 events could not be understood.")
        assert "drop that file again" in text
        assert "mo-sync ledger" in text

    def test_of_a_mixed_file_the_good_is_recorded_and_the_bad_is_kept_with_each_place_and_reason(
        self, drops: Drops
    ) -> None:
        lines = [event(1), b'{"topic": }', event(2), b"rubbish", event(3)]
        drops.put("mixed.ndjson", b"\n".join(lines) + b"\n")

        receipt = drops.ingest()

        assert (receipt.new, receipt.rejected) == (3, 2)
        assert drops.messages() == {"m1", "m2", "m3"}
        assert drops.tree() == ["done/mixed.ndjson", "rejected/mixed.ndjson", "rejected/mixed.ndjson.error.txt"]
        assert drops.read("rejected/mixed.ndjson").splitlines() == [lines[1], lines[3]]
        text = drops.read("rejected/mixed.ndjson.error.txt").decode()
        assert "2 of 5 events could not be understood; the others are recorded" in text
        assert "line 2" in text
        assert "line 4" in text

    def test_of_a_file_whose_bad_part_cannot_be_cut_out_the_whole_is_kept_and_the_good_recorded(
        self, drops: Drops
    ) -> None:
        """Else deleting what is recorded would delete what is not."""
        broken = gzip.compress(repeated(500))[:-20]
        huge = event(1) + b"\n" + b'{"topic": "' + b"x" * 5_000 + b"\n" + event(2) + b"\n"
        drops.put("broken.ndjson.gz", broken)
        drops.put("huge.ndjson", huge)

        drops.ingest(keep="delete")

        assert {"m1", "m2"} <= drops.messages()
        assert drops.read("rejected/broken.ndjson.gz") == broken
        assert drops.read("rejected/huge.ndjson") == huge
        assert b"1 of 3 events could not be understood; the others are recorded" in drops.read("rejected/huge*.txt")
        assert len(drops.tree()) == 4

    def test_an_empty_file_is_rejected_loudly(self, drops: Drops) -> None:
        drops.put("empty.json", b"")

        drops.ingest()

        assert drops.tree() == ["rejected/empty.json", "rejected/empty.json.error.txt"]

    def test_a_mended_file_dropped_again_is_recorded_without_doubling_the_rest(self, drops: Drops) -> None:
        drops.put("a.ndjson", event(1) + b"\n" + BAD + b"\n")
        drops.ingest()
        drops.put("a.ndjson", event(1) + b"\n" + event(2) + b"\n")

        assert drops.ingest() == Receipt(new=1, duplicate=1)

    def test_different_rejected_files_of_one_name_never_overwrite_each_other(self, drops: Drops) -> None:
        for number in range(5):
            drops.put("bad.json", BAD + str(number).encode())
            drops.ingest()

        kept = {path.read_bytes() for path in (drops.folder / "rejected").glob("bad*.json")}
        assert kept == {BAD + str(number).encode() for number in range(5)}
        assert len(list((drops.folder / "rejected").glob("*.error.txt"))) == 5

    def test_the_same_rejected_file_dropped_again_is_kept_once(self, drops: Drops) -> None:
        for _ in range(3):
            drops.put("bad.json", BAD)
            drops.ingest()

        assert drops.tree() == ["rejected/bad.json", "rejected/bad.json.error.txt"]

    def test_a_large_file_full_of_rubbish_is_kept_as_it_is(self, drops: Drops) -> None:
        content = b"".join(b"{%d}\n" % number for number in range(3_500))
        drops.put("bad.ndjson", content)

        receipt = drops.ingest()

        assert receipt.rejected == 3_500
        assert drops.read("rejected/bad.ndjson") == content
        assert drops.read("rejected/bad.ndjson.error.txt").count(b"line ") >= 3_500
        assert drops.tree() == ["rejected/bad.ndjson", "rejected/bad.ndjson.error.txt"]

    def test_bad_events_all_over_a_large_file_are_all_kept_in_order(self, drops: Drops) -> None:
        lines = [event(n) if n % 7 else b"{%d}" % n for n in range(5_000)]
        drops.put("mixed.ndjson", b"\n".join(lines) + b"\n")

        drops.ingest()

        assert drops.read("rejected/mixed.ndjson").splitlines() == [line for n, line in enumerate(lines) if n % 7 == 0]
        assert drops.tree() == ["done/mixed.ndjson", "rejected/mixed.ndjson", "rejected/mixed.ndjson.error.txt"]


class TestNames:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        name=st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name)),
        content=st.sampled_from([event(1), BAD, event(2) + b"\n" + BAD]),
    )
    def test_whatever_the_name_nothing_is_lost_and_nothing_leaves_the_folder(
        self, tmp_path_factory: pytest.TempPathFactory, name: bytes, content: bytes
    ) -> None:
        drops = Drops(tmp_path_factory.mktemp("names"))
        if name in (b".", b".."):
            return
        drops.put(name, content)

        with capture_logs() as log:
            drops.ingest()

        kept = [path.read_bytes() for path in drops.folder.rglob("*") if path.is_file() and path.suffix != ".txt"]
        assert content in kept
        assert list(drops.folder.glob("processing/*")) == []
        assert sorted(path.name for path in drops.root.iterdir() if "ledger" not in path.name) == ["drop"]
        assert all(str(value).isprintable() for entry in log for value in entry.values())

    def test_names_already_in_done_are_never_overwritten(self, drops: Drops) -> None:
        for number in range(12):
            drops.put("a.json", event(number))
            drops.ingest()

        kept = {path.read_bytes() for path in drops.folder.glob("done/*/*")}
        assert kept == {event(number) for number in range(12)}


class TestTrouble:
    def test_while_the_ledger_is_out_of_reach_files_wait_and_are_recorded_later(self, drops: Drops) -> None:
        for number in range(3):
            drops.put(f"{number}.json", event(number))
        with drops.feed(intake=OutOfReachIntake()) as feed, pytest.raises(LedgerOutOfReach):
            feed.ingest(never)

        assert drops.ingest() == Receipt(new=3)

        assert drops.tree() == ["done/0.json", "done/1.json", "done/2.json"]
        assert list((drops.folder / "processing").iterdir()) == []

    def test_the_same_process_takes_its_waiting_files_again(self, drops: Drops) -> None:
        drops.put("a.json", event(1))
        with drops.feed() as feed:
            works, feed._intake = feed._intake, OutOfReachIntake()  # type: ignore[assignment]
            with pytest.raises(LedgerOutOfReach):
                feed.ingest(never)
            feed._intake = works

            assert feed.ingest(never) == Receipt(new=1)

        assert drops.tree() == ["done/a.json"]

    def test_files_lying_in_processing_itself_are_taken_again(self, drops: Drops) -> None:
        drops.ingest()
        drops.put("processing/a.json", event(1))

        assert drops.ingest() == Receipt(new=1)

        assert drops.tree() == ["done/a.json"]

    def test_what_a_live_neighbour_holds_is_left_alone(self, drops: Drops) -> None:
        drops.put("a.json", event(1))
        with drops.feed(intake=OutOfReachIntake()) as neighbour:
            with pytest.raises(LedgerOutOfReach):
                neighbour.ingest(never)

            assert drops.ingest() == Receipt()

        assert drops.ingest() == Receipt(new=1)

    def test_what_a_live_neighbour_holds_is_left_alone_even_when_its_lock_was_removed(self, drops: Drops) -> None:
        drops.put("a.json", event(1))
        with drops.feed(intake=OutOfReachIntake()) as neighbour:
            with pytest.raises(LedgerOutOfReach):
                neighbour.ingest(never)
            [lock] = drops.folder.glob("processing/*/.lock")
            lock.unlink()

            assert drops.ingest() == Receipt()
            with pytest.raises(LedgerOutOfReach):
                neighbour.ingest(never)
            assert lock.exists()

        assert drops.ingest() == Receipt(new=1)

    def test_a_taken_name_that_is_dropped_again_meanwhile_does_not_replace_the_first(self, drops: Drops) -> None:
        drops.put("a.json", event(1))
        with drops.feed() as feed:
            works, feed._intake = feed._intake, OutOfReachIntake()  # type: ignore[assignment]
            for number in (2, 3):
                with pytest.raises(LedgerOutOfReach):
                    feed.ingest(never)
                drops.put("a.json", event(number))
            feed._intake = works
            feed.ingest(never)

        assert drops.messages() == {"m1", "m2", "m3"}

    def test_a_stop_in_the_middle_leaves_the_rest_for_the_next_pass(self, drops: Drops) -> None:
        for number in range(10):
            drops.put(f"{number}.json", event(number))
        asked = iter([False] * 4)

        with drops.feed() as feed:
            first = feed.ingest(lambda: next(asked, True))
        second = drops.ingest()

        assert 0 < first.new < 10
        assert first + second == Receipt(new=10)
        assert drops.tree() == [f"done/{number}.json" for number in range(10)]

    def test_a_stop_in_the_middle_of_a_large_file_leaves_the_whole_file_for_the_next_pass(self, drops: Drops) -> None:
        drops.put("a.ndjson", repeated(3_500))

        with drops.feed() as feed:
            first = feed.ingest(lambda: True)
        second = drops.ingest()

        assert 1_000 <= first.new < 3_500
        assert second == Receipt(new=3_500 - first.new, duplicate=first.new)
        assert drops.tree() == ["done/a.ndjson"]

    def test_a_day_of_done_that_is_a_link_elsewhere_holds_up_nothing_but_the_filing(
        self, drops: Drops, log: list[Any]
    ) -> None:
        drops.ingest()
        (drops.root / "elsewhere").mkdir()
        clock = HandClock()
        (drops.folder / "done" / clock.now().date().isoformat()).symlink_to(drops.root / "elsewhere")
        with drops.feed(clock=clock) as feed:
            for number in range(3):
                drops.put(f"{number}.json", event(number))
                assert feed.ingest(never) == Receipt(new=1)

        assert drops.messages() == {"m0", "m1", "m2"}
        assert drops.query("select sum(deliveries) from event") == [(3,)]
        assert list((drops.root / "elsewhere").iterdir()) == []
        assert ["drop-folder-not-ours" in entry["reason"] for entry in told(log, "drop.left-alone")] == [True] * 3

    def test_a_stop_and_the_watchdog_are_heeded_on_the_long_way_through_a_file_that_is_all_holes(
        self, drops: Drops
    ) -> None:
        """It takes no room on the disk, and minutes to read: long enough for systemd to lose its patience."""
        os.truncate(drops.put("holes.json", b""), 64 * 2**30)
        os.utime(drops.folder / "holes.json", (1, 1))
        asked = iter([False] * 3)

        with drops.feed() as feed:
            assert feed.ingest(lambda: next(asked, True)) == Receipt()

        assert drops.events() == {}
        assert [name.rpartition("/")[2] for name in drops.tree()] == [".lock", "holes.json"]

    def test_a_stop_in_the_middle_ends_a_one_shot_pass_too_and_nothing_is_read_twice(self, drops: Drops) -> None:
        drops.put("a.ndjson", repeated(3_500))
        for number in range(30):  # most likely one of them is looked at first
            drops.put(f"unsettled-{number}.json", event("new"), age_s=-3600)

        with drops.feed() as feed:
            receipt = feed.ingest(lambda: True, wait_for_settle=True)

        assert receipt.duplicate == 0
        assert 1_000 <= receipt.new < 3_500


def test_five_thousand_small_files_at_once_are_recorded_in_a_few_transactions(drops: Drops, log: list[Any]) -> None:
    for number in range(5_000):
        (drops.folder / f"{number}.json").write_bytes(event(number))

    assert drops.ingest(settle=0.0) == Receipt(new=5_000)

    assert drops.tree() == sorted(f"done/{number}.json" for number in range(5_000))
    assert len(told(log, "drop.recorded")) <= 10


class TestTurns:
    """A stopped neighbour, or anyone who may open the folder and lock it, could else hold up intake and stop."""

    @pytest.fixture
    def kept(self, drops: Drops) -> Iterator[int]:
        """A lock on processing/ that is never let go, and a file that comes meanwhile."""
        drops.put("a.json", event(1))
        drops.ingest()
        drops.put("b.json", event(2))
        kept = os.open(drops.folder / "processing", os.O_RDONLY)
        fcntl.flock(kept, fcntl.LOCK_SH)
        yield kept
        with contextlib.suppress(OSError):
            os.close(kept)

    def test_it_is_waited_for_no_longer_than_a_while_and_then_filed_away_at_once(self, drops: Drops, kept: int) -> None:
        with drops.feed(clock=HandClock(datetime.now(UTC))) as feed:
            with pytest.raises(OutOfReach, match="drop-locked"):
                feed.ingest(never)
            assert drops.messages() == {"m1", "m2"}
            os.close(kept)
            feed.ingest(never)

        assert drops.tree() == ["done/a.json", "done/b.json"]

    def test_meanwhile_events_are_recorded_once_and_each_pass_says_what_is_wrong(self, drops: Drops, kept: int) -> None:
        clock = HandClock(datetime.now(UTC))
        with drops.feed(clock=clock) as feed:
            for number in range(3, 6):
                with pytest.raises(OutOfReach, match="drop-locked"):
                    feed.ingest(never)
                waited_s = clock.monotonic()
                drops.put(f"{number}.json", event(number))
            with pytest.raises(OutOfReach, match="drop-locked"):
                feed.ingest(never)

        assert clock.monotonic() == waited_s, "once it was in vain, nobody waits again"
        assert drops.query("select count(*), sum(deliveries) from event") == [(5, 5)]
        os.close(kept)
        assert drops.ingest() == Receipt(duplicate=4)

    def test_a_stop_ends_the_wait_and_is_no_trouble(self, drops: Drops, kept: int) -> None:
        asked = iter([False] * 5)
        clock = HandClock(datetime.now(UTC))
        began_s = clock.monotonic()
        with drops.feed(clock=clock) as feed:
            assert feed.ingest(lambda: next(asked, True)) == Receipt(new=1)

        assert clock.monotonic() - began_s < 1.0
        os.close(kept)
        assert drops.ingest() == Receipt(duplicate=1)
        assert drops.tree() == ["done/a.json", "done/b.json"]
