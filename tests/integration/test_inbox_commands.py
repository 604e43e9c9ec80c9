"""The inbox by hand and by itself: --sync-now, the daemon, ledger gaps and backfill, as an operator meets them."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from mo_sync.sandbox import Attachment, Gateway, Message
from tests.inboxes import ago, received
from tests.site import Site
from tests.terminal import in_terminal
from tests.trouble import eventually

KILLS = int(os.environ.get("MO_SYNC_KILLS", "4"))
ON = {"inbox": {"enabled": True, "interval": "10s"}}


def put(gateway: Gateway, *messages: Message) -> None:
    for one in messages:
        gateway.add_message(one)
        for name in one.attachments:
            gateway.add_attachment(Attachment(name, b"GIF89a" + name.encode(), "image/gif"))


def made(site: Site) -> None:
    """Its ledger is there, and nothing in it."""
    assert site.run("--sync-now").returncode == 0


def document(site: Site, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = site.run(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_pass_brings_what_nobody_announced_fetches_it_and_says_so(tmp_path: Path, gateway: Gateway) -> None:
    site = Site(tmp_path / "site", gateway.base_url, settings={"inbox": {"enabled": True, "interval": "1h"}})
    put(gateway, received(1, ago(1), 2), received(2, ago(24 * 40)))

    done = site.run("--sync-now")

    assert done.returncode == 0, done.stderr
    assert "Inbox: 2 messages that nobody had announced" in done.stdout
    assert site.states() == {"stored": 3}
    before = gateway.requests.summary()["requests"]
    again = site.run("--sync-now")
    assert "Inbox" not in again.stdout
    assert gateway.requests.summary()["requests"] == before, "its turn is only in a while"


def test_a_daemon_brings_it_while_it_works_and_status_tells(tmp_path: Path, gateway: Gateway) -> None:
    site = Site(tmp_path / "site", gateway.base_url, settings=ON)
    put(gateway, *(received(n, ago(24 * n)) for n in range(5)))
    with site.start("run", stderr=(site.root / "said").open("w")) as daemon:
        try:
            eventually(lambda: site.states() == {"stored": 5})
            put(gateway, received(100, ago(0.5)))
            eventually(lambda: site.states() == {"stored": 6}, limit_s=40)
            told = document(site, "ledger", "status")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()

    assert told["inboxes"]["places"]["gateway"]["left"] is None
    assert {"inbox", "backfill"} <= set(told["processes"][0]["jobs"])
    assert "inbox gateway was seen up to" in site.run("ledger", "status").stdout


def test_gaps_are_shown_counted_and_closed_by_a_backfill(tmp_path: Path, gateway: Gateway) -> None:
    site = Site(tmp_path / "site", gateway.base_url)
    put(gateway, *(received(n, ago(n + 1)) for n in range(30)))
    made(site)

    found = document(site, "ledger", "gaps", "--since", "2d", code=5)
    assert len(found["gaps"]) == found["messages"] == 30
    assert {one["kind"] for one in found["gaps"]} == {"only in the inbox"}
    told = site.run("ledger", "gaps", "--since", "2d", "--limit", "3")
    assert told.returncode == 5
    assert told.stdout.count("only in the inbox") == 4
    assert "mo-sync ledger backfill --since" in told.stdout
    assert site.query("select count(*) from v_gap") == [(30,)]
    shown = in_terminal(site.start, "ledger", "gaps", "--since", "2d", columns=80, COLUMNS="80")
    for one in found["gaps"]:
        assert f"{one['subject']}  " in shown.raw
    assert shown.raw.count(f"  application 17226: {found['gaps'][0]['reason']}\r\n") == 30

    would = document(site, "ledger", "backfill", "--since", "2d", "--dry-run")
    assert (would["missing"], would["recorded"], would["new"], would["dry_run"]) == (30, 0, 0, True)
    assert site.query("select count(*) from message") == [(0,)]
    done = document(site, "ledger", "backfill", "--since", "2d")
    assert (done["missing"], done["recorded"], done["new"], done["whole"]) == (30, 30, 30, True)

    assert document(site, "ledger", "gaps", "--since", "2d")["gaps"] == []
    assert site.query("select count(*) from v_gap") == [(0,)]
    assert document(site, "ledger", "backfill", "--since", "2d")["recorded"] == 0


def test_nothing_is_compared_that_is_older_than_is_kept(tmp_path: Path, gateway: Gateway) -> None:
    site = Site(tmp_path / "site", gateway.base_url, settings={"retention": {"messages": "7d"}})
    put(gateway, received(1, ago(1)), received(2, ago(24 * 20)))
    made(site)

    told = site.run("ledger", "gaps", "--since", "30d")

    assert told.returncode == 5
    assert "[retention] keeps nothing from before" in told.stderr
    assert site.query("select subject from gap") == [(received(1, ago(1)).id,)]


def test_only_one_application_is_gone_through_when_it_is_named(tmp_path: Path, gateway: Gateway) -> None:
    site = Site(tmp_path / "site", gateway.base_url)
    made(site)
    put(gateway, received(1, ago(1)), received(2, ago(1), application_id="20881"))

    document(site, "ledger", "backfill", "--since", "1d", "--application", "20881")

    assert site.query("select application_id from message") == [("20881",)]


def test_an_inbox_out_of_reach_ends_with_75_and_there_is_nothing_to_go_on_with(
    tmp_path: Path, gateway: Gateway
) -> None:
    site = Site(tmp_path / "site", gateway.base_url)
    made(site)
    gateway.credentials.expire()

    for command in ("gaps", "backfill"):
        done = site.run("ledger", command, "--since", "1d")
        assert done.returncode == 75
        assert "out of reach: gateway" in done.stderr
        assert "go on with" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backfill"], "--since"),
        (["backfill", "--since", "soon"], "time-not-understood"),
        (["gaps", "--since", "1h", "--until", "2h"], "time-empty"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, gateway: Gateway, arguments: list[str], words: str) -> None:
    site = Site(tmp_path / "site", gateway.base_url)
    made(site)

    done = site.run("ledger", *arguments)

    assert done.returncode == 2
    assert words in done.stderr


def test_a_backfill_that_is_stopped_says_how_far_it_was_and_one_that_is_killed_loses_nothing(
    tmp_path: Path, gateway: Gateway
) -> None:
    site = Site(tmp_path / "site", gateway.base_url)
    made(site)
    fall = random.Random(os.getpid())
    messages = [received(n, ago(24 * 60 * fall.random())) for n in range(2_000)]
    put(gateway, *messages)
    gateway.latency_s = 0.02

    for kill in range(KILLS):
        with site.start("ledger", "backfill", "--since", "90d") as process:
            eventually(lambda: gateway.requests.summary()["requests"] > 0)
            time.sleep(fall.random())
            process.send_signal(signal.SIGKILL if kill else signal.SIGINT)
            _, said = process.communicate(timeout=30)
        if not kill and process.returncode == 130:
            assert "interrupted: gateway" in said
    gateway.latency_s = 0.0
    document(site, "ledger", "backfill", "--since", "90d")

    assert site.query("select count(*), count(distinct id) from message") == [(2_000, 2_000)]
    assert site.query("select count(*) from attachment") == [(2_000,)]
    assert site.query("select max(deliveries) from event") == [(1,)]
