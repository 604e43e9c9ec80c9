"""What a test needs and this machine has not: the test is left out and says so, or fails where nothing may be lacking.

``.ci/run`` installs what can be installed and then sets ``MO_SYNC_LACKS_NOTHING``: there no check falls silent without
being noticed. What no package brings (a kernel without a queueing discipline, a sandbox that forbids mounts) is left
out everywhere, by ``pytest.skip`` in the test itself, with the reason beside it.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["NOTHING_MAY", "lacking", "need"]

NOTHING_MAY = "MO_SYNC_LACKS_NOTHING"


def lacking(what: str) -> NoReturn:
    """Leave this test out, in words that say what is not tested here and how to have it tested."""
    if os.environ.get(NOTHING_MAY):
        pytest.fail(f"{what} ({NOTHING_MAY} is set: nothing may be left out here)", pytrace=False)
    pytest.skip(what)


def need(*programs: str, package: str) -> str:
    """Where the first of these programs is; without one of them, which ``package`` of Debian has, it is left out."""
    everywhere = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    for program in programs:
        if shutil.which(program, path=everywhere) is None:
            lacking(f"NO {program} HERE: install Debian's package {package} to run this test")
    return str(shutil.which(programs[0], path=everywhere))
