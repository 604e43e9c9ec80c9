"""What keeps us from SQLite's file. SQLite itself only says that it cannot: here its place is looked at, to say why."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mo_sync.settings.paths import BESIDE

__all__ = ["Obstacle", "obstacle"]

_FULL_BYTES: Final = 65_536
"""With less than that SQLite cannot begin its log."""
_UNSURE: Final = ("ledger-gone", "ledger-read-only", "ledger-unreadable")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A code of ours, a sentence, and what to do next."""

    code: str
    summary: str
    hint: str


def obstacle(code: str, path: Path) -> Obstacle | None:
    """What ``code``, which SQLite's error came to, is about in the case of the file ``path``; None when no more can be
    seen there."""
    match code:
        case "ledger-locked":
            hint = f"`fuser -v {path}` says who has it open: end a sqlite3 that holds it, or raise ledger.busy_timeout"
            return Obstacle(code, "another program holds the ledger's lock", hint)
        case "ledger-full":
            return _full(path)
        case _ if code in _UNSURE:
            return _without_rights(path, code) or _read_only(path) or (_full(path) if _is_full(path) else None)
        case _:
            return None


def _without_rights(path: Path, code: str) -> Obstacle | None:
    for folder in reversed(path.absolute().parents):
        if os.path.isdir(folder) and not _may(folder, os.X_OK):  # noqa: PTH112  without rights Path.is_dir raises
            return _forbidden("enter the folder", folder, "ledger-forbidden")
    if not os.path.exists(path):  # noqa: PTH110  the same
        return None
    if not _may(path, os.R_OK):
        return _forbidden("read", path, "ledger-forbidden")
    beside = (path.with_name(path.name + end) for end in BESIDE)
    for one in (path, path.absolute().parent, *(other for other in beside if other.exists())):
        if not _may(one, os.W_OK) and not _is_read_only(one):
            return _forbidden("write to", one, "ledger-forbidden" if code == "ledger-gone" else code)
    return None


def _forbidden(deed: str, path: Path, code: str) -> Obstacle:
    found = path.stat()
    owner, we = _name(found.st_uid), _name(os.geteuid())
    summary = f"{we} may not {deed} {path} ({stat.S_IMODE(found.st_mode):04o}, of {owner})"
    if owner == we:
        return Obstacle(code, summary, f"chmod u+{'rwx' if stat.S_ISDIR(found.st_mode) else 'rw'} {path}")
    return Obstacle(code, summary, f"run it as {owner} (sudo -u {owner} …), or give {we} the right to")


def _read_only(path: Path) -> Obstacle | None:
    folder = path.absolute().parent
    if not _is_read_only(folder):
        return None
    hint = "see the kernel's log (dmesg) whether the disk is bad; then mount it for writing"
    return Obstacle("ledger-read-only", f"what {folder} lies on is mounted read-only", hint)


def _full(path: Path) -> Obstacle:
    folder = path.absolute().parent
    hint = f"free space there (df -h {folder}; df -i {folder}); it goes on by itself"
    return Obstacle("ledger-full", f"what {folder} lies on is full", hint)


def _is_full(path: Path) -> bool:
    try:
        found = os.statvfs(path.absolute().parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _FULL_BYTES or bool(found.f_files and not found.f_favail)


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _may(path: Path, deed: int) -> bool:
    return os.access(path, deed, effective_ids=True)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
