"""What goes wrong on our own side of a fetch, as outcomes: the disk's errors, bytes that are not wanted."""

from __future__ import annotations

import errno
from typing import Final

from mo_sync.errors import MoSyncError
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.store import Staged
from mo_sync.verdicts import Step, Trouble, Verdict, judge_trouble

__all__ = ["DISK_REST_S", "disk_trouble", "no_store", "troubled"]

DISK_REST_S: Final = 60.0
_IN_THE_WAY: Final = frozenset(
    {
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.EFBIG,
    }
)
"""Errors that are about one name or one file; every other one is the whole store's trouble."""


def disk_trouble(error: OSError) -> Failed | Interrupted:
    """What an error of the store means for the attachment that met it.

    A full, broken or read-only disk is not the attachment's failure: it waits a minute and uses up no attempt, however
    long that goes on. Something in the way of its own name is: that is retried, then told to a person.
    """
    name = errno.errorcode.get(error.errno or 0, "unknown").lower()
    reason = f"the store: {error.strerror or type(error).__name__} ({name})"
    if error.errno in _IN_THE_WAY:
        return Failed(Step.STORE, None, name, Verdict.RETRY, reason)
    return Interrupted(reason, delay_s=DISK_REST_S, everybody=True)


def no_store(error: MoSyncError) -> Interrupted:
    """What a store out of reach means: nobody's failure, and nothing is begun for a while."""
    return Interrupted(f"the store: {error.summary}", delay_s=DISK_REST_S, everybody=True)


def troubled(trouble: Trouble, detail: str, staged: Staged, *, step: Step = Step.CONTENT) -> Failed:
    """An attempt that failed although the gateway answered as if all were well."""
    ruling = judge_trouble(trouble)
    return Failed(
        step=step,
        status=200 if step is Step.CONTENT else None,
        code=trouble.value,
        verdict=ruling.verdict,
        reason=f"{ruling.reason}: {detail}",
        received_bytes=staged.size,
    )
