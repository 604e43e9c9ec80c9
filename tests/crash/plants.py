"""Faults planted in a child, to see that the checks of the campaign can fail. Each is a mistake somebody could make."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final

__all__ = ["PLANTS", "TROUBLES", "plant"]


def plant(name: str) -> None:
    """Make the mistake ``name`` in this process, or let it meet the trouble of that name."""
    (PLANTS | TROUBLES)[name]()


def _place_before_whole() -> None:
    """Downloads are written under their final name."""
    from mo_sync import fetch, naming
    from mo_sync.store.incoming import LocalStaged

    receive = fetch.Fetcher._receive

    def visible(self: Any, claim: Any, content: Any, limits: Any, stop: Any) -> Any:
        key = naming.key(
            filed_at=claim.filed_at, message_id=claim.message_id, position=claim.position,
            attachment_id=claim.attachment_id, extension="gif",
        )  # fmt: skip
        target = self._store.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        write = LocalStaged.write

        def also(staged: Any, data: bytes) -> None:
            with target.open("ab") as file:
                file.write(data)
            write(staged, data)

        LocalStaged.write = also  # type: ignore[method-assign]
        try:
            return receive(self, claim, content, limits, stop)
        finally:
            LocalStaged.write = write  # type: ignore[method-assign]

    fetch.Fetcher._receive = visible  # type: ignore[method-assign]


def _settle_before_place() -> None:
    """The ledger is told before the file has its name."""
    from mo_sync.reconciler import finisher
    from mo_sync.store import LocalStore, Placed

    place, settle = LocalStore.place, finisher.claims.settle
    later: list[Any] = []

    def postpone(self: LocalStore, batch: Sequence[Any]) -> list[Any]:
        later.append((self, batch))
        return [Placed()] * len(batch)

    def settle_then_place(*arguments: Any, **more: Any) -> Any:
        told = settle(*arguments, **more)
        while later:
            place(*later.pop())
        return told

    LocalStore.place = postpone  # type: ignore[method-assign]
    finisher.claims.settle = settle_then_place  # type: ignore[attr-defined]


def _acknowledge_before_commit() -> None:
    """A dropped file is filed away before its events are committed."""
    from mo_sync.feeds import dropbatch

    def commit(self: Any) -> None:
        ended, receipt = self._ended, self._since_filing
        self._ended = []
        if ended:
            self._file_away(ended, receipt)
        if self._raws:
            self._record()
        self._clear()

    dropbatch.Batch.commit = commit  # type: ignore[method-assign]


def _record_without_transaction() -> None:
    """Each statement of the intake is committed on its own, the attachments last."""
    from mo_sync.ledger import record as module

    def piecemeal(connection: Any, batch: Any, terms: Any) -> Any:
        known = module._Known.of(connection, [parsed for _, parsed in batch])
        messages = [
            parsed.message
            for _, parsed in batch
            if getattr(parsed, "message", None) and parsed.content_key not in known.by_content
        ]
        module._record_messages(connection, messages, terms)
        told = module._record_events(connection, batch, terms, known, {})
        for statement in ("commit", "begin immediate"):
            connection.exec_driver_sql(statement)
        module._record_attachments(connection, messages, terms)
        return told

    module._record = piecemeal


def _never_sweep() -> None:
    """The temporary files of the dead are never looked for."""
    from mo_sync.store import LocalStore

    LocalStore.sweep = lambda self: []  # type: ignore[method-assign]


def _never_rescue() -> None:
    """The claims of the dead are never freed."""
    from mo_sync.service import Service

    Service.rescue = lambda self: 0  # type: ignore[method-assign]


def _keys_by_chance() -> None:
    """A file gets another name at every try."""
    from mo_sync import naming

    key = naming.key

    def by_chance(**parts: Any) -> str:
        return key(**{**parts, "position": secrets.randbelow(1_000_000)})

    naming.key = by_chance  # type: ignore[assignment]


def _settle_without_lease() -> None:
    """Whoever comes last wins: the lease is not looked at, neither before placing nor when settling."""
    from mo_sync.ledger import settling
    from mo_sync.reconciler import finisher

    def everything(_: Any, claims: Sequence[Any]) -> set[str]:
        return {claim.lease for claim in claims}

    def settle_all(connection: Any, settlements: Sequence[Any]) -> set[str]:
        for settlement in settlements:
            connection.exec_driver_sql(
                "update attachment set state = 'fetching', lease = ? where id = ?",
                (settlement.claim.lease, settlement.claim.attachment_id),
            )
        return {settlement.claim.lease for settlement in settlements}

    finisher.claims.owned = everything  # type: ignore[attr-defined]
    settling._still_mine = settle_all


def _place_before_harden() -> None:
    """A file gets its durable name before its bytes are durable."""
    from mo_sync.store import local
    from mo_sync.store.incoming import LocalStaged

    local.LocalStore.harden = lambda self, batch: [None] * len(batch)  # type: ignore[method-assign]
    LocalStaged.finish = lambda self: setattr(self, "_sha256", self._digest.hexdigest())  # type: ignore[method-assign]


def _ledger_in_memory() -> None:
    """SQLite does not wait for the disk at a commit."""
    from mo_sync.ledger import Ledger

    original = Ledger.begin

    @contextlib.contextmanager
    def begin(self: Ledger) -> Iterator[Any]:
        with self._engine.connect() as connection:
            connection.connection.driver_connection.execute("pragma synchronous=off")  # type: ignore[union-attr]
        with original(self) as connection:
            yield connection

    Ledger.begin = begin  # type: ignore[method-assign]


PLANTS: Final[dict[str, Callable[[], None]]] = {
    "place-before-whole": _place_before_whole,
    "settle-before-place": _settle_before_place,
    "acknowledge-before-commit": _acknowledge_before_commit,
    "record-without-transaction": _record_without_transaction,
    "never-sweep": _never_sweep,
    "never-rescue": _never_rescue,
    "keys-by-chance": _keys_by_chance,
    "settle-without-lease": _settle_without_lease,
    "place-before-harden": _place_before_harden,
    "ledger-in-memory": _ledger_in_memory,
}
"""Every planted fault by its name."""


def _slow_disk() -> None:
    fsync = os.fsync

    def slow(file: int) -> None:
        time.sleep(0.3)
        fsync(file)

    os.fsync = slow  # type: ignore[assignment]


def _short_writes() -> None:
    write = os.write

    def short(file: int, data: Any) -> int:
        return write(file, memoryview(data)[: max(1, len(data) // 2)])

    os.write = short  # type: ignore[assignment]


def _failing(name: str, number: int, *, every: int, of: str) -> Callable[[], None]:
    """Every so many-th call of ``os.<name>`` for a temporary file or a folder of the store fails."""

    def install() -> None:
        original, calls = getattr(os, name), count(1)

        def failing(first: Any, *rest: Any, **more: Any) -> Any:
            if of in _path(first) and next(calls) % every == 0:
                raise OSError(number, os.strerror(number))
            return original(first, *rest, **more)

        setattr(os, name, failing)

    return install


def _path(first: Any) -> str:
    return os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)


TROUBLES: Final[dict[str, Callable[[], None]]] = {
    "slow disk": _slow_disk,
    "short writes": _short_writes,
    "EIO at a write": _failing("write", errno.EIO, every=3, of=".part"),
    "ENOSPC at a write": _failing("write", errno.ENOSPC, every=3, of=".part"),
    "EDQUOT at a write": _failing("write", errno.EDQUOT, every=3, of=".part"),
    "EIO at a sync": _failing("fsync", errno.EIO, every=3, of=".part"),
    "EIO at the sync of a folder": _failing("fsync", errno.EIO, every=4, of="/media/20"),
    "EROFS at a link": _failing("link", errno.EROFS, every=3, of=".part"),
    "no links": _failing("link", errno.EPERM, every=1, of=".part"),
}
"""Disks that do not do as they are told, by name: no mistakes of ours, but what must be lived with."""
