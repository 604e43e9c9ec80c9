"""The ledger itself: open it, read from it, write to it. The verbs are in the modules beside."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from mo_sync.ledger.dialect import outside, reading
from mo_sync.ledger.engine import WRITE, connect, shown, translated
from mo_sync.ledger.migrate import bring_up_to_date, must_be_one
from mo_sync.ledger.ownfile import still_there
from mo_sync.ledger.tidying import tidy
from mo_sync.settings import Ledger as LedgerSettings

__all__ = ["Ledger", "in_transaction"]

_here = threading.local()


def in_transaction() -> bool:
    """Whether this thread has a transaction open. It must not be while it speaks to the network (promise P12)."""
    return bool(getattr(_here, "depth", 0))


class Ledger:
    """An open ledger, safe to use from many threads. ``name`` is its URL without a password."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = shown(engine.url)
        self.dialect = engine.dialect.name
        self._file = Path(str(engine.url.database)) if self.dialect == "sqlite" else None
        # SQLite has one writer at a time anyway: threads that queue here do not fight for the file's lock.
        self._writer = threading.Lock() if self.dialect == "sqlite" else contextlib.nullcontext()

    @classmethod
    def open(cls, settings: LedgerSettings, *, make: bool = True, migrate: bool = True) -> Ledger:
        """Open the ledger; ``make`` it where there is none, ``migrate`` it if it is older. Who may not migrate may not
        make one either.

        Raises LedgerOutOfReach, which is ``ledger-missing`` where there is none and none is to be made; LedgerTooNew;
        or ConfigurationError for a URL that cannot be one.
        """
        make = make and migrate
        ledger = cls(connect(settings, make=make))
        try:
            bring_up_to_date(ledger.begin, ledger.read, name=ledger.name, make=make, migrate=migrate)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def open_as_it_is(cls, settings: LedgerSettings) -> Ledger:
        """The ledger that is there, of whatever revision: only to be copied whole, since nobody knows its tables.

        Raises LedgerOutOfReach; or ConfigurationError for a URL that cannot be one.
        """
        ledger = cls(connect(settings, make=False))
        try:
            with ledger.read() as connection:
                must_be_one(connection, name=ledger.name)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end of the block, rolled back if it raises.

        Keep it short: nothing that waits may happen inside. Raises LedgerOutOfReach.
        """
        with self._writer, self._transaction(write=True) as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, all of it from one moment. Raises LedgerOutOfReach."""
        with self._transaction(write=False) as connection:
            yield connection

    def tidy(self, *, compact: bool = False, stop: Callable[[], bool] = lambda: False) -> bool:
        """Leave nothing in SQLite's write-ahead log of what was overwritten; whether that was possible while others
        read.

        ``compact`` has the database, or in PostgreSQL its tables, written anew too, which takes its time and as much
        room again: then nothing of what was deleted is left in unused parts of pages either. ``stop`` breaks that off.
        Raises LedgerOutOfReach.
        """
        with self._writer, self._translating(), self._engine.connect() as connection:
            alone = connection.execution_options(**outside(self.dialect))
            return tidy(alone, compact=compact, stop=stop)

    def close(self) -> None:
        """Close every connection. A second call does nothing."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        _here.depth = getattr(_here, "depth", 0) + 1
        try:
            options = {WRITE: True} if write else reading(self.dialect)
            with self._translating(), self._engine.connect().execution_options(**options) as connection:
                still_there(connection)
                with connection.begin():
                    yield connection
                if write:  # else what was committed is where nobody will find it
                    still_there(connection)
        finally:
            _here.depth -= 1

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            ours = translated(error, self.name, file=self._file)
            if ours is None:
                raise
            raise ours from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
