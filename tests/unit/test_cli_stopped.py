"""A backup or an export that is stopped says what was left, and leaves nothing half-written."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mo_sync.cli import exporting
from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as LedgerSettings
from tests.commands import Called, call
from tests.ledgers import items, recorded


@pytest.fixture
def here(tmp_path: Path) -> Callable[..., Called]:
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        recorded(ledger, *items(5))
    return lambda *words: call("sqlite:///ledger.db", tmp_path, "ledger", *words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("was_there", [True, False])
def test_a_backup_ends_as_the_signal_has_it_and_says_what_is_left(
    here: Callable[..., Called],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    was_there: bool,
) -> None:
    @contextlib.contextmanager
    def at_once(_: object, act: Callable[[int], None], *, second_ends: bool) -> Iterator[None]:
        assert second_ends
        act(number)
        yield

    monkeypatch.setattr("mo_sync.cli.backup.heard", at_once)
    target = tmp_path / "copy.db"
    if was_there:
        target.write_bytes(b"the last good copy")

    called = here("backup", str(target), "--force")

    left = f"{target} is as it was" if was_there else f"there is no {target}"
    assert (called.exit_code, called.err) == (128 + number, f"nothing of the copy is left; {left}\n")
    assert [path.name for path in tmp_path.glob("*copy*")] == (["copy.db"] if was_there else [])


def test_an_export_leaves_nothing_of_the_list(
    here: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(part: Path, *_: object) -> None:
        part.write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_write", interrupted)

    called = here("export", "events", "--output", str(tmp_path / "a.csv"))

    assert called.exit_code == 130
    assert called.err == f"nothing of the list is left; there is no {tmp_path / 'a.csv'}\n"
    assert list(tmp_path.glob("*a.csv*")) == []


def test_at_a_terminal_an_export_to_a_file_says_of_how_many(
    here: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []
    monkeypatch.setattr("mo_sync.cli.output.can_be_drawn_on", lambda *_: True)
    monkeypatch.setattr("mo_sync.cli.bar.Bar.expect", lambda _, left: expected.append(left))

    here("export", "attachments", "--output", str(tmp_path / "a.csv"))
    here("export", "events", "--application", "nobody", "--output", str(tmp_path / "b.csv"))

    assert expected == [5, 0]
