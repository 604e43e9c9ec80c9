"""A fetch over the wire: the embedded gateway misbehaves, the bytes are real, the disk fills up."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mo_sync import settings
from mo_sync.backoff import Policy
from mo_sync.clock import SystemClock
from mo_sync.fetch import Fetched, Fetcher
from mo_sync.gateway import Credentials
from mo_sync.gateway import Gateway as Client
from mo_sync.lifecycle import Claim, Failed, Interrupted, Refused
from mo_sync.sandbox import Attachment, Gateway, named
from mo_sync.sandbox.media import make
from mo_sync.settings import Limits
from mo_sync.store import LocalStore, Placed, Placement
from mo_sync.verdicts import Verdict
from tests.mounts import needs_mounts, tmpfs

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
JPEG = make("jpeg", "a picture")
CLAIM = Claim(
    attachment_id="Mno4Xayql1oVOYAvP7Iy25",
    message_id="WGqCwdXm2szqkIGq2Xmy06",
    application_id="17226",
    position=0,
    lease="lease-1",
    lease_until=NOW + timedelta(minutes=2),
    attempts=0,
    deadline_at=NOW + timedelta(hours=72),
    filed_at=NOW,
    av_status="OK",
)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    asked = settings.Gateway(base_url=gateway.base_url, token="sandbox-token", read_timeout=5)
    with closing(Client(asked, Credentials(asked, {}), SystemClock())) as client:
        yield client


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def store(root: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(root, "worker")) as store:
        yield store


def fetcher(client: Client, store: LocalStore, **limits: int) -> Fetcher:
    return Fetcher(client, store, Limits(**limits), Policy(), SystemClock())


def never() -> bool:
    return False


def parts(root: Path) -> list[Path]:
    return list(root.rglob("*.part"))


@pytest.mark.parametrize("wire", [None, "chunked", "until-close", "wrong-type"])
def test_the_bytes_arrive_whole_however_they_are_sent(
    gateway: Gateway, client: Client, store: LocalStore, wire: str | None
) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG, "image/jpeg"), *([named(wire)] if wire else []))
    product = fetcher(client, store).fetch(CLAIM, stop=never)

    assert isinstance(product, Fetched), product
    assert store.place([Placement(product.staged, product.key)]) == [Placed()]
    assert product.key == "2026/11/20/WGqCwdXm2szqkIGq2Xmy06/0-Mno4Xayql1oVOYAvP7Iy25.jpg"
    assert (product.size, product.sha256) == (len(JPEG), hashlib.sha256(JPEG).hexdigest())
    with store.open(product.key) as file:
        assert file.read() == JPEG


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("short", "truncated"),
        ("chunked-cut", "truncated"),
        ("reset-body", "reset"),
        ("empty", "empty-body"),
        ("gzip-lie", "decode-failed"),
        ("html-200", "not-media"),
        ("html-200-as-media", "not-media"),
        ("json-200", "SCG_ERROR_5000"),
        ("unavailable", "SCG_ERROR_5030"),
        ("not-in-cache", "SCG_ERROR_4031"),
    ],
)
def test_a_fault_is_a_failure_with_its_reason_and_leaves_no_file_and_then_it_is_fetched(
    gateway: Gateway, client: Client, store: LocalStore, root: Path, fault: str, code: str
) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG, "image/jpeg"), named(fault))
    first = fetcher(client, store).fetch(CLAIM, stop=never)
    left = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    second = fetcher(client, store).fetch(CLAIM, stop=never)

    assert isinstance(first, Failed), first
    assert first.code == code
    assert first.verdict is not Verdict.PERMANENT
    assert left == []
    assert isinstance(second, Fetched)
    assert second.sha256 == hashlib.sha256(JPEG).hexdigest()


@pytest.mark.parametrize("fault", ["too-long", "too-long-chunked"])
def test_a_body_over_the_limit_is_refused_before_it_fills_the_disk(
    gateway: Gateway, client: Client, store: LocalStore, root: Path, fault: str
) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG, "image/jpeg"), named(fault))
    product = fetcher(client, store, max_bytes=1_000_000).fetch(CLAIM, stop=never)

    assert isinstance(product, Refused), product
    assert product.code == "too-large"
    assert product.received_bytes < 3_000_000
    assert parts(root) == []


def test_an_expired_content_token_costs_no_attempt(gateway: Gateway, client: Client, store: LocalStore) -> None:
    gateway.add_attachment(
        Attachment(CLAIM.attachment_id, JPEG, "image/jpeg"), named("token-expired"), named("token-expired")
    )
    product = fetcher(client, store).fetch(CLAIM, stop=never)

    assert isinstance(product, Fetched), product


def test_what_the_scanner_did_not_let_through_rests_in_quarantine(
    gateway: Gateway, client: Client, store: LocalStore
) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG, "image/jpeg"))
    product = fetcher(client, store).fetch(replace(CLAIM, av_status="INFECTED"), stop=never)

    assert isinstance(product, Fetched), product
    assert product.key.startswith("quarantine/2026/11/20/")
    assert product.stored().quarantined


def test_a_stop_breaks_off_a_body_that_stalls(gateway: Gateway, client: Client, store: LocalStore, root: Path) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG * 100, "image/jpeg"), named("stall-body"))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(fetcher(client, store).fetch, CLAIM, stop=stop.is_set)
        gateway.requests.wait_for(1, step="mint")
        stop.set()
        product = future.result(timeout=10)

    assert isinstance(product, Interrupted), product
    assert parts(root) == []


@pytest.mark.root
def test_a_full_disk_gives_the_claim_back_and_leaves_nothing(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    needs_mounts()
    large = Attachment(CLAIM.attachment_id, JPEG * (4_000_000 // len(JPEG)), "image/jpeg")
    gateway.add_attachment(large, named("chunked"))
    with tmpfs(tmp_path / "small", "size=1m") as small, closing(LocalStore(small, "worker")) as store:
        product = fetcher(client, store).fetch(CLAIM, stop=never)
        left = parts(small)
        free = store.free_bytes()

    assert product == Interrupted("the store: No space left on device (enospc)", delay_s=60.0, everybody=True)
    assert left == []
    assert free > 900_000


@pytest.mark.root
def test_what_announces_to_be_more_than_there_is_room_for_is_not_begun(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    needs_mounts()
    large = make("jpeg", "large") + bytes(4_000_000)
    gateway.add_attachment(Attachment(CLAIM.attachment_id, large, "image/jpeg"))
    with tmpfs(tmp_path / "small", "size=6m") as small, closing(LocalStore(small, "worker")) as store:
        product = fetcher(client, store, min_free=3_000_000).fetch(CLAIM, stop=never)
        free = store.free_bytes()
        fits = fetcher(client, store, min_free=1_000_000).fetch(CLAIM, stop=never)
        assert isinstance(fits, Fetched), fits
        fits.staged.discard()

    assert product == Interrupted(
        f"{len(large):,} bytes are announced; the store has {free:,} free, and limits.min_free asks for 3,000,000",
        delay_s=60.0,
        everybody=False,  # smaller ones have room
    )


def test_many_are_fetched_at_once_and_placed_together(gateway: Gateway, client: Client, store: LocalStore) -> None:
    contents = {f"attachment{n:012}": make("jpeg", str(n)) for n in range(40)}
    claims = [replace(CLAIM, attachment_id=name, position=n, lease=f"lease-{n}") for n, name in enumerate(contents)]
    for name, content in contents.items():
        gateway.add_attachment(Attachment(name, content, "image/jpeg"))
    with ThreadPoolExecutor(8) as pool:
        products = list(pool.map(lambda claim: fetcher(client, store).fetch(claim, stop=never), claims))
    fetched = [product for product in products if isinstance(product, Fetched)]
    hardened = store.harden([product.staged for product in fetched])
    answers = store.place([Placement(product.staged, product.key) for product in fetched])

    assert hardened == [None] * 40
    assert answers == [Placed()] * 40
    for product, content in zip(fetched, contents.values(), strict=True):
        with store.open(product.key) as file:
            assert file.read() == content


PAGE = b"<!DOCTYPE html><html><head><title>My holidays</title></head><body>Look!</body></html>"


@pytest.mark.parametrize(
    ("content", "kind", "extension"),
    [
        (PAGE, "text/html", "html"),
        (b'{"name": "my notes", "lines": [1, 2]}', "application/json", "json"),
        (b"<html> is how a page begins, she wrote", "text/plain", "html"),
    ],
)
def test_a_page_that_a_customer_sent_is_stored_when_its_metadata_call_it_one(
    client: Client, gateway: Gateway, store: LocalStore, content: bytes, kind: str, extension: str
) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, content, kind))

    fetched = fetcher(client, store).fetch(CLAIM, stop=never)

    assert isinstance(fetched, Fetched), fetched
    assert (fetched.size, fetched.declared_type) == (len(content), kind)
    assert fetched.key.endswith(f".{extension}")
    assert gateway.requests.count(step="metadata") == 1


@pytest.mark.parametrize("kind", ["image/jpeg", "text/html"])
def test_a_page_in_the_place_of_a_file_is_never_stored(
    client: Client, gateway: Gateway, store: LocalStore, root: Path, kind: str
) -> None:
    """Of another type, or of another size than its metadata say."""
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG, kind), replace(named("html-200"), times=None))

    failed = fetcher(client, store).fetch(CLAIM, stop=never)

    assert isinstance(failed, Failed)
    assert failed.code == "not-media"
    assert [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_metadata_are_asked_for_only_when_there_is_doubt(client: Client, gateway: Gateway, store: LocalStore) -> None:
    gateway.add_attachment(Attachment(CLAIM.attachment_id, JPEG, "image/jpeg"))

    assert isinstance(fetcher(client, store).fetch(CLAIM, stop=never), Fetched)
    assert gateway.requests.count(step="metadata") == 0
