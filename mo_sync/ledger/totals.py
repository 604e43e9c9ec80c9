"""How much there is of everything, kept while it changes: nobody counts five million rows at three in the morning.

In SQLite triggers keep the table ``total``, for whoever writes, in the same transaction. PostgreSQL would have all its
writers wait for each other at those few rows, so there the answer is counted when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, func, insert, literal, select
from sqlalchemy.sql import ColumnElement

from mo_sync.ledger.schema import attachment, event, message, total
from mo_sync.lifecycle import State

__all__ = ["Total", "by_state", "counted", "create", "drop", "recount", "totals"]

_KINDS: dict[str, tuple[Table, ColumnElement[str], ColumnElement[int]]] = {
    "attachment": (attachment, attachment.c.state, func.coalesce(attachment.c.size, 0)),
    "event": (event, event.c.state, event.c.deliveries),
    "message": (message, literal("recorded"), literal(0)),
}
_STATE = {"attachment": "{row}.state", "event": "{row}.state", "message": "'recorded'"}
_AMOUNT = {"attachment": "coalesce({row}.size, 0)", "event": "{row}.deliveries", "message": "0"}
_CHANGES = {"attachment": ("state", "size"), "event": ("state", "deliveries")}


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows, and how much is in them: bytes of attachments, deliveries of events."""

    count: int
    amount: int


def totals(connection: Connection, *kinds: str) -> dict[tuple[str, str], Total]:
    """The totals of these kinds (attachment, event, message; none: all) by kind and state; what there is nothing of may
    be missing."""
    if connection.dialect.name == "postgresql":
        return counted(connection, *kinds)
    wanted = total.c.kind.in_(kinds or _KINDS)
    rows = connection.execute(select(total.c.kind, total.c.state, total.c.count, total.c.amount).where(wanted))
    return {(row[0], row[1]): Total(int(row[2]), int(row[3])) for row in rows}


def by_state(connection: Connection) -> dict[State, int]:
    """How many attachments are in each state; every state is there. PostgreSQL counts them in an index."""
    if connection.dialect.name == "postgresql":
        rows = connection.execute(select(attachment.c.state, func.count()).group_by(attachment.c.state))
        found = {state: int(count) for state, count in rows}
    else:
        found = {state: one.count for (_, state), one in totals(connection, "attachment").items()}
    return {state: found.get(state.value, 0) for state in State}


def counted(connection: Connection, *kinds: str) -> dict[tuple[str, str], Total]:
    """The same as :func:`totals`, by a look at every row."""
    found: dict[tuple[str, str], Total] = {}
    for kind in kinds or _KINDS:
        table, state, amount = _KINDS[kind]
        query = select(state.label("state"), func.count(), func.coalesce(func.sum(amount), 0)).select_from(table)
        query = query.group_by(state) if kind != "message" else query
        for row in connection.execute(query):
            found[kind, row[0]] = Total(int(row[1]), int(row[2]))
    return found


def recount(connection: Connection) -> None:
    """Make the table anew from what is there."""
    connection.execute(delete(total))
    rows = [
        {"kind": kind, "state": state, "count": one.count, "amount": one.amount}
        for (kind, state), one in counted(connection).items()
        if one.count
    ]
    if rows:
        connection.execute(insert(total), rows)


def create(connection: Connection) -> None:
    """Make the triggers as they are now; none on PostgreSQL."""
    if connection.dialect.name == "postgresql":
        return
    for name, statement in _triggers().items():
        connection.exec_driver_sql(f"create trigger {name} {statement}")


def drop(connection: Connection) -> None:
    """Remove the triggers, if there are any."""
    if connection.dialect.name != "postgresql":
        for name in _triggers():
            connection.exec_driver_sql(f"drop trigger if exists {name}")


def _triggers() -> dict[str, str]:
    found = {}
    for kind in _KINDS:
        found[f"total_{kind}_insert"] = f"after insert on {kind} begin {_add(kind, 'new')} end"
        found[f"total_{kind}_delete"] = f"after delete on {kind} begin {_take(kind, 'old')} end"
    for kind, columns in _CHANGES.items():
        changed = " or ".join(f"old.{name} is not new.{name}" for name in columns)
        both = f"{_take(kind, 'old')} {_add(kind, 'new')}"
        found[f"total_{kind}_update"] = (
            f"after update of {', '.join(columns)} on {kind} when {changed} begin {both} end"
        )
    return found


def _add(kind: str, row: str) -> str:
    # S608: names of our own
    state, amount = _STATE[kind].format(row=row), _AMOUNT[kind].format(row=row)
    return (
        f"insert into total (kind, state, count, amount) values ('{kind}', {state}, 1, {amount}) "  # noqa: S608
        "on conflict (kind, state) do update set count = count + 1, amount = amount + excluded.amount;"
    )


def _take(kind: str, row: str) -> str:
    state, amount = _STATE[kind].format(row=row), _AMOUNT[kind].format(row=row)
    return (
        f"update total set count = count - 1, amount = amount - {amount} "  # noqa: S608
        f"where kind = '{kind}' and state = {state};"
    )
