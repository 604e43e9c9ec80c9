"""What ``mo-sync doctor`` looks at on this machine: tokens, folders, store, ledger, clock.

Every check is a small function of what is examined that answers with findings. It tries what the real work will do and
leaves nothing behind that lasts. An error that a check does not expect among its findings is raised, and told as one.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mo_sync.cli.output import bytes_text
from mo_sync.clock import Clock
from mo_sync.errors import MoSyncError, OutOfReach
from mo_sync.gateway import Credentials
from mo_sync.ledger import Ledger
from mo_sync.ledger.checkup import check_up
from mo_sync.ledger.verification import settled_count
from mo_sync.presence import worker_name
from mo_sync.settings import Settings
from mo_sync.settings.load import Loaded
from mo_sync.settings.paths import folder_of, ledger_file
from mo_sync.store import open_for_reading, open_store

__all__ = ["Check", "Examined", "LocalCheck", "examine", "of_error"]

Level = Literal["ok", "warning", "failed"]
_UNMOUNTED = "see whether its disk is mounted, and whether this is the right mo-sync.toml; at first: mo-sync init"
_OWN_FOLDERS = ("processing", "done", "rejected")
_FIRST_PLAUSIBLE_YEAR, _LAST_PLAUSIBLE_YEAR = 2025, 2100


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it stands, and what to do about it.

    ``out_of_reach``: it failed, but may mend itself; no setting is to blame.
    """

    name: str
    level: Level
    summary: str
    advice: str = ""
    out_of_reach: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """What is looked at, and the clock to look with."""

    loaded: Loaded
    clock: Clock

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings


LocalCheck = Callable[[Examined], Iterator[Check]]


def examine(
    examined: Examined,
    checks: Sequence[tuple[str, LocalCheck]],
    *,
    around: Callable[[str, int], AbstractContextManager[object]] = lambda _, __: nullcontext(),
) -> Iterator[Check]:
    """The findings of all ``checks``, one check after the other. An error ends the check that raised it, and no other.

    ``around`` is entered, with the name of a check and its place among them, while that is looked at.
    """
    for place, (name, check) in enumerate(checks):
        with around(name, place):
            found = _found(examined, name, check)
        yield from found


def _found(examined: Examined, name: str, check: LocalCheck) -> list[Check]:
    found: list[Check] = []
    try:
        for one in check(examined):
            found.append(one)  # noqa: PERF402  what came before an error is kept
    except MoSyncError as error:
        found.append(of_error(name, error))
    except OSError as error:
        summary = error.strerror or str(error)
        found.append(Check(name, "failed", summary, "see the rights and the disk", out_of_reach=True))
    return found


def of_error(name: str, error: MoSyncError) -> Check:
    """An error of ours as a finding."""
    about = f"{error.item}: " if error.item else ""
    return Check(name, "failed", about + error.summary, error.hint or "", isinstance(error, OutOfReach))


def tokens(examined: Examined) -> Iterator[Check]:
    """Each token is there and can be sent, and its file is not for everybody."""
    settings = examined.settings
    own = {name: section for name, section in settings.applications.items() if section.token or section.token_file}
    if settings.gateway.token or settings.gateway.token_file:
        yield from _token("token", "", settings.gateway.token_file, Credentials(settings.gateway, {}))
    elif own:
        summary = f"only {', '.join(sorted(own))} have one; events of other applications will wait"
        yield Check("token", "warning", summary, "set gateway.token_file, or add the other applications")
    else:
        yield Check("token", "failed", "none is set", "set gateway.token_file to a file that holds the token")
    credentials = Credentials(settings.gateway, settings.applications)
    for name, section in own.items():
        yield from _token(f"token {name}", name, section.token_file, credentials)


def _token(check: str, application_id: str, file: Path | None, credentials: Credentials) -> Iterator[Check]:
    try:
        credentials.token_for(application_id)
    except MoSyncError as error:
        yield of_error(check, error)
        return
    if file is None:
        yield Check(check, "ok", "it stands in the settings")
        return
    mode = _mode(file)
    if mode & stat.S_IROTH:
        yield Check(check, "warning", f"anyone on this machine may read {file} ({mode:04o})", f"chmod o-rwx {file}")
    else:
        yield Check(check, "ok", f"{file} ({mode:04o})")


def drop(examined: Examined) -> Iterator[Check]:
    """Files can be made in the drop folder and renamed into its own folders."""
    folder = examined.settings.drop.path
    if folder is None:
        yield Check("drop", "warning", "no drop folder is set: no event will come in", "set drop.path")
        return
    if not folder.is_dir():
        yield _no_folder("drop", folder, "failed" if not folder.parent.is_dir() else "warning")
        return
    if elsewhere := [name for name in _OWN_FOLDERS if _device(folder / name) not in (None, _device(folder))]:
        advice = "mount the drop folder in one piece: files are moved within it by renaming"
        yield Check("drop", "failed", f"{folder}: {', '.join(elsewhere)} lies on another filesystem", advice)
    if trouble := _cannot_move(folder):
        advice = "let mo-sync's user write there (chown or chmod), and see whether it is mounted read-only"
        yield Check("drop", "failed", f"{folder}: {trouble}", advice)
        return
    yield Check("drop", "ok", f"{folder}: files can be made, renamed and removed")


