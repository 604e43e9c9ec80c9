"""``mo-sync doctor --bundle``: all that helps, nothing that must not leave the house."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Attachment, Gateway
from mo_sync.sandbox.media import make
from tests.announcements import announcement
from tests.site import Site

SECRETS = ("sandbox-token", "4085550100", "my own words", "consumer-of-all-secrets")
NAMES = {
    *("versions.json", "doctor.json", "settings.json", "status.json", "problems.json", "failures.json"),
    "folders.json",
    *("log.txt", "units.txt", "disks.txt"),
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Gateway() as gateway:
        site = Site(tmp_path / "site", gateway.base_url, settings={"gateway": {"consumer_secret": SECRETS[3]}})
        gateway.add_attachment(Attachment("A0", make("gif", "file"), "image/gif"))
        for n in range(2):
            fields = {"attachment_ids": f"A{n}", "from_address": "+14085550100", "message_body": "my own words"}
            site.drop(f"{n}.json", json.dumps(announcement(n, **fields)).encode())
        site.drop("bad.json", b'{"token": "Bearer sandbox-token", "from": "+14085550100", "my own words')
        site.run("--sync-now")
        yield site


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name.removeprefix("mo-sync-bundle/"): file.read().decode() for name, file in files.items() if file}


def test_a_bundle_holds_what_helps_and_no_secret(site: Site) -> None:
    done = site.run("doctor", "--bundle", "help.tar.gz")

    assert "help.tar.gz holds versions.json" in done.stdout
    found = contents(site.root / "help.tar.gz")
    assert found.keys() == NAMES
    for name, text in found.items():
        assert [secret for secret in SECRETS if secret in text] == [], name
    documents = {name: json.loads(text) for name, text in found.items() if name.endswith(".json")}
    assert documents["versions.json"]["packages"]["SQLAlchemy"]
    assert {check["name"] for check in documents["doctor.json"]} >= {"ledger", "gateway"}
    assert documents["settings.json"]["settings"]["store"]["url"]
    assert documents["status.json"]["attachments"]["stored"] == 1
    assert [one["kind"] for one in documents["problems.json"]["others"]] == ["rejected event"]
    assert documents["failures.json"][0]["times"] >= 1
    folders = documents["folders.json"]["folders"]
    counts = {name: folder["files"] for name, folder in folders.items() if "files" in folder}
    assert {name: counts[name] for name in ("drop", "drop/done", "drop/rejected")} == {
        "drop": 0,
        "drop/done": 2,
        "drop/rejected": 2,
    }
    assert documents["folders.json"]["ledger"]["ledger.db"] > 0
    assert (site.root / "help.tar.gz").stat().st_mode & 0o007 == 0


def test_what_is_there_is_replaced_only_when_that_was_asked_for(site: Site) -> None:
    (site.root / "help.tar.gz").write_text("something dear")

    assert site.run("doctor", "--bundle", "help.tar.gz").returncode == 2
    assert (site.root / "help.tar.gz").read_text() == "something dear"
    site.run("doctor", "--bundle", "help.tar.gz", "--force")
    assert contents(site.root / "help.tar.gz").keys() == NAMES
    assert site.run("doctor", "--bundle", "nowhere/help.tar.gz").returncode == 75


def test_a_broken_site_has_a_bundle_too_which_says_what_cannot_be_had(site: Site) -> None:
    (site.root / "mo-sync.toml").write_text("[gatewy]\n")

    assert site.run("doctor", "--bundle", "help.tar.gz").returncode == 3

    found = contents(site.root / "help.tar.gz")
    assert "gatewy" in found["settings.json"]
    assert "not-available" in found["status.json"]
    assert json.loads(found["doctor.json"])[0]["level"] == "failed"
