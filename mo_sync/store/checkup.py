"""What ``mo-sync doctor`` wants to know about a store that is a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from mo_sync.errors import StoreOutOfReach
from mo_sync.findings import Finding
from mo_sync.store.base import Occupied, Placement, Store
from mo_sync.store.incoming import FOLDER

__all__ = ["check_up"]

_PROBE = b"mo-sync was here\n"


def check_up(store: Store, root: Path) -> list[Finding]:
    """Write, place, read and remove a small file in ``store``; look at file systems, modes and room."""
    return [_writable(store), _one_file_system(root), _modes(root), _room(store)]


def _writable(store: Store) -> Finding:
    key = f"doctor-{secrets.token_hex(8)}"
    try:
        staged = store.stage(key)
        try:
            staged.write(_PROBE)
            staged.finish()
            [answer] = store.place([Placement(staged, key)])
            if isinstance(answer, Occupied):  # a file system without second names
                with store.exchange(Placement(staged, key)) as exchange:
                    answer = exchange() if exchange else OSError(errno.EBUSY, "its folder stays locked")
        finally:
            staged.discard()
        if isinstance(answer, OSError):
            raise answer
        with store.open(key) as file:
            same = file.read() == _PROBE
        store.remove(key)
    except OSError as error:
        with contextlib.suppress(OSError):
            store.remove(key)
        hint = "see the rights of mo-sync's user, the space left, and whether it is mounted read-only"
        return Finding("failed", "writing", error.strerror or str(error), hint)
    if not same:
        return Finding("failed", "writing", "what is read is not what was written", "check the disk")
    return Finding("ok", "writing", "a file can be written, placed, read and removed")


def _one_file_system(root: Path) -> Finding:
    """A file gets its name by a rename, which works only within one file system."""
    try:
        own = root.stat().st_dev
        others = [
            entry.name
            for entry in os.scandir(root)
            if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev != own
        ]
        links = [entry.name for entry in os.scandir(root) if entry.is_symlink()]
    except OSError as error:
        return Finding("failed", "file system", error.strerror or str(error), "see whether the folder is there")
    if others:
        hint = f"mount the whole store in one piece; files come from {FOLDER} by a rename"
        return Finding("failed", "file system", f"{', '.join(sorted(others))} lies on another one", hint)
    if links:
        hint = "the store never follows links below its own folder; let store.url itself lead there"
        return Finding("failed", "file system", f"{', '.join(sorted(links))} is a link", hint)
    return Finding("ok", "file system", "temporary and final names lie on the same one")


def _modes(root: Path) -> Finding:
    try:
        found = root.stat()
    except OSError as error:
        return Finding("failed", "modes", error.strerror or str(error), "see whether the folder is there")
    if found.st_uid != os.geteuid():
        hint = "run mo-sync as its owner: what another user writes may be closed to the owner"
        return Finding("warning", "modes", f"it belongs to user {found.st_uid}, this is {os.geteuid()}", hint)
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH:
        return Finding("failed", "modes", f"anyone may write to it ({mode:04o})", f"chmod o-rwx {root}")
    if mode & stat.S_IROTH:
        return Finding("warning", "modes", f"anyone may list what customers sent ({mode:04o})", f"chmod o-rwx {root}")
    return Finding("ok", "modes", f"{mode:04o}")


def _room(store: Store) -> Finding:
    try:
        free = store.free_bytes()
    except StoreOutOfReach as error:
        return Finding("failed", "room", error.summary, error.hint or "")
    return Finding("ok", "room", f"{free / 1e9:.1f} GB free")
