"""``mo-sync --sync-now`` as an operator runs it: real files in, a real gateway over HTTP, real files out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway, named
from mo_sync.sandbox.media import make
from mo_sync.sandbox.scenario import Scenario
from mo_sync.sandbox.traffic import demo_scenario, make_traffic
from tests.announcements import announcement
from tests.site import Site

CANONICAL = (Path(__file__).parent.parent / "data" / "events" / "mms.json").read_bytes()
ATTACHMENT = "Mno4Xayql1oVOYAvP7Iy25"
MESSAGE = "WGqCwdXm2szqkIGq2Xmy06"
GIF = make("gif", "a small one")


@pytest.fixture
def site(tmp_path: Path, gateway: Gateway) -> Site:
    return Site(tmp_path / "site", gateway.base_url)


def play(gateway: Gateway, scenario: Scenario) -> None:
    """Let the gateway hold what the scenario says, with its faults."""
    for attachment in scenario.attachments:
        gateway.add_attachment(attachment)
    for target, fault in scenario.faults:
        gateway.add_fault(target, fault)


def snapshot(site: Site) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the ledger that a repeated announcement must not change."""
    return {
        "event": site.query(
            "select event_key, source, topic, type, state, reason, message_id, payload from event order by id"
        ),
        "message": site.query("select * from message order by id"),
        "attachment": site.query("select * from attachment order by id"),
        "attempt": site.query("select * from attempt order by id"),
    }


def test_a_dropped_event_becomes_a_verified_file_and_a_row_that_says_so(site: Site, gateway: Gateway) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, GIF, "image/gif"))
    site.drop("mms.json", CANONICAL)

    done = site.run("--sync-now")

    assert done.returncode == 0, done.stderr
    assert site.query("select id, message_id, state, attempts, location, content_type from attachment") == [
        (ATTACHMENT, MESSAGE, "stored", 1, f"2019/07/16/{MESSAGE}/0-{ATTACHMENT}.gif", "image/gif")
    ]
    assert site.query("select number, outcome, bytes from attempt") == [(1, "stored", len(GIF))]
    site.check_store({ATTACHMENT: GIF})
    assert [path.name for path in site.drop_folder.glob("done/*/*")] == ["mms.json"]
    assert list(site.drop_folder.glob("processing/*")) == []


def test_a_pass_with_nothing_to_do_is_settled(site: Site) -> None:
    done = site.run("--sync-now", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settled"] == {}


def test_a_gateway_that_is_not_there_ends_in_75_and_costs_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", "http://127.0.0.1:9")
    site.drop("mms.json", CANONICAL)

    done = site.run("--sync-now")

    assert done.returncode == 75, done.stderr
    assert site.states() == {"pending": 1}


@pytest.mark.parametrize(
    ("path", "words", "hint"),
    [
        ("token", "this is not a folder", "name a folder in drop.path"),
        ("missing/drop", "there is no folder to hold it", "mo-sync init"),
        ("token/drop", "there is no folder to hold it", "drop.path"),
    ],
)
def test_a_drop_folder_that_cannot_be_one_is_told_with_what_to_do(site: Site, path: str, words: str, hint: str) -> None:
    done = site.run("--sync-now", environ={"MO_SYNC_DROP__PATH": path})

    assert done.returncode == 75
    assert done.stderr.startswith(f"mo-sync: drop-out-of-reach: {site.root}/{path}: {words}\n  hint: ")
    assert hint in done.stderr


@pytest.mark.parametrize(("base_url", "warned"), [("http://gateway.invalid", 1), ("https://gateway.invalid", 0)])
def test_a_gateway_on_another_machine_without_encryption_is_warned_of_once(
    tmp_path: Path, base_url: str, warned: int
) -> None:
    site = Site(tmp_path / "site", base_url)
    site.drop("mms.json", CANONICAL)

    done = site.run("--sync-now")

    assert done.stderr.count("gateway.in-clear") == warned


def test_messages_without_attachments_are_told_of(site: Site) -> None:
    event = json.loads(CANONICAL)
    text = json.dumps(event).replace(ATTACHMENT, "").replace('"has_attachment": true', '"has_attachment": false')
    site.drop("sms.json", text.encode())

    assert "Ledger: no attachments, 1 event, 1 message\n" in site.run("--sync-now").stdout


def test_refused_credentials_hold_the_application_and_use_up_no_attempt(site: Site, gateway: Gateway) -> None:
    (site.root / "token").write_text("wrong\n")
    gateway.add_attachment(Attachment(ATTACHMENT, GIF, "image/gif"))
    site.drop("mms.json", CANONICAL)

    refused = site.run("--sync-now")

    assert refused.returncode == 4, refused.stderr
    assert site.query("select state, attempts from attachment") == [("pending", 0)]
    assert site.query("select id, state from application") == [("17226", "held")]
    (site.root / "token").write_text("sandbox-token\n")
    assert site.sync_until_settled().returncode == 0
    site.check_store({ATTACHMENT: GIF})


def test_the_demo_traffic_ends_as_it_should_and_a_second_time_changes_nothing(site: Site, gateway: Gateway) -> None:
    scenario = demo_scenario()
    play(gateway, scenario)
    for name, content in scenario.files.items():
        site.drop(name, content)

    done = site.sync_until_settled()

    assert done.returncode == 5, done.stderr
    assert dict(site.query("select id, state from attachment")) == dict(scenario.fates)
    site.check_store({row.id: row.content or b"" for row in scenario.attachments})
    before = snapshot(site)
    for name, content in scenario.files.items():
        site.drop(f"again-{name}", content)
    assert site.sync_until_settled().returncode == 5
    assert snapshot(site) == before


def test_five_hundred_events_with_trouble_end_whole_and_again_in_other_shapes_change_only_deliveries(
    site: Site, gateway: Gateway
) -> None:
    scenario = make_traffic(7, events=500, attachments=700, transient_share=0.1, permanent_share=0.02)
    play(gateway, scenario)
    for name, content in scenario.files.items():
        site.drop(name, content)

    done = site.sync_until_settled()

    assert done.returncode == 5, done.stderr
    assert dict(site.query("select id, state from attachment")) == dict(scenario.fates)
    assert site.query("select count(*) from message") == [(len(scenario.messages),)]
    assert site.query("select count(*) from attachment where state not in ('stored') and error is null") == [(0,)]
    site.check_store({row.id: row.content or b"" for row in scenario.attachments})
    before, asked, deliveries = snapshot(site), len(gateway.requests), site.query("select sum(deliveries) from event")
    for name, content in scenario.dropped_again(seed=8).items():
        site.drop(name, content)
    assert site.sync_until_settled().returncode == 5
    assert snapshot(site) == before
    assert len(gateway.requests) == asked
    assert site.query("select sum(deliveries) from event")[0][0] == deliveries[0][0] + len(scenario.events)


def test_two_passes_at_once_share_the_work_and_do_nothing_twice(site: Site, gateway: Gateway) -> None:
    scenario = make_traffic(3, events=60, attachments=120, transient_share=0, permanent_share=0)
    play(gateway, scenario)
    gateway.latency_s = 0.02
    for name, content in scenario.files.items():
        site.drop(name, content)

    passes = [site.start("--sync-now"), site.start("--sync-now")]
    for running in passes:
        running.communicate(timeout=100)

    assert {running.returncode for running in passes} <= {0, 4}
    assert site.sync_until_settled().returncode == 0
    site.check_store({row.id: row.content or b"" for row in scenario.attachments})
    assert site.query("select max(n) from (select count(*) n from attempt group by attachment_id)") == [(1,)]
    assert all(gateway.requests.count(step="content", attachment_id=row.id) == 1 for row in scenario.attachments)


def test_a_truncated_file_is_never_seen_under_its_final_name(site: Site, gateway: Gateway) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, GIF, "image/gif"), named("short", times=None))
    site.drop("mms.json", CANONICAL)

    done = site.run("--sync-now")

    assert done.returncode == 4, done.stderr
    assert site.files() == {}
    [(state, error)] = site.query("select state, error from attachment")
    assert state == "pending"
    assert error


