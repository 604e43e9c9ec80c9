"""Numbers for Prometheus, asked of the real daemon and read by Prometheus' own parser."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from mo_sync.sandbox import Gateway, named
from tests.trouble import Bed, eventually, secretive, shows_no_secret

Samples = dict[tuple[str, str], float]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def text_of(port: int) -> str:
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    answer.raise_for_status()
    return answer.text


def samples(port: int) -> Samples:
    """By name and the values of the labels."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text_of(port))
        for sample in family.samples
    }


@contextmanager
def measured(bed: Bed) -> Iterator[int]:
    """The daemon at work; the port that it answers at."""
    port = port_of(bed)
    with (bed.site.root / "said").open("w") as log, bed.site.start("run", stdout=log, stderr=log) as process:
        try:
            eventually(lambda: "daemon.ready" in said(bed), what=lambda: said(bed))
            yield port
            process.terminate()
            assert process.wait(30) == 0, said(bed)
        finally:
            process.kill()


def port_of(bed: Bed) -> int:
    configured = tomllib.loads((bed.site.root / "mo-sync.toml").read_text())
    return int(configured["metrics"]["listen"].partition(":")[2])


def said(bed: Bed) -> str:
    return (bed.site.root / "said").read_text()


def bed_of(root: Path, gateway: Gateway) -> Bed:
    settings = {"metrics": {"listen": f"127.0.0.1:{free_port()}"}, "sync": {"interval": "200ms", "workers": 8}}
    return Bed(root / "site", gateway, settings=settings)


def test_what_the_ledger_holds_and_the_daemon_does_is_told(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_of(tmp_path, gateway)
    bed.announce("good")
    bed.announce("never", named("not-found", times=None))
    with measured(bed) as port:
        eventually(lambda: bed.site.states() == {"stored": 1, "missing": 1}, what=bed.reasons)
        found = samples(port)
        size = len(bed.truth[bed.ids["good"]])

        assert found["mo_sync_attachments", "stored"] == 1
        assert found["mo_sync_attachments", "missing"] == 1
        assert found["mo_sync_attachments", "failed"] == 0, "what counts nothing is told too"
        assert found["mo_sync_stored_bytes", ""] == size
        assert found["mo_sync_received_bytes_total", ""] >= size
        assert found["mo_sync_attempts_total", "stored"] == 1
        assert found["mo_sync_attempts_total", "failed"] == 3
        assert found["mo_sync_messages", ""] == 2
        assert found["mo_sync_oldest_pending_seconds", ""] == 0
        assert found["mo_sync_ledger_reachable", ""] == found["mo_sync_store_reachable", ""] == 1
        assert found["mo_sync_store_free_bytes", ""] > 0
        assert found["mo_sync_application_workers", "17226"] == 8
        assert found["mo_sync_application_state", "17226,active"] == 1
        assert found["mo_sync_application_state", "17226,held"] == 0
        assert 0 <= found["mo_sync_job_age_seconds", "reconcile"] < 30
        shows_no_secret(bed.site, text_of(port), said(bed))


def test_an_application_that_is_slowed_and_one_that_is_held_can_be_seen(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_of(tmp_path, gateway)
    with measured(bed) as port:
        for number in range(12):
            bed.announce(f"{number}", named("throttled-silently", times=3))
        eventually(lambda: samples(port).get(("mo_sync_application_workers", "17226"), 9) < 8, what=lambda: said(bed))
        eventually(lambda: bed.site.states() == {"stored": 12}, what=bed.reasons)
        bed.announce("locked out", named("wrong-token", times=None))
        eventually(lambda: samples(port)["mo_sync_application_state", "17226,held"] == 1, what=lambda: said(bed))

        assert samples(port)["mo_sync_attachments", "pending"] == 1
        assert samples(port)["mo_sync_oldest_pending_seconds", ""] > 0


def test_a_ledger_that_is_gone_is_a_number_and_no_silence(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_of(tmp_path, gateway)
    with measured(bed) as port:
        assert samples(port)["mo_sync_ledger_reachable", ""] == 1
        (bed.site.root / "ledger.db").rename(bed.site.root / "away")
        eventually(lambda: samples(port)["mo_sync_ledger_reachable", ""] == 0, what=lambda: said(bed))
        assert ("mo_sync_attachments", "stored") not in samples(port)
        (bed.site.root / "away").rename(bed.site.root / "ledger.db")
        eventually(lambda: samples(port)["mo_sync_ledger_reachable", ""] == 1, what=lambda: said(bed))


def test_an_address_that_is_taken_is_told_and_nothing_is_begun(tmp_path: Path, gateway: Gateway) -> None:
    bed = bed_of(tmp_path, gateway)
    address = f"127.0.0.1:{port_of(bed)}"
    with socket.create_server(("127.0.0.1", port_of(bed))):
        ended = bed.site.run("run")

    assert ended.returncode == 3, ended.stderr
    assert f"metrics-not-listening: {address}: cannot listen there (Address already in use)" in ended.stderr
