"""Rows for other programs, on every database: all of them, of one moment, a few at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mo_sync.ledger import Ledger
from mo_sync.ledger.claims import claim, settle
from mo_sync.ledger.exports import HEEDED, Kind, columns_of, streamed
from mo_sync.ledger.filters import Filters
from mo_sync.ledger.interventions import By, Choice, Deed, intervene
from mo_sync.lifecycle import State
from mo_sync.verdicts import Verdict
from tests.ledgers import announced, failed, later, recorded, settlement


@pytest.fixture
def sample(ledger: Ledger) -> Ledger:
    recorded(ledger, *(announced(f"E{n:04}", f"M{n:04}", [f"A{n:04}"]) for n in range(2_500)))
    recorded(ledger, announced("Z", "MZ", ["AZ"], application_id="2", from_address="+1999"), now=later(100))
    for lease in claim(ledger, worker="w", count=2, now=later(0), lease_s=60):
        outcome = failed(Verdict.PERMANENT, status=410, code="4100")
        settle(ledger, [settlement(lease, outcome, now=later(1))], worker="w")
    return ledger


def exported(ledger: Ledger, kind: Kind, **filters: Any) -> list[dict[str, Any]]:
    with streamed(ledger, kind, Filters(**filters)) as found:
        return list(found)


@pytest.mark.parametrize("kind", Kind)
def test_every_row_is_there_with_all_its_columns_of_their_types(sample: Ledger, kind: Kind) -> None:
    by = By("me", "too many")
    intervene(sample, Deed.HOLD, Choice(ids=["AZ"]), now=later(200), give_up_after_s=60.0, by=by)

    found = exported(sample, kind)

    few = {Kind.ATTEMPTS: 2, Kind.INTERVENTIONS: 1, Kind.PROBLEMS: 2}
    assert len(found) == few.get(kind, 2_501)
    columns = columns_of(kind)
    assert list(found[0]) == list(columns)
    for row in (found[0], found[-1]):
        for name, value in row.items():
            assert value is None or type(value) is columns[name], name
            assert not isinstance(value, datetime) or value.tzinfo is UTC


def test_nothing_is_told_of_leases(sample: Ledger) -> None:
    assert {"lease", "lease_until", "worker"}.isdisjoint(columns_of(Kind.ATTACHMENTS))


@pytest.mark.parametrize(
    ("kind", "filters", "count"),
    [
        (Kind.ATTACHMENTS, {"states": [State.FAILED]}, 2),
        (Kind.ATTACHMENTS, {"from_address": "1999"}, 1),
        (Kind.ATTACHMENTS, {"since": later(50)}, 1),
        (Kind.MESSAGES, {"application_id": "2"}, 1),
        (Kind.MESSAGES, {"until": later(50)}, 2_500),
        (Kind.EVENTS, {"from_address": "+1999"}, 1),
        (Kind.EVENTS, {"since": later(50), "application_id": "2"}, 0),  # both were received at the same time
        (Kind.ATTEMPTS, {"application_id": "17226"}, 2),
        (Kind.ATTEMPTS, {"error": "4100", "until": later(1)}, 0),
        (Kind.PROBLEMS, {"application_id": "17226", "since": later(1)}, 2),
        (Kind.PROBLEMS, {"error": "nothing of that kind"}, 0),
        (Kind.INTERVENTIONS, {"states": [State.HELD]}, 0),
    ],
)
def test_filters_choose(sample: Ledger, kind: Kind, filters: dict[str, Any], count: int) -> None:
    assert filters.keys() <= HEEDED[kind]
    assert len(exported(sample, kind, **filters)) == count


def test_it_is_of_one_moment_while_others_write(sample: Ledger) -> None:
    with streamed(sample, Kind.EVENTS, Filters()) as found:
        first = next(found)
        recorded(sample, announced("new", "Mnew", ["Anew"]))
        rest = list(found)

    assert first["event_key"] == "E0000"
    assert len(rest) == 2_500
    assert "new" not in {row["event_key"] for row in rest}
