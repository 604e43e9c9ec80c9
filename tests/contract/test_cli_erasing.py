"""``mo-sync ledger erase``, on every database: what it is told is heeded, and what it did is told whatever happens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mo_sync.cli import erasing
from mo_sync.errors import LedgerOutOfReach, StoreOutOfReach, UsageError
from mo_sync.events import RawEvent, parse
from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.erasure import Erased, erase_message
from mo_sync.ledger.interventions import By
from mo_sync.store import LocalStore, Placement
from mo_sync.upkeep import erase as upkeep
from tests.commands import Called, call
from tests.contract.conftest import House
from tests.ledgers import announced, column, later, recorded, settlement, stored
from tests.stores import put_in_place

ANNA = "+14085550100"
Ask = Callable[..., Called]


@pytest.fixture
def erase(house: House, tmp_path: Path) -> Ask:
    """Call ``mo-sync ledger erase --yes --json …`` on the test's ledger."""

    def ask(*words: str) -> Called:
        return call(house.url, tmp_path, "ledger", "erase", "--yes", "--json", *words)

    return ask


@pytest.fixture
def filled(ledger: Ledger, tmp_path: Path) -> Ledger:
    """Two messages of Anna, each by another channel and with a file; the announcements of both lie in done/."""
    events = [
        announced("E1", "M1", ["A1"], from_address=ANNA),
        announced("E2", "M2", ["A2"], from_address=f"whatsapp:{ANNA}"),
    ]
    recorded(ledger, *events)
    done = tmp_path / "drop" / "done" / "2026-11-20"
    done.mkdir(parents=True)
    for name, (event, _) in zip("12", events, strict=True):
        (done / f"{name}.json").write_bytes(event.body)
    store = LocalStore(tmp_path / "media", "worker-1")
    leases = claim(ledger, worker="w", count=9, now=later(0), lease_s=60)
    for lease in leases:
        put(store, stored(lease).key)
    store.close()
    assert all(settle(ledger, [settlement(lease, stored(lease), now=later(1)) for lease in leases], worker="w"))
    return ledger


def put(store: LocalStore, key: str) -> None:
    staged = store.stage(hashlib.sha256(key.encode()).hexdigest())
    staged.write(key.encode())
    staged.finish()
    put_in_place(store, Placement(staged, key))


def copies(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "drop").rglob("*.json"))


def files(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "media").rglob("*.jpg"))


@pytest.mark.parametrize(
    ("number", "left"), [(ANNA, []), (ANNA[1:], []), ("+1 (408) 555-0100", []), (f"whatsapp:{ANNA}", ["M1"])]
)
def test_a_number_is_meant_in_every_channel_unless_it_names_one(
    filled: Ledger, erase: Ask, tmp_path: Path, number: str, left: list[str]
) -> None:
    told = erase("--from", number)

    assert (told.exit_code, len(told.document["messages"])) == (0, 2 - len(left))
    assert column(filled, "select id from message where from_address is not null") == left
    assert copies(tmp_path) == [name[1:] for name in left]
    assert files(tmp_path) == [f"0-A{name[1:]}" for name in left]


class Killed(BaseException):
    """At the worst moment."""


