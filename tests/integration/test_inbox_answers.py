"""What ledger gaps and backfill answer: of the time that they were asked for, how to go on, and no false all-clear."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mo_sync.errors import ExitCode, UsageError
from mo_sync.feeds.inbox.byhand import ByHand, Gone
from mo_sync.ledger import Ledger
from mo_sync.sandbox import Gateway, Message
from mo_sync.settings import Ledger as LedgerSettings
from tests.commands import Called, call
from tests.inboxes import ago, received
from tests.ledgers import rows
from tests.trouble import eventually


def put(gateway: Gateway, *messages: Message) -> None:
    for one in messages:
        gateway.add_message(one)


def asked(
    folder: Path,
    gateway: Gateway,
    *words: str,
    applications: Mapping[str, str] | None = None,
    token: str | None = "sandbox-token",
) -> Called:
    """``mo-sync ledger WORDS`` in this process, with the gateway's token, if any; ``applications`` have their own."""
    own = {f"applications.{name}": {"token": token} for name, token in (applications or {}).items()}
    settings = {"gateway": {"base_url": gateway.base_url, **({"token": token} if token else {})}, **own}
    url = f"sqlite:///{folder / 'ledger.db'}"
    with Ledger.open(LedgerSettings(url=url)):
        return call(url, folder, "ledger", *words, more=settings)


