"""What no command writes over, or takes for events, whatever it was told: the files that mo-sync itself lives by."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mo_sync.cli.context import Context
from mo_sync.errors import ConfigurationError, UsageError
from mo_sync.settings.paths import CONFIGURATION, folder_of, own_files
from mo_sync.settings.sources import SYSTEM_FILE, find_file

__all__ = ["refuse_any_of", "refuse_own", "refuse_to_read_own"]


def refuse_own(context: Context, target: Path) -> None:
    """Raises UsageError ``target-ours`` when ``target`` is the ledger, its log, the configuration, or a file that the
    settings name: also with --force, and also where there is none now. Of settings that cannot be read, only their
    file is known.
    """
    try:
        files = own_files(context.loaded(required=False))
    except ConfigurationError:
        files = _unread(context)
    refuse_any_of(files, target)


def refuse_any_of(files: Mapping[Path, str], target: Path) -> None:
    """The same of any ``files``, each with what it is."""
    for path, what in files.items():
        if _is_same(path, target):
            hint = "name another file; this one is never replaced"
            raise UsageError("target-ours", f"this is {what}", item=str(target), hint=hint)


def refuse_to_read_own(context: Context, names: Sequence[str]) -> None:
    """Raises UsageError for a name that is none, and ``file-ours`` for what mo-sync itself lives by, what is above it,
    and what lies in the store: a token taken for an event would stand in the ledger, and in every export of it.
    """
    store = folder_of(context.loaded().settings.store.url)
    files = {**own_files(context.loaded()), store: "the store"}
    for name in names:
        if not name.strip():
            hint = "name a file or a folder, or - for what is piped in"
            raise UsageError("file-missing", "a name is empty", item="--file", hint=hint)
        for path, what in files.items():
            if _holds(name, path) or (path == store and _holds(path, name)):
                hint = "name the files or folders with events, such as done/ of the drop folder"
                raise UsageError("file-ours", f"{what} is there", item=name, hint=hint)


def _holds(folder: str | Path, path: str | Path) -> bool:
    """Whether it is the same, or lies in it."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _unread(context: Context) -> dict[Path, str]:
    try:
        found = find_file(context.config, context.environ, context.cwd, system_file=SYSTEM_FILE)
    except ConfigurationError:
        return {}
    return {} if found is None else {found: CONFIGURATION}


def _is_same(one: Path, other: Path) -> bool:
    """By whatever names."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False
