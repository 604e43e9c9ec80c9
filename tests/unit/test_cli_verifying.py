"""What verify ends with: 0 only where nothing is wrong any more."""

from __future__ import annotations

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
from mo_sync.ledger import Ledger
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