def overlap(examined: Examined) -> Iterator[Check]:
    """What is fetched must not be taken for an event, nor an event's file for one that was fetched."""
    folder, store = examined.settings.drop.path, folder_of(examined.settings.store.url)
    if folder is None:
        return
    one, other = folder.resolve(), store.resolve()
    if one == other or one in other.parents or other in one.parents:
        summary = f"drop.path ({folder}) and store.url ({store}) lie in each other"
        yield Check("folders", "failed", summary, "give each a folder of its own, side by side")


def store(examined: Examined) -> Iterator[Check]:
    """The store tries itself out; and there is room."""
    folder, known = folder_of(examined.settings.store.url), _files_known(examined)
    if not folder.is_dir():
        yield _no_folder("store", folder, "failed" if known else "warning")
        return
    if known and open_for_reading(examined.settings.store).untouched():
        summary = f"{folder}: the ledger knows of {known:,} files, and nothing ever lay there: nothing is fetched"
        advice = "mount its disk, or see store.url; if they are really gone: mo-sync ledger verify --repair --force"
        yield Check("store files", "failed", summary, advice, out_of_reach=True)
    opened = open_store(examined.settings.store, worker=worker_name())
    try:
        findings = opened.check()
        free, wanted = opened.free_bytes(), examined.settings.limits.min_free
    finally:
        opened.close()
    for finding in findings:
        if finding.subject != "room" or free >= wanted:
            yield Check(f"store {finding.subject}", finding.level, finding.detail, finding.hint)
    if free < wanted:
        summary = f"{bytes_text(free)} are free, limits.min_free is {bytes_text(wanted)}: nothing is fetched"
        yield Check("store room", "failed", summary, "free space; it goes on by itself", out_of_reach=True)


def _files_known(examined: Examined) -> int:
    """How many files the ledger knows to be in the store; why it tells nothing is said of the ledger itself."""
    try:
        with Ledger.open(examined.settings.ledger, make=False, migrate=False) as opened:
            return settled_count(opened)
    except MoSyncError:
        return 0


def ledger(examined: Examined) -> Iterator[Check]:
    """The ledger opens, is at the level that this program knows, and is sound."""
    settings = examined.settings.ledger
    file = ledger_file(examined.settings)
    if file is not None and _is_missing(file):
        yield Check("ledger", "failed", f"{file} does not exist", _UNMOUNTED)
        return
    with Ledger.open(settings, migrate=False) as opened:
        yield Check("ledger", "ok", opened.name)
        for finding in check_up(opened):
            yield Check(f"ledger {finding.subject}", finding.level, finding.detail, finding.hint)


def _is_missing(file: Path) -> bool:
    """What may not be looked at is there, as far as anybody can tell."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def year(examined: Examined) -> Iterator[Check]:
    """The clock is not at its beginning, as after a dead battery."""
    now = examined.clock.now()
    if _FIRST_PLAUSIBLE_YEAR <= now.year < _LAST_PLAUSIBLE_YEAR:
        yield Check("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S}Z")
    else:
        yield Check("clock", "failed", f"it says {now:%Y-%m-%d}", "set it, and keep it set by NTP")


LOCAL: Sequence[tuple[str, LocalCheck]] = (
    ("token", tokens),
    ("drop", drop),
    ("folders", overlap),
    ("store", store),
    ("ledger", ledger),
    ("clock", year),
)
"""What is looked at on this machine, in this order."""


def _no_folder(check: str, path: Path, missing: Level) -> Check:
    """A folder that is none: something else is there, or nothing; then ``missing`` is how bad that is."""
    if path.exists():
        return Check(check, "failed", f"{path} is not a folder", "name another, or move what is there out of the way")
    return Check(check, missing, f"{path} does not exist", _UNMOUNTED)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None


def _cannot_move(folder: Path) -> str | None:
    """What keeps a file from being made in ``folder``, renamed into its own folders and removed; None if nothing does.

    Names that begin with a dot are never taken for events.
    """
    probe = folder / f".doctor-{secrets.token_hex(8)}"
    places = [probe.with_name(f"{probe.name}-moved"), *(folder / name / probe.name for name in _OWN_FOLDERS)]
    at = probe
    try:
        probe.touch(mode=0o600, exist_ok=False)
        for place in places:
            if place.parent.is_dir():
                at = at.rename(place)
    except OSError as error:
        return f"{error.strerror} ({os.path.relpath(str(error.filename2 or error.filename), folder)})"
    finally:
        with suppress(OSError):
            at.unlink(missing_ok=True)
    return None
