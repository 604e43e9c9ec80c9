"""PostgreSQL that stands still, or that no packet reaches: an answer that does not come is waited for so long, no more.

The server's own limits do not help when it is the server that stands still, TCP's do not when its machine is alive, and
a Unix socket has none. What hangs here would hang a job of the daemon, and so all of it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

__all__ = ["PatientConnection"]

T = TypeVar("T")
_INTERVAL_S = 0.1


class PatientConnection(Connection[Any]):
    """A connection that is given up when one statement, commit or rollback is not answered within ``patience_s``.

    None waits for ever. Whether the server did what it was asked is not known then: the lease or the event's key tells
    whoever tries again.
    """

    patience_s: float | None = None

    def wait(self, gen: PQGen[T], interval: float = _INTERVAL_S, timeout: float | None = None) -> T:
        """As psycopg's. Raises OperationalError, and closes the connection, when patience is at its end."""
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except _WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise OperationalError(f"no answer within {self.patience_s:g} s") from None
