"""What a test needs and this machine has not: the test is left out and says so, or fails where nothing may be lacking.

``.ci/run`` installs what can be installed and then sets ``MO_SYNC_LACKS_NOTHING``: there no check falls silent without
being noticed. What no package brings (a kernel without a queueing discipline, a sandbox that forbids mounts to root) is
:func:`forbidden`: left out everywhere, but only for exactly that trouble, and any other is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from typing import NoReturn

import pytest

__all__ = ["NOTHING_MAY", "forbidden", "lacking", "need"]

NOTHING_MAY = "MO_SYNC_LACKS_NOTHING"


def lacking(what: str) -> NoReturn:
    """Leave this test out, in words that say what is not tested here and how to have it tested."""
    if os.environ.get(NOTHING_MAY):
        pytest.fail(f"{what} ({NOTHING_MAY} is set: nothing may be left out here)", pytrace=False)
    pytest.skip(what)  # on a machine of somebody's own: the sentence says what to install, and .ci/run installs it


def forbidden(what: str, told: str, *, signs: Collection[str]) -> NoReturn:
    """Leave this test out because of what no package brings, if one of ``signs`` is in what was ``told``; else fail."""
    if not any(sign in told for sign in signs):
        pytest.fail(f"{what}: {told.strip()}", pytrace=False)
    pytest.skip(f"{what}: {told.strip()}")  # the kernel or its sandbox said so: nothing here can change that


def need(*programs: str, package: str) -> str:
    """Where the first of these programs is; without one of them, which ``package`` of Debian has, it is left out."""
    everywhere = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    for program in programs:
        if shutil.which(program, path=everywhere) is None:
            lacking(f"NO {program} HERE: install Debian's package {package} to run this test")
    return str(shutil.which(programs[0], path=everywhere))