def at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def recorded(folder: Path) -> list[str]:
    with Ledger.open(LedgerSettings(url=f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        return [row["id"] for row in rows(ledger, "select id from message order by id")]


def test_a_backfill_records_what_it_was_asked_for_and_nothing_beside_it(tmp_path: Path, gateway: Gateway) -> None:
    begin = ago(3).replace(microsecond=0)
    put(gateway, *(received(n, begin + timedelta(minutes=n - 5)) for n in range(20)))
    span = ("backfill", "--since", at(begin), "--until", at(begin + timedelta(minutes=2)), "--json")

    would = asked(tmp_path, gateway, *span, "--dry-run").document
    done = asked(tmp_path, gateway, *span).document

    assert recorded(tmp_path) == [received(n, begin).id for n in (5, 6)]
    assert [would[name] for name in ("messages", "missing", "recorded", "new")] == [2, 2, 0, 0]
    assert [done[name] for name in ("messages", "missing", "recorded", "new")] == [2, 2, 2, 2]


def test_what_may_still_be_announced_is_not_compared_and_that_is_said(tmp_path: Path, gateway: Gateway) -> None:
    put(gateway, received(1, ago(0.1)), received(2, ago(1)))

    told = asked(tmp_path, gateway, "gaps", "--since", "2h")
    found = asked(tmp_path, gateway, "gaps", "--since", "2h", "--json").document
    past = asked(tmp_path, gateway, "gaps", "--since", "3h", "--until", "30m")

    assert "compared up to 20" in told.err
    assert "compared up to" not in past.err
    assert ago(0.3) < datetime.fromisoformat(found["until"]) < ago(0.2)
    assert [one["subject"] for one in found["gaps"]] == [received(2, ago(1)).id]
    with pytest.raises(UsageError, match="can be compared yet") as refused:
        asked(tmp_path, gateway, "gaps", "--since", "10m")
    assert refused.value.exit_code == ExitCode.USAGE


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody presses Ctrl-C as soon as a part was gone through."""
    go_through = ByHand.go_through

    def and_stop(hand: ByHand, scopes: Any, span: Any, *, stop: Any, told: Any) -> Gone:
        def tell(part: Any) -> None:
            told(part)
            signal.raise_signal(signal.SIGINT)
            eventually(stop)

        return go_through(hand, scopes, span, stop=stop, told=tell)

    monkeypatch.setattr(ByHand, "go_through", and_stop)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize("command", ["gaps", "backfill"])
@pytest.mark.parametrize("application", [["--application", "17226"], []])
def test_how_to_go_on_is_a_whole_command_that_can_be_pasted(
    tmp_path: Path, gateway: Gateway, command: str, application: list[str]
) -> None:
    since, until = ago(24 * 9), ago(24 * 2)

    done = asked(tmp_path, gateway, command, "--since", at(since), "--until", at(until), *application)

    left = until - timedelta(hours=6)
    whole = shlex.join(["mo-sync", "ledger", command, "--since", at(since), "--until", at(left), *application])
    assert done.exit_code == 130
    assert f"go on with {whole}\n" in done.err


@pytest.mark.usefixtures("interrupted")
def test_of_several_inboxes_each_is_gone_on_with_or_all_of_them_when_one_has_no_name(
    tmp_path: Path, gateway: Gateway
) -> None:
    gateway.credentials.add("own-token", "17226")
    span = ("backfill", "--since", "9d", "--dry-run")

    with_the_gateway = asked(tmp_path, gateway, *span, applications={"17226": "own-token"})
    without = asked(tmp_path, gateway, *span, applications={"17226": "own-token", "20881": "own-token"}, token=None)

    assert [line.count("--application") for line in with_the_gateway.err.splitlines() if "go on" in line] == [0]
    lines = [line for line in without.err.splitlines() if "go on" in line]
    assert [line.split("--application ")[1] for line in lines] == ["17226 --dry-run", "20881 --dry-run"]


def test_what_gaps_says_to_record_it_with_is_about_the_same(tmp_path: Path, gateway: Gateway) -> None:
    put(gateway, received(1, ago(3)))
    since, until = at(ago(4)), at(ago(2))

    done = asked(tmp_path, gateway, "gaps", "--since", since, "--until", until, "--application", "17226")

    assert f"mo-sync ledger backfill --since {since} --until {until} --application 17226\n" in done.out


@pytest.mark.usefixtures("interrupted")
def test_what_was_not_gone_through_to_its_end_is_no_all_clear(tmp_path: Path, gateway: Gateway) -> None:
    put(gateway, received(1, ago(24 * 5)))

    compared = asked(tmp_path, gateway, "gaps", "--since", "9d")
    found = asked(tmp_path, gateway, "gaps", "--since", "9d", "--json")
    filled = asked(tmp_path, gateway, "backfill", "--since", "9d")

    assert "so far: nothing that differs" in compared.out
    assert (found.exit_code, found.document["whole"]) == (130, False)
    assert filled.out == "0 messages in the inbox so far, 0 of them new\n"


def test_one_message_is_called_one(tmp_path: Path, gateway: Gateway) -> None:
    put(gateway, received(1, ago(2)))

    assert asked(tmp_path, gateway, "backfill", "--since", "1d").out.startswith("1 message in the inbox, 1 of them new")
    assert ": no difference" in asked(tmp_path, gateway, "gaps").out


@pytest.mark.parametrize("command", ["gaps", "backfill"])
def test_an_application_that_nobody_knows_is_no_all_clear(tmp_path: Path, gateway: Gateway, command: str) -> None:
    put(gateway, received(1, ago(2)), received(2, ago(2), state="DELETED"))

    with pytest.raises(UsageError, match="application-unknown") as refused:
        asked(tmp_path, gateway, command, "--since", "1d", "--application", "1722")
    configured = asked(
        tmp_path, gateway, command, "--since", "1d", "--application", "1722", applications={"1722": "sandbox-token"}
    )
    gateway.credentials.expire()
    unreached = asked(tmp_path, gateway, command, "--since", "1d", "--application", "1722")

    assert refused.value.exit_code == ExitCode.USAGE
    assert configured.exit_code == 0
    assert unreached.exit_code == 75
    assert "application 1722: neither" in unreached.err


def test_an_application_that_only_the_inbox_or_only_the_ledger_knows_is_one(tmp_path: Path, gateway: Gateway) -> None:
    put(gateway, received(1, ago(2)))

    shown = asked(tmp_path, gateway, "backfill", "--since", "1d", "--application", "17226")
    recorded_before = asked(tmp_path, gateway, "gaps", "--since", "1h", "--application", "17226")

    assert (shown.exit_code, recorded_before.exit_code) == (0, 0)
    assert "application" not in shown.err + recorded_before.err
