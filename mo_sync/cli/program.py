"""By what name a person can call this program again, for the commands that it tells them to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NAME", "program"]

NAME = "mo-sync"


def program(started_by: str, environ: Mapping[str, str], cwd: Path) -> str:
    """``mo-sync`` when that is what PATH finds; else what it was started by, ready for a shell's command line.

    ``started_by`` is ``sys.argv[0]``. A program in a virtual environment is seldom on PATH, and another one that is
    there has other code.
    """
    if Path(started_by).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {NAME.replace('-', '_')}"
    found = shutil.which(NAME, path=environ.get("PATH", os.defpath))
    if Path(started_by).name != NAME or (found is not None and _same(found, cwd / started_by)):
        return NAME
    return shlex.quote(started_by)


def _same(one: str, other: Path) -> bool:
    try:
        return other.samefile(one)
    except OSError:
        return False
