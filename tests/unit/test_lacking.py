"""What a machine lacks leaves a test out, loudly; where nothing may be lacking, it fails."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.conftest import pytest_runtest_setup
from tests.lacking import NOTHING_MAY, forbidden, lacking, need


@pytest.fixture(params=[False, True])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """How a test ends that lacks something."""
    if request.param:
        monkeypatch.setenv(NOTHING_MAY, "1")
        return cast("type[BaseException]", pytest.fail.Exception)
    monkeypatch.delenv(NOTHING_MAY, raising=False)
    return cast("type[BaseException]", pytest.skip.Exception)


def test_what_is_lacking_is_told(ends: type[BaseException]) -> None:
    with pytest.raises(ends, match="NO MOON HERE"):
        lacking("NO MOON HERE")


def test_a_program_that_is_not_there_is_told_with_its_package(ends: type[BaseException]) -> None:
    with pytest.raises(ends, match="NO no-such-program HERE: install Debian's package nowhere"):
        need("sh", "no-such-program", package="nowhere")


@pytest.mark.usefixtures("ends")
def test_what_no_package_brings_is_left_out_for_that_trouble_alone() -> None:
    told = "mount: /x: permission denied."
    with pytest.raises(cast("type[BaseException]", pytest.skip.Exception), match="NO MOUNTS: mount: /x: permission"):
        forbidden("NO MOUNTS", told, signs=["Operation not permitted", "permission denied"])

    with pytest.raises(
        cast("type[BaseException]", pytest.fail.Exception), match="NO MOUNTS: mount: /x: bad superblock"
    ):
        forbidden("NO MOUNTS", "mount: /x: bad superblock", signs=["permission denied"])


def test_a_program_that_is_there_is_found() -> None:
    assert need("sh", package="dash") == shutil.which("sh")


@pytest.mark.parametrize("marked", [False, True])
def test_what_is_for_root_is_left_out_for_everybody_else(
    ends: type[BaseException], monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    item: Any = SimpleNamespace(get_closest_marker=lambda name: name if marked and name == "root" else None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    if marked:
        with pytest.raises(ends, match="NOT ROOT"):
            pytest_runtest_setup(item)
    else:
        pytest_runtest_setup(item)
