"""No command writes over what mo-sync itself lives by, whatever it was told to write and with whatever force."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mo_sync.errors import UsageError
from mo_sync.ledger import Ledger
from mo_sync.settings import Ledger as LedgerSettings
from tests.commands import Called, call

OURS = {
    "ledger.db": "this is the ledger itself",
    "ledger.db-wal": "this is the ledger's -wal",
    "ledger.db-shm": "this is the ledger's -shm",
    "ledger.db-journal": "this is the ledger's -journal",
    "mo-sync.toml": "this is the configuration",
    "token": "this is the file of gateway.token_file",
    "relay.key": "this is the file of relay.certificate_key",
    "sub/../token": "this is the file of gateway.token_file",
    "other-name-of-the-ledger.db": "this is the ledger itself",
}
WRITERS = (
    ("ledger", "backup", "FILE", "--force"),
    ("ledger", "export", "events", "--output", "FILE", "--force"),
    ("doctor", "--bundle", "FILE", "--force"),
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db")).close()
    (tmp_path / "token").write_text("geheim\n")
    (tmp_path / "sub").mkdir()
    os.link(tmp_path / "ledger.db", tmp_path / "other-name-of-the-ledger.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(root: Path, *words: str) -> Called:
    more = {
        "gateway": {"token_file": "token", "base_url": "http://127.0.0.1:9"},
        "relay": {"certificate_key": "relay.key"},
    }
    return call("sqlite:///ledger.db", root, *words, more=more)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("words", WRITERS, ids=lambda words: words[1])
def test_what_mo_sync_lives_by_is_replaced_by_no_command(root: Path, words: tuple[str, ...], name: str) -> None:
    """A backup named as the ledger's log would have been read by SQLite as a part of the ledger."""
    before = {path.name: path.stat().st_ino for path in root.iterdir()}

    with pytest.raises(UsageError) as caught:
        called(root, *(name if word == "FILE" else word for word in words))

    assert (caught.value.code, caught.value.summary) == ("target-ours", OURS[name])
    kept = {path.name: path.stat().st_ino for path in root.iterdir()}
    assert {path: kept.get(path) for path in before} == before
    assert name not in {"ledger.db-journal", "relay.key"} or name not in kept


def test_a_file_that_is_not_ours_is_replaced(root: Path) -> None:
    (root / "copy.db").write_bytes(b"old")

    assert called(root, "ledger", "backup", "copy.db", "--force").exit_code == 0


def test_a_configuration_that_cannot_be_read_is_not_replaced_either(root: Path) -> None:
    """What support asks for is wanted most of all where the configuration is broken."""
    with pytest.raises(UsageError, match=r"target-ours: mo-sync\.toml: this is the configuration"):
        call("none", root, "doctor", "--bundle", "mo-sync.toml", "--force", more={"gateway": {"tokn": "x"}})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ledger.db", "target-ours: .*: this is the ledger itself"),
        ("token", "target-ours: .*: this is the file of gateway.token_file"),
        ("a-picture.jpg", "target-no-configuration: .*: what is there is no text"),
        ("pipe", "target-no-file: .*: a pipe is there"),
    ],
)
def test_what_is_no_configuration_init_does_not_write_anew(root: Path, name: str, said: str) -> None:
    """It was renamed to `.old`, with a configuration in its place: a token, the ledger, and for root /dev/null."""
    (root / "a-picture.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    os.mkfifo(root / "pipe")
    before = (root / name).lstat()

    with pytest.raises(UsageError, match=said):
        called(root, "--config", name, "init", "--force")

    assert os.path.samestat(before, (root / name).lstat())
    assert not (root / f"{name}.old").exists()
