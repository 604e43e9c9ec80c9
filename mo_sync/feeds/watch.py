"""A nudge as soon as something happens in the drop folder.

Only a convenience: the folder is scanned at every interval anyway, so a notification that is lost, or a filesystem that
sends none (network shares), costs at most one interval.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import structlog
from watchfiles import Change, watch

from mo_sync.clock import Clock
from mo_sync.feeds.dropnames import shown

__all__ = ["nudge_on_changes"]

_log = structlog.get_logger(__name__)

_GROUP_MS = 400
_STEP_MS = 50
_MARGIN_S = 0.1
_LONGEST_QUIET_S = 5.0
_LONGEST_PAUSE_S = 30.0
_LOUD_AFTER = 2


def nudge_on_changes(
    path: Path,
    *,
    wanted: Callable[[str], bool],
    settle_s: float,
    stop: threading.Event,
    nudge: Callable[[], None],
    clock: Clock,
) -> None:
    """Until ``stop``: call ``nudge`` when a file whose name is ``wanted`` came or changed, and again ``settle_s``
    later, when it will have stood still.

    A watch that ends is begun anew (the folder was replaced, or somebody dropped a name that is not UTF-8, which
    watchfiles cannot tell us). One that cannot even begin is complained about once, and tried again at growing pauses.
    """
    # watchfiles logs each group of changes; what they came to is told by the feed.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    failures = 0
    while not stop.is_set():
        try:
            for due in _looks(path, wanted, settle_s, stop, clock):
                failures = _hearing_again(failures)
                if due:
                    nudge()
        except (OSError, RuntimeError) as error:
            failures = _not_hearing(failures, error)
        if not stop.is_set():
            nudge()
            clock.wait(stop, min(0.5 * 2.0 ** min(failures, 16), _LONGEST_PAUSE_S))


def _looks(
    path: Path, wanted: Callable[[str], bool], settle_s: float, stop: threading.Event, clock: Clock
) -> Iterator[bool]:
    """Now and then, whether a scan is due. Ends when the folder of that name is another one."""
    watched = _identity(path)
    again_at: float | None = clock.monotonic()  # once for what came just before the watch began, which it cannot tell
    changes_in_groups = watch(
        path,
        watch_filter=lambda change, name: change is not Change.deleted and wanted(PurePath(name).name),
        debounce=_GROUP_MS,
        step=_STEP_MS,
        stop_event=stop,
        rust_timeout=int(1000 * min(settle_s + _MARGIN_S, _LONGEST_QUIET_S)),
        yield_on_timeout=True,
        raise_interrupt=False,
        force_polling=False,
        recursive=False,
    )
    for changes in changes_in_groups:
        now = clock.monotonic()
        settled = again_at is not None and now >= again_at
        if changes:
            again_at = now + settle_s + _MARGIN_S
        elif settled:
            again_at = None
        yield bool(changes) or settled
        if _identity(path) != watched:
            return


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116  one call, two numbers
    return found.st_dev, found.st_ino


def _hearing_again(failures: int) -> int:
    if failures >= _LOUD_AFTER:
        _log.info("drop.notifications")
    return 0


def _not_hearing(failures: int, error: Exception) -> int:
    if failures + 1 == _LOUD_AFTER:
        _log.warning(
            "drop.no-notifications",
            reason=shown(str(error)),
            hint="files are still found at every drop.interval; see fs.inotify.max_user_watches",
        )
    return failures + 1
