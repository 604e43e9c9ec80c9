"""Small file systems of their own, for tests that want a full disk, a bad one, or a power cut. They need root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lacking import forbidden, lacking

_FORBIDDEN = ("permission denied", "Operation not permitted", "failed to setup loop device", "unknown filesystem type")

__all__ = ["cannot_mount", "ext4", "needs_mounts", "power_cut", "tmpfs"]


def cannot_mount() -> str | None:
    """Why nothing can be mounted here; None when it can."""
    if os.geteuid() != 0:
        return "not run as root: no disk was filled and no power was cut; run the tests as root to prove it"
    lacking = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    return f"{', '.join(lacking)} is missing (Debian: e2fsprogs, mount)" if lacking else None


def needs_mounts() -> None:
    """Skip, loudly, where nothing can be mounted."""
    if reason := cannot_mount():
        lacking(reason)


@contextlib.contextmanager
def tmpfs(place: Path, options: str) -> Iterator[Path]:
    """A file system in memory, mounted at ``place``; ``options`` such as ``size=1m``."""
    place.mkdir(parents=True, exist_ok=True)
    with _mounted(place, "-t", "tmpfs", "-o", options, "tmpfs"):
        yield place


@contextlib.contextmanager
def ext4(image: Path, place: Path, *, size_mb: int = 64) -> Iterator[Path]:
    """An ext4 in the file ``image``, which commits of its own accord only every ten minutes, mounted at ``place``."""
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size_mb * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    with _mounted(place, "-o", "loop,commit=600", image):
        yield place


@contextlib.contextmanager
def power_cut(image: Path, place: Path) -> Iterator[Path]:
    """What is on the disk at this moment and no more, mounted at ``place`` as after a power cut."""
    copy = image.with_suffix(".cut")
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    place.mkdir()
    try:
        with _mounted(place, "-o", "loop", copy):
            yield place
    finally:
        copy.unlink()
        place.rmdir()


@contextlib.contextmanager
def _mounted(place: Path, *arguments: object) -> Iterator[None]:
    command = ["mount", *map(str, arguments), str(place)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:  # a file system that is not sound is a finding: only that mounting is forbidden to root is none
        forbidden("root, but nothing can be mounted here", done.stderr, signs=_FORBIDDEN)
    try:
        yield
    finally:
        if subprocess.run(["umount", place], check=False).returncode:
            subprocess.run(["umount", "--lazy", place], check=True)
            raise AssertionError(f"something still holds a file open below {place}")
