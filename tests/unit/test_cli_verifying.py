"""What verify ends with: 0 only where nothing is wrong any more."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer

from mo_sync.cli.context import Context
from mo_sync.cli.main import app
from mo_sync.errors import StoreOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.presence import Presence
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.upkeep import faults
from tests.ledgers import items, recorded

Verify = Callable[..., tuple[int, str]]
LONG_AGO_S = 1_000_000_000.0


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Verify]:
    """A ledger that knows of no file, and its store; and a way to say ``mo-sync ledger verify``."""
    monkeypatch.setattr(os, "nice", lambda _: None)
    (tmp_path / "mo-sync.toml").write_text('[log]\nlevel = "error"\n')
    with Ledger.open(LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        recorded(ledger, *items(2))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def said(*words: str) -> tuple[int, str]:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        context = Context(environ={}, cwd=tmp_path, out=out, err=io.StringIO())
        code = typer.main.get_command(app).main(["ledger", "verify", *words], standalone_mode=False, obj=context)
        return code, out.buffer.getvalue().decode()  # type: ignore[attr-defined]

    yield said
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


def orphan(folder: Path, name: str | bytes = "stray.jpg") -> Path:
    media = folder / "media"
    media.mkdir(exist_ok=True)
    path = media / os.fsdecode(name)
    path.write_bytes(b"nobody's")
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return path


def document(said: tuple[int, str]) -> tuple[int, dict[str, Any]]:
    return said[0], json.loads(said[1])


def test_what_could_not_be_mended_needs_a_person(verify: Verify, tmp_path: Path) -> None:
    path = orphan(tmp_path)
    (tmp_path / "media/lost+found").write_text("no folder")

    code, told = document(verify("--repair", "--json"))

    assert (code, path.exists()) == (5, True)
    assert [one["mended"] for one in told["found"]] == ["left"]
    assert verify("--repair")[1].endswith("1 could not be mended\n")


def test_a_name_that_is_no_utf_8_is_an_orphans_like_any_other(verify: Verify, tmp_path: Path) -> None:
    """The ledger cannot even be asked for it; nor could the name be printed, or moved by --repair."""
    path = orphan(tmp_path, b"caf\xe9.jpg")

    code, told = document(verify("--json"))
    assert (code, [os.fsencode(one["key"]) for one in told["found"]]) == (5, [b"caf\xe9.jpg"])
    assert "caf\\udce9.jpg" in verify()[1]

    code, told = document(verify("--repair", "--json"))
    assert (code, told["found"][0]["mended"], path.exists()) == (0, "done", False)
    assert (tmp_path / "media/lost+found" / path.name).exists()


def test_of_many_orphans_some_are_kept_and_all_are_counted(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a wrong ledger there may be millions of them."""
    monkeypatch.setattr(faults, "MOST_ORPHANS", 5)
    paths = [orphan(tmp_path, f"{n}.jpg") for n in range(8)]

    code, told = document(verify("--json"))
    assert (code, told["faults"], len(told["found"]), told["left_out"]) == (5, {"orphan": 8}, 5, 3)

    code, said = verify("--repair")
    assert (code, sum(path.exists() for path in paths)) == (5, 3)
    assert "8 orphan" in said
    assert said.endswith("only counted: 3 orphans; verify again when the others are dealt with\n")
    assert verify("--repair")[0] == 0


def test_what_was_mended_is_well(verify: Verify, tmp_path: Path) -> None:
    orphan(tmp_path)

    assert verify()[0] == 5
    code, told = document(verify("--repair", "--json"))

    assert code == 0
    assert [(one["mended"], one["remark"]) for one in told["found"]] == [
        ("done", "what lay there is now lost+found/stray.jpg")
    ]
    assert verify()[0] == 0


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def test_without_repair_nothing_is_made_in_the_store_nor_the_store_itself(verify: Verify, tmp_path: Path) -> None:
    """A folder for temporary files was: in a snapshot, or on a disk that is mounted read-only, that is an error."""
    assert verify() == (0, "0 files looked at (0 B): all is well\n")
    assert not (tmp_path / "media").exists()

    orphan(tmp_path)
    before = tree(tmp_path / "media")
    assert verify()[0] == 5
    assert tree(tmp_path / "media") == before