def test_the_status_tells_when_the_last_pass_ended_and_how(site: Site) -> None:
    site.drop("mms.json", CANONICAL)  # whose file the gateway does not have
    code = site.run("--sync-now").returncode

    told = site.run("ledger", "status").stdout

    assert code != 0
    assert re.search(
        rf"^last pass of --sync-now on \S+ completed \d+ s ago, with exit code {code}$", told, re.MULTILINE
    )


def test_nothing_is_fetched_into_a_folder_where_a_disk_is_to_be_mounted(site: Site, gateway: Gateway) -> None:
    """What is put there is hidden by the disk afterwards, and the ledger calls it stored."""
    gateway.add_attachment(Attachment(ATTACHMENT, GIF, "image/gif"))
    gateway.add_attachment(Attachment("Another1", GIF, "image/gif"))
    site.drop("mms.json", CANONICAL)
    assert site.run("--sync-now").returncode == 0
    disk = site.media.rename(site.root / "unmounted")
    site.media.mkdir()
    site.drop("more.json", json.dumps(announcement(7, attachment_ids="Another1")).encode())

    paused, examined = site.run("--sync-now"), site.run("doctor")
    told, shown = json.loads(site.run("ledger", "status", "--json").stdout), site.run("ledger", "show", "Another1")
    assert "nothing ever lay in this store" in told["paused"]
    assert "but all fetching is paused: the ledger knows of 1 files" in shown.stdout

    assert (paused.returncode, site.files()) == (75, {})
    assert "nothing ever lay in this store: see store.url, and whether its disk is mounted" in paused.stdout
    assert "the ledger knows of 1 files, and nothing ever lay there" in examined.stdout
    shutil.rmtree(site.media)
    assert "mo-sync init" in (gone := site.run("doctor")).stdout
    assert "see whether its disk is mounted" in gone.stdout
    disk.rename(site.media)
    assert site.run("--sync-now").returncode == 0
    assert len(site.files()) == 2


def test_no_ledger_is_begun_beside_a_store_that_has_files(site: Site, gateway: Gateway) -> None:
    gateway.add_attachment(Attachment(ATTACHMENT, GIF, "image/gif"))
    site.drop("mms.json", CANONICAL)
    assert site.run("--sync-now").returncode == 0
    ledger = (site.root / "ledger.db").rename(site.root / "unmounted.db")
    site.drop("more.json", json.dumps(announcement(7, attachment_ids="Another1")).encode())

    (site.root / "ledger.db").touch()
    assert site.run("--sync-now").returncode == 75
    (site.root / "ledger.db").unlink()
    refused = site.run("--sync-now")

    assert refused.returncode == 75
    assert "ledger-missing" in refused.stderr
    assert "whether its disk is mounted" in refused.stderr
    assert not (site.root / "ledger.db").exists()
    assert [path.name for path in site.drop_folder.glob("*.json")] == ["more.json"]
    assert site.run("init").returncode == 0, "who knows that it is lost begins a new one"
    assert site.run("--sync-now").returncode in (0, 4)
    assert ledger.exists()
