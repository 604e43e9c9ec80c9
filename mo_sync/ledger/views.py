"""Views for people: the ledger as they ask about it, with plain ``sqlite3`` or ``psql``."""

from __future__ import annotations

from sqlalchemy import Connection, Text, column, table

from mo_sync.ledger.dialect import day_of, second_of, shell_word
from mo_sync.ledger.schema import FROM_INBOX, UtcTime

__all__ = ["COMMENTS", "create", "drop", "problem", "statements"]

problem = table(
    "v_problem",
    column("kind", Text),
    column("id", Text),
    column("application_id", Text),
    column("since", UtcTime),
    column("reason", Text),
    column("command", Text),
)
"""``v_problem``, to be asked like a table."""

COMMENTS = {
    "v_inbox": "A row a message, with counts of its attachments by state.",
    "v_attachment": "Everything about one attachment, with its message, in a row.",
    "v_problem": "What needs a person: what, since when, why, and the command that helps.",
    "v_gap": "Messages that Syniverse's inbox has and nobody announced, or that differ, or that it does not have.",
    "v_daily": "A row a day (UTC): messages, attachments, what became of them, bytes.",
}
"""What each view is for; ``docs/ledger.md`` says the same."""

_COUNTED = (
    "pending",
    "fetching",
    "stored",
    "missing",
    "refused",
    "quarantined",
    "failed",
    "held",
    "cancelled",
    "erased",
)

_LONG_TROUBLED = 5
"""After so many tries in vain a gateway that takes no more is a person's problem too."""


def statements(dialect: str) -> dict[str, str]:
    """The SELECT of each view, by its name."""
    return {
        "v_inbox": _inbox(),
        "v_attachment": _attachment(),
        "v_problem": _problem(dialect),
        "v_gap": _gap(dialect),
        "v_daily": _daily(dialect),
    }


def create(connection: Connection) -> None:
    """Make the views as they are now."""
    for name, select in statements(connection.dialect.name).items():
        connection.exec_driver_sql(f"create view {name} as {select}")


def drop(connection: Connection) -> None:
    """Remove the views, if there are any."""
    for name in statements(connection.dialect.name):
        connection.exec_driver_sql(f"drop view if exists {name}")


def _inbox() -> str:
    # S608: what is put into these statements are our own states and column names.
    counts = ",\n  ".join(f"sum(case when a.state = '{state}' then 1 else 0 end) as {state}" for state in _COUNTED)
    return f"""
select m.id, m.application_id, m.channel, m.from_address, m.to_address, m.body, m.av_status,
  m.occurred_at, m.recorded_at,
  count(a.id) as attachments,
  {counts}
from message m left join attachment a on a.message_id = m.id
group by m.id
"""  # noqa: S608


def _attachment() -> str:
    return """
select a.id, a.message_id, a.position, a.state, a.location, a.size, a.sha256, a.content_type, a.filename,
  a.error, a.error_step, a.error_status, a.error_code, a.attempts, a.due_at, a.deadline_at, a.worker, a.lease_until,
  a.declared_type, a.header_type, a.application_id, m.from_address, m.to_address, m.body, m.av_status,
  m.occurred_at, a.created_at, a.stored_at, a.updated_at
from attachment a join message m on m.id = a.message_id
"""


def _problem(dialect: str) -> str:
    columns = ("a.id", "e.event_key", "e.message_id", "p.id", "k.message_id")
    attachment, event, message, application, marked = (shell_word(dialect, column) for column in columns)
    return f"""
select a.state as kind, a.id, a.application_id, a.updated_at as since, a.error as reason,
  case a.state when 'quarantined' then 'mo-sync ledger show ' || {attachment}
  else 'mo-sync ledger retry ' || {attachment} end as command
from attachment a where a.state in ('failed', 'missing', 'refused', 'quarantined')
union all
select 'application ' || p.state, p.id, p.id, p.updated_at, p.reason,
  'mo-sync doctor; mo-sync ledger release --application ' || {application}
from application p where p.state = 'held' or (p.state = 'throttled' and p.failures >= {_LONG_TROUBLED})
union all
select 'rejected event', e.event_key, null, e.received_at, e.reason, 'mo-sync ledger show ' || {event}
from event e where e.state = 'rejected'
union all
select 'message without ids', e.message_id, m.application_id, e.received_at, e.reason,
  'mo-sync ledger show ' || {message}
from event e join message m on m.id = e.message_id
where e.state = 'accepted' and e.reason is not null and m.pruned is null
  and not exists (select 1 from attachment a where a.message_id = e.message_id)
union all
select g.kind, g.subject, g.application_id, g.since, g.reason, 'mo-sync doctor'
from gap g where g.kind in ('inbox empty', 'inbox out of reach', 'silence')
union all
select 'not marked', k.message_id, m.application_id, k.created_at, k.error, 'mo-sync ledger show ' || {marked}
from mark k join message m on m.id = k.message_id where k.state = 'failed'
"""  # noqa: S608


def _gap(dialect: str) -> str:
    differing, unannounced = shell_word(dialect, "g.subject"), shell_word(dialect, "e.message_id")
    since = second_of(dialect, "g.since")
    here, other, earlier = (FROM_INBOX.replace("source", f"{name}.source") for name in ("e", "o", "f"))
    return f"""
select g.kind, g.subject as message_id, g.application_id, g.since, g.reason,
  'mo-sync ledger show ' || {differing} as command
from gap g where g.kind in ('not in the inbox', 'attachments differ')
union all
select g.kind, g.subject, g.application_id, g.since, g.reason,
  'mo-sync ledger backfill --since ' || {since}
from gap g where g.kind = 'only in the inbox' and not exists (select 1 from message m where m.id = g.subject)
union all
select 'not announced', e.message_id, m.application_id, coalesce(m.occurred_at, e.received_at),
  'the inbox shows it, and no event announced it', 'mo-sync ledger show ' || {unannounced}
from event e join message m on m.id = e.message_id
where {here}
  and not exists (
    select 1 from event o
    where o.message_id = e.message_id and not {other} and substr(o.source, 1, 9) <> 'backfill:')
  and not exists (select 1 from event f where f.message_id = e.message_id and {earlier} and f.id < e.id)
"""  # noqa: S608


def _daily(dialect: str) -> str:
    day = day_of(dialect, "m.recorded_at")
    return f"""
select {day} as day,
  count(distinct m.id) as messages,
  count(a.id) as attachments,
  sum(case when a.state = 'stored' then 1 else 0 end) as stored,
  sum(case when a.state in ('pending', 'fetching') then 1 else 0 end) as waiting,
  sum(case when a.state in ('failed', 'missing', 'refused', 'quarantined') then 1 else 0 end) as problems,
  coalesce(sum(case when a.state = 'stored' then a.size else 0 end), 0) as bytes
from message m left join attachment a on a.message_id = m.id
group by {day}
"""  # noqa: S608