def unreadable(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """What a folder of mode 000 is to everybody but root."""
    as_it_is = os.scandir

    def scandir(folder: Any) -> Any:
        if Path(folder) == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return as_it_is(folder)

    monkeypatch.setattr("mo_sync.store.inventory.os.scandir", scandir)


def test_a_folder_that_cannot_be_read_is_a_finding_and_ends_nothing(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan(tmp_path)
    (tmp_path / "media/2026").mkdir()
    (tmp_path / "media/2026/shut").mkdir()
    unreadable(monkeypatch, tmp_path / "media/2026/shut")

    code, told = document(verify("--json"))
    found = {one["key"]: (one["fault"], one["detail"]) for one in told["found"]}
    assert code == 5
    assert found["2026/shut/"] == ("unreadable", "the folder cannot be read (Permission denied)")
    assert found["stray.jpg"][0] == "orphan"

    code, told = document(verify("--repair", "--json"))
    assert (code, {one["key"]: one["mended"] for one in told["found"]}) == (
        5,
        {"2026/shut/": "left", "stray.jpg": "done"},
    )
    assert (tmp_path / "media/2026/shut").is_dir()


def test_a_store_that_cannot_be_read_at_all_is_out_of_reach(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "media").mkdir()
    unreadable(monkeypatch, tmp_path / "media")

    with pytest.raises(StoreOutOfReach, match=r"store-unreadable: .*Permission denied"):
        verify()


def test_what_dead_workers_left_is_found_and_removed_and_what_the_living_write_is_not(
    verify: Verify, tmp_path: Path
) -> None:
    incoming = tmp_path / "media/.incoming"
    living = Presence.enter(incoming, "living-1-aa")
    for worker in ("dead-2-bb", "living-1-aa"):
        (incoming / worker).mkdir(exist_ok=True)
        (incoming / worker / ".lock").touch()
        (incoming / worker / "lease.part").write_bytes(b"half")
    (incoming / "dead-2-bb" / "not-ours").write_bytes(b"?")
    before = tree(incoming)

    code, told = document(verify("--json"))
    found = {one["key"]: (one["fault"], one["detail"]) for one in told["found"]}
    assert (code, tree(incoming)) == (5, before)
    assert found == {
        ".incoming/dead-2-bb/lease.part": ("stale-temporary", "4 bytes that a dead worker left"),
        ".incoming/dead-2-bb/not-ours": ("stale-temporary", "1 bytes that a dead worker left"),
    }

    code, told = document(verify("--repair", "--json"))
    assert (code, [one["mended"] for one in told["found"]]) == (5, ["done", "left"])
    assert (incoming / "living-1-aa/lease.part").exists()
    (incoming / "dead-2-bb/not-ours").unlink()
    assert verify()[0] == 0
    living.leave()


def test_hidden_files_are_orphans_and_what_is_passed_by_is_mentioned(verify: Verify, tmp_path: Path) -> None:
    path = orphan(tmp_path, ".left-by-rsync")
    (tmp_path / "media/.snapshots").mkdir()
    (tmp_path / "media/2026").symlink_to("/nowhere")

    code, told = document(verify("--json"))
    assert (code, [(one["fault"], one["key"]) for one in told["found"]]) == (5, [("orphan", path.name)])
    assert {one["key"]: one["detail"] for one in told["passed_by"]} == {
        ".snapshots": "a hidden folder",
        "2026": "a link",
    }
    assert "nothing of ours lies there: .snapshots (a hidden folder), 2026 (a link)\n" in verify()[1]

    assert verify("--repair")[0] == 0
    assert (tmp_path / "media/lost+found/.left-by-rsync").read_bytes() == b"nobody's"
