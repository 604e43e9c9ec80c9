"""A folder that is worked in while a command counts what lies there: what is taken meanwhile hides nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import pytest

from mo_sync.cli import amounts, atwork


@pytest.fixture
def drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files, one of which is taken as soon as the folder has been listed."""
    for name in ("a.json", "b.json", "c.json"):
        (tmp_path / name).write_text("{}")
    as_it_is = os.scandir

    def scandir(folder: Any) -> Any:
        found = as_it_is(folder)
        if Path(folder) == tmp_path:
            entries = list(found)
            (tmp_path / "b.json").unlink(missing_ok=True)
            return Listed(entries)
        return found

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path


class Listed(list[Any]):
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


def test_doctor_counts_the_others(drop: Path) -> None:
    assert sorted(name for name, _ in atwork._files(drop)) == ["a.json", "c.json"]


@pytest.mark.parametrize("deep", [False, True])
def test_support_counts_the_others(drop: Path, *, deep: bool) -> None:
    (drop / "done").mkdir()
    (drop / "done/d.json").write_text("{} ")
    counted = amounts._counted(drop, deep=deep)

    assert (counted["files"], counted["bytes"]) == ((3, 7) if deep else (2, 4))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert amounts._counted(tmp_path / "nowhere", deep=True) == {"not-available": "No such file or directory"}