WAYS = [["M1", "M2"], ["A1", "A2"], ["E1", "E2"], ["--from", ANNA]]


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("words", WAYS)
def test_who_was_killed_when_the_copies_had_gone_does_the_same_again(
    filled: Ledger, erase: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """They go first: afterwards the ledger has but stand-ins for the ids by which they are found."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(erasing, "erase_all", killed)
        erase(*words)
    assert len(files(tmp_path)) == 2
    by_attachment = words == ["A1", "A2"]
    assert copies(tmp_path) == (["10", "20"] if by_attachment else [])

    told = erase(*words)

    assert (told.exit_code, len(told.document["attachments"])) == (0, 2)
    assert files(tmp_path) == []


@pytest.mark.parametrize("words", WAYS)
def test_a_copy_that_comes_to_lie_there_meanwhile_goes_too(
    filled: Ledger, erase: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A file that was being read when it began."""
    held = [path.rename(tmp_path / path.name) for path in (tmp_path / "drop/done/2026-11-20").iterdir()]
    all_of_it = erasing.erase_all

    def meanwhile(*arguments: Any, **more: Any) -> Any:
        report = all_of_it(*arguments, **more)
        for path in held:
            path.rename(tmp_path / "drop/done/2026-11-20" / path.name)
        return report

    monkeypatch.setattr(erasing, "erase_all", meanwhile)
    told = erase(*words)

    assert (told.exit_code, told.document["copies"], copies(tmp_path)) == (0, 2, [])


LOCKED = LedgerOutOfReach("ledger-locked", "the ledger is locked", item="the ledger", hint="see who has it")


def test_the_report_is_given_also_when_the_ledger_cannot_be_written_anew(
    filled: Ledger, erase: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> bool:
        raise LOCKED

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "tidy", locked)
        first, second = erase("--from", ANNA, "--vacuum"), erase("--from", ANNA, "--vacuum")
    last = erase("--from", ANNA, "--vacuum")

    told = first.document
    assert (first.exit_code, len(told["messages"]), told["files"], told["copies"]) == (4, 2, 2, 2)
    assert (told["left"], told["vacuumed"]) == (
        {"ledger": "ledger-locked: the ledger is locked; see who has it"},
        False,
    )
    assert (second.exit_code, second.document["messages"]) == (75, [])
    assert (last.exit_code, last.document["left"], last.document["vacuumed"]) == (0, {}, True)


def test_the_report_says_how_far_it_came_when_the_ledger_went_in_the_middle(
    filled: Ledger, erase: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(ledger: Ledger, message_id: str, by: By, *, now: datetime) -> Erased:
        if message_id == "M2":
            raise LOCKED
        return erase_message(ledger, message_id, by, now=now)

    with monkeypatch.context() as patched:
        patched.setattr(upkeep, "erase_message", once)
        first = erase("M1", "M2")
    again = erase("M1", "M2")

    told = first.document
    assert (first.exit_code, len(told["messages"]), told["copies"], *told["left"]) == (4, 1, 2, "ledger")
    assert column(filled, "select count(*) from message where from_address is not null") == [0]
    assert (again.exit_code, len(again.document["messages"]), files(tmp_path)) == (0, 1, [])


@pytest.mark.parametrize(
    "number", ["anna", "+1", "whatsapp:", "whatsapp:anna", "whatsapp:+1", ":+14085550100", "a b:1"]
)
def test_what_is_no_number_is_refused(filled: Ledger, erase: Ask, number: str) -> None:
    with pytest.raises(UsageError, match="number-not-understood"):
        erase("--from", number)


def test_what_would_go_is_counted_in_all(filled: Ledger, erase: Ask) -> None:
    told = erase("--from", ANNA, "--dry-run").document

    size = told.pop("bytes")
    assert size > 0
    assert told == {"erased": False, "dry_run": True, "messages": 2, "attachments": 2, "events": 2, "files": 2}


@pytest.mark.parametrize(("typed", "left"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_somebody_at_the_keyboard_is_asked_also_when_the_report_goes_elsewhere(
    filled: Ledger, house: House, tmp_path: Path, typed: str, left: int
) -> None:
    told = call(house.url, tmp_path, "ledger", "erase", "--from", ANNA, "--json", typed=typed)

    assert "erase 2 messages, 2 attachments, 2 events and 2 files" in told.err
    assert "[y/N]" in told.err
    assert told.document["erased"] is (left == 0)
    assert column(filled, "select count(*) from message where from_address is not null") == [left]


def test_who_cannot_be_asked_says_yes_beforehand(filled: Ledger, house: House, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not-agreed"):
        call(house.url, tmp_path, "ledger", "erase", "--from", ANNA)

    assert column(filled, "select count(*) from message where from_address is not null") == [2]


def signalled(patched: pytest.MonkeyPatch, number: int) -> None:
    """The signal comes while the first message is erased."""
    heard: list[Callable[[int], object]] = []

    @contextlib.contextmanager
    def hearing(numbers: Sequence[int], act: Callable[[int], object], **_: object) -> Iterator[None]:
        heard.extend([act] if number in numbers else [])
        yield

    def interrupted(ledger: Ledger, message_id: str, by: By, *, now: datetime) -> Erased:
        heard[0](number)
        return erase_message(ledger, message_id, by, now=now)

    patched.setattr(upkeep, "erase_message", interrupted)
    patched.setattr(erasing, "heard", hearing)


@pytest.fixture
def nameless(tmp_path: Path, filled: Ledger) -> None:
    """Copies that say no number: who knows but that does not find them."""
    for name in ("1", "2"):
        path = tmp_path / f"drop/done/2026-11-20/{name}0.json"
        path.write_text(json.dumps({"message_id": f"M{name}"}))


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_interrupted_says_what_was_erased_and_does_the_rest_the_next_time(
    filled: Ledger, erase: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    with monkeypatch.context() as patched:
        signalled(patched, number)
        first = erase("--from", ANNA)
    assert (copies(tmp_path), files(tmp_path)) == ([], ["0-A2"])
    again = erase("--from", ANNA)

    told = first.document
    assert (first.exit_code, len(told["messages"]), told["whole"], told["copies"]) == (code, 1, False, 4)
    assert (told["files"], told["left"]) == (1, {})
    assert (again.exit_code, len(again.document["messages"]), again.document["whole"]) == (0, 1, True)
    assert (copies(tmp_path), files(tmp_path)) == ([], [])


def test_who_is_interrupted_and_has_a_slow_store_says_what_is_left(
    filled: Ledger, erase: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        signalled(patched, signal.SIGINT)
        patched.setattr(erasing, "_FILES_S", 0.0)
        first = erase("--from", ANNA)
    assert first.document["left"] == {"files": "of 1 attachments that were erased, not removed yet"}
    assert len(files(tmp_path)) == 2

    assert erase("--from", ANNA).exit_code == 0
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", ["4085550100", "whatsapp:4085550100", "85550100"])
def test_a_number_without_its_country_code_is_not_answered_with_nothing(
    filled: Ledger, erase: Ask, number: str
) -> None:
    with pytest.raises(UsageError, match="number-not-whole") as caught:
        erase("--from", number)

    assert "********0100" in caught.value.summary
    assert ANNA not in caught.value.summary
    assert erase("--from", "14095550100").exit_code == 0, "nobody's"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--from", ANNA], f"request of {ANNA}"),
        (["--from", ANNA[1:]], "of +1 (408) 555-0100"),
        (["M1"], "message M1"),
        (["M1"], f"asked for by {ANNA}"),
        (["--from", ANNA], "customer 408-555-0100 asked"),
        (["A2"], "whatsapp 14085550100"),
    ],
)
def test_what_is_to_be_forgotten_does_not_stand_in_the_reason(
    filled: Ledger, erase: Ask, words: list[str], reason: str
) -> None:
    with pytest.raises(UsageError, match="reason-names-it"):
        erase(*words, "--reason", reason)

    assert column(filled, "select count(*) from message where from_address is not null") == [2]
    assert erase(*words, "--reason", "request 4711 of 2026-11-20, see case M12 and 0100").exit_code == 0


@pytest.mark.parametrize("body", [b"{broken of somebody", b"hello", b"0", b" "])
def test_a_rejected_event_goes_with_its_file_and_what_is_said_of_it_and_no_other_does(
    filled: Ledger, erase: Ask, tmp_path: Path, body: bytes
) -> None:
    """Many others have a short one somewhere in them."""
    broken = RawEvent("drop:b.json", body, later(0))
    recorded(filled, (broken, parse(broken)))
    rejected = tmp_path / "drop" / "rejected"
    rejected.mkdir(parents=True)
    (rejected / "b.json").write_bytes(body + b"\n")
    (rejected / "other.json").write_bytes(b"{broken, hello 0")
    (rejected / "b.json.error.txt").write_text(f"{parse(broken).event_key} cannot be read")
    [key] = column(filled, "select event_key from event where state = 'rejected'")

    told = erase(key)

    assert (told.exit_code, told.document["events"], told.document["copies"]) == (0, 1, 1)
    assert [path.name for path in rejected.iterdir()] == ["other.json"]
    assert copies(tmp_path) == ["1", "2", "other"]


def test_a_store_that_cannot_be_opened_costs_no_copy(filled: Ledger, erase: Ask, tmp_path: Path) -> None:
    (tmp_path / "media").rename(tmp_path / "unmounted")
    (tmp_path / "media").write_text("no folder")

    with pytest.raises(StoreOutOfReach):
        erase("--from", ANNA)
    assert copies(tmp_path) == ["1", "2"]


def test_a_part_of_a_number_is_refused_also_beside_an_id(filled: Ledger, erase: Ask) -> None:
    with pytest.raises(UsageError, match="number-not-whole"):
        erase("M1", "--from", "4085550100")


def test_who_names_what_was_pruned_is_told_how_its_copies_are_found(filled: Ledger, erase: Ask) -> None:
    with pytest.raises(UsageError, match="id-unknown") as caught:
        erase("M9")

    assert "--from" in (caught.value.hint or "")


def test_who_is_interrupted_while_the_ledger_is_written_anew_gets_the_report_all_the_same(
    filled: Ledger, erase: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Callable[[int], object]] = []

    @contextlib.contextmanager
    def hearing(_: Sequence[int], act: Callable[[int], object], **__: object) -> Iterator[None]:
        heard.append(act)
        yield

    def interrupted(*_: object, stop: Callable[[], bool], compact: bool) -> bool:
        assert compact
        heard[0](signal.SIGINT)
        return not stop()

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "heard", hearing)
        patched.setattr(Ledger, "tidy", interrupted)
        first = erase("--from", ANNA, "--vacuum")
    again = erase("--from", ANNA, "--vacuum")

    told = first.document
    assert (first.exit_code, len(told["messages"]), told["copies"]) == (130, 2, 2)
    assert (told["vacuumed"], told["whole"]) == (False, False)
    assert told["left"] == {"ledger": "it was not written anew: it may still hold what was erased"}
    assert (again.exit_code, again.document["vacuumed"], again.document["whole"]) == (0, True, True)


def test_an_event_that_comes_after_the_erasure_goes_by_the_id_that_is_typed_again(ledger: Ledger, erase: Ask) -> None:
    recorded(ledger, announced("E1", "MessageOfAnna1", [], from_address=ANNA))
    assert erase("MessageOfAnna1").exit_code == 0
    cut = RawEvent("drop:1", b'{"message_body": "my secret", "message_id": "MessageOfAnna1", "att', later(9))
    recorded(ledger, (cut, parse(cut)))

    assert erase("MessageOfAnna1").document["events"] == 1
    assert column(ledger, "select id from event where payload like '%secret%'") == []
