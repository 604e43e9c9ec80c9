"""A fetch ends with a whole file under a temporary name, or with a reason and nothing on the disk."""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from mo_sync.backoff import Policy
from mo_sync.fetch import Fetched, Fetcher, disk_trouble
from mo_sync.gateway import ContentToken, Metadata, Pumped
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome, Refused, Stored, next_state
from mo_sync.settings import Limits
from mo_sync.store import LocalStore, Placed, Placement
from mo_sync.verdicts import Step, Verdict
from tests.clocks import HandClock
from tests.stores import put_in_place

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01" + bytes(range(256)) * 40
GIF = b"GIF89a" + b"\x01\x00\x01\x00" + bytes(100)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
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
EXPIRED = Failed(Step.CONTENT, 404, "SCG_ERROR_4046", Verdict.REMINT, "the content token expired")
BROKEN = Failed(Step.CONTENT, 200, "truncated", Verdict.RETRY, "the body ended too early", received_bytes=3)


class Body:
    """An answer with these pieces in it; then ``end`` instead of a whole body."""

    def __init__(
        self,
        *pieces: bytes,
        kind: str | None = None,
        disposition: str | None = None,
        end: Any = None,
        delimited: bool = True,
        announced: int | None = None,
    ) -> None:
        self._pieces = pieces
        self._end = end
        self.content_type = kind
        self.disposition = disposition
        self.delimited = delimited
        self.content_length = announced
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def pump(self, write: Callable[[bytes], object], *, max_bytes: int, rule: str, stop: Callable[[], bool]) -> Any:
        for piece in self._pieces:
            if stop():
                return Interrupted("stopped while the gateway was asked")
            write(piece)
        if isinstance(self._end, Exception):
            raise self._end
        return self._end or Pumped(sum(map(len, self._pieces)))


class Gateway:
    """Answers as scripted, and remembers what it was asked."""

    def __init__(self, *contents: Any, mint: Any = None) -> None:
        self._contents = deque(contents)
        self._mint = mint
        self.known: Any = Metadata(CLAIM.attachment_id)
        self.minted: list[tuple[str, str]] = []
        self.opened: list[tuple[str, str, str | None]] = []

    def mint(self, attachment_id: str, application_id: str) -> Any:
        self.minted.append((attachment_id, application_id))
        return self._mint or ContentToken(f"token-{len(self.minted)}", 0.0)

    def open_content(self, token: ContentToken, application_id: str, *, declared_type: str | None = None) -> Any:
        self.opened.append((token.value, application_id, declared_type))
        return self._contents.popleft()

    def metadata(self, attachment_id: str, application_id: str) -> Any:
        return self.known


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def store(root: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(root, "worker")) as store:
        yield store


def never() -> bool:
    return False


def fetch(
    store: LocalStore,
    gateway: Gateway,
    claim: Claim = CLAIM,
    *,
    stop: Callable[[], bool] = never,
    **limits: Any,
) -> Fetched | Outcome:
    return Fetcher(gateway, store, Limits(**limits), Policy(), HandClock()).fetch(claim, stop=stop)


def fetched(store: LocalStore, *pieces: bytes, claim: Claim = CLAIM, limits: Any = None, **body: Any) -> Fetched:
    product = fetch(store, Gateway(Body(*pieces, **body)), claim, **(limits or {}))
    assert isinstance(product, Fetched), product
    return product


def files(root: Path) -> list[str]:
    """Everything below the store but the worker's lock."""
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


# what is fetched


def test_a_whole_body_is_staged_hashed_and_not_yet_visible(store: LocalStore, root: Path) -> None:
    gateway = Gateway(Body(JPEG[:1000], JPEG[1000:], kind="image/jpeg", disposition='attachment; filename="me.jpg"'))
    product = fetch(store, gateway)

    assert isinstance(product, Fetched)
    assert product.stored() == Stored(
        key="2026/11/20/WGqCwdXm2szqkIGq2Xmy06/0-Mno4Xayql1oVOYAvP7Iy25.jpg",
        size=len(JPEG),
        sha256=hashlib.sha256(JPEG).hexdigest(),
        content_type="image/jpeg",
        header_type="image/jpeg",
        filename="me.jpg",
    )
    assert files(root) == [".incoming/worker/lease-1.part"]
    assert gateway.minted == [("Mno4Xayql1oVOYAvP7Iy25", "17226")]
    assert gateway.opened == [("token-1", "17226", None)]


def test_what_is_fetched_can_be_placed_and_is_adopted_when_fetched_again(store: LocalStore) -> None:
    """So ends a crash between the rename and the ledger's commit."""
    answers = []
    for lease in ("first", "second"):
        product = fetched(store, JPEG, claim=replace(CLAIM, lease=lease))
        answers.append(put_in_place(store, Placement(product.staged, product.key)))

    assert answers == [Placed(adopted=False), Placed(adopted=True)]


@pytest.mark.parametrize(
    ("body", "header", "declared", "found", "suffix"),
    [
        (GIF, "image/jpeg", "image/png", "image/gif", ".gif"),
        (GIF, None, None, "image/gif", ".gif"),
        (b"\0unknown", "Image/PNG; q=1", "image/jpeg", "image/png", ".png"),
        (b"\0unknown", "application/octet-stream", "image/jpeg", "image/jpeg", ".jpg"),
        (b"\0unknown", None, "image/jpeg", "image/jpeg", ".jpg"),
        (b"\0unknown", None, None, "application/octet-stream", ".bin"),
    ],
)
def test_the_bytes_tell_the_type_else_the_header_else_the_declaration(
    store: LocalStore, body: bytes, header: str | None, declared: str | None, found: str, suffix: str
) -> None:
    product = fetched(store, body, kind=header, claim=replace(CLAIM, declared_type=declared))

    assert (product.content_type, product.header_type) == (found, header)
    assert product.key.endswith(suffix)


@pytest.mark.parametrize("known", [Metadata("x", size=len(JPEG)), Metadata("x"), BROKEN])
def test_a_body_that_only_the_connection_ended_is_taken_when_nothing_speaks_against_it(
    store: LocalStore, known: Any
) -> None:
    gateway = Gateway(Body(JPEG, delimited=False))
    gateway.known = known

    assert isinstance(fetch(store, gateway), Fetched)


def test_a_body_that_only_the_connection_ended_is_cut_when_its_metadata_says_so(store: LocalStore, root: Path) -> None:
    gateway = Gateway(Body(JPEG[:-1], delimited=False))
    gateway.known = Metadata("x", size=len(JPEG))
    product = fetch(store, gateway)

    assert isinstance(product, Failed)
    assert (product.code, product.verdict) == ("truncated", Verdict.RETRY)
    assert f"{len(JPEG) - 1:,} bytes came, its metadata says {len(JPEG):,}" in product.reason
    assert files(root) == []


def test_a_stop_amid_the_proof_gives_the_claim_back(store: LocalStore, root: Path) -> None:
    gateway = Gateway(Body(JPEG, delimited=False))
    gateway.known = Interrupted()

    assert fetch(store, gateway) == Interrupted()
    assert files(root) == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="me.jpg"', "me.jpg"),
        ('attachment; filename="b\u00c3\u00a4r.jpg"', "bär.jpg"),  # UTF-8 that was read as Latin-1
        ('attachment; filename="b\u00e4r.jpg"', "bär.jpg"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        (None, None),
    ],
)
def test_the_senders_file_name_is_kept_as_a_remark(store: LocalStore, header: str | None, name: str | None) -> None:
    product = fetched(store, JPEG, disposition=header)

    assert product.filename == name
    assert product.key.endswith("/0-Mno4Xayql1oVOYAvP7Iy25.jpg")


# the scan status


@pytest.mark.parametrize("status", ["OK", "ok", " Ok ", "NONE", None, "", " "])
def test_what_the_policy_lets_through_or_says_nothing_about_is_fetched(store: LocalStore, status: str | None) -> None:
    product = fetched(store, JPEG, claim=replace(CLAIM, av_status=status))

    assert product.quarantine is None
    assert not product.key.startswith("quarantine/")


def test_an_unknown_scan_status_is_quarantined_with_its_reason(store: LocalStore) -> None:
    product = fetched(store, JPEG, claim=replace(CLAIM, av_status="INFECTED"))
    stored = product.stored()

    assert product.key == "quarantine/2026/11/20/WGqCwdXm2szqkIGq2Xmy06/0-Mno4Xayql1oVOYAvP7Iy25.jpg"
    assert stored.quarantined
    assert stored.reason == "its scan status is 'INFECTED', which limits.scan_status does not let through"


def test_a_refused_scan_status_asks_the_gateway_nothing(store: LocalStore) -> None:
    gateway = Gateway()
    product = fetch(store, gateway, replace(CLAIM, av_status="infected"), scan_status={"Infected": "refuse"})

    assert product == Refused("scan-status", "its scan status is 'infected', which limits.scan_status refuses")
    assert gateway.minted == []


def test_a_policy_may_quarantine_what_was_not_scanned(store: LocalStore) -> None:
    product = fetched(
        store, JPEG, claim=replace(CLAIM, av_status="NONE"), limits={"scan_status": {"none": "quarantine"}}
    )

    assert product.quarantine is not None


# types that are allowed


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"deny_types": ("image/gif",)}, ("type-denied", "image/gif, which limits.deny_types refuses (image/gif)")),
        ({"deny_types": ("video/*", "IMAGE/*")}, ("type-denied", "(image/*)")),
        ({"allow_types": ("image/jpeg", "video/*")}, ("type-not-allowed", "none of limits.allow_types")),
        ({"allow_types": ("image/*",), "deny_types": ("image/gif",)}, ("type-denied", "(image/gif)")),
    ],
)
def test_a_type_that_the_policy_does_not_want_is_refused_with_the_rule(
    store: LocalStore, root: Path, limits: Any, outcome: tuple[str, str]
) -> None:
    product = fetch(store, Gateway(Body(GIF, kind="image/jpeg")), **limits)

    assert isinstance(product, Refused)
    assert product.code == outcome[0]
    assert outcome[1] in product.reason
    assert product.received_bytes == len(GIF)
    assert files(root) == []


@pytest.mark.parametrize(
    "limits", [{"allow_types": ("image/*",)}, {"allow_types": ("Image/GIF",)}, {"allow_types": ("*",)}]
)
def test_a_type_that_the_policy_wants_is_fetched(store: LocalStore, limits: Any) -> None:
    assert fetched(store, GIF, limits=limits).content_type == "image/gif"


# sizes, and what is looked at before the rest is taken


def pieces(head: bytes, count: int) -> list[bytes]:
    return [head + bytes(4096), *([bytes(4096)] * count)]


@pytest.mark.parametrize(
    ("limits", "code", "reason"),
    [
        (
            {"deny_types": ("video/*",)},
            "type-denied",
            "its type is video/mp4, which limits.deny_types refuses (video/*)",
        ),
        (
            {"allow_types": ("image/*",)},
            "type-not-allowed",
            "its type is video/mp4, which is none of limits.allow_types",
        ),
        (
            {"max_bytes_of": {"video/*": 4_500, "video/mp4": 4_200}},
            "too-large",
            'more than 4,200 bytes came, limits.max_bytes_of "video/mp4" is 4,200',
        ),
        ({"max_bytes": 5_000}, "too-large", "more than 5,000 bytes came, limits.max_bytes is 5,000"),
    ],
)
def test_what_is_not_wanted_is_refused_when_its_first_bytes_are_there_and_no_more_is_taken(
    store: LocalStore, root: Path, limits: Any, code: str, reason: str
) -> None:
    taken: list[int] = []

    class Counted(Body):
        def pump(self, write: Any, **more: Any) -> Any:
            return super().pump(lambda piece: (write(piece), taken.append(len(piece))), **more)

    product = fetch(store, Gateway(Counted(*pieces(b"\0\0\0\x18ftypmp42", 500), kind="image/png")), **limits)

    assert isinstance(product, Refused)
    assert (product.code, product.reason) == (code, reason)
    assert product.received_bytes <= 3 * 4_200
    assert sum(taken) <= 2 * 4_200
    assert files(root) == []


def test_a_size_that_is_announced_is_held_against_the_rule_for_its_type(store: LocalStore) -> None:
    limits = {"max_bytes": 10_000, "max_bytes_of": {"video/*": 60_000, "image/*": 5_000}}
    product = fetch(store, Gateway(Body(*pieces(GIF, 20), announced=50_000)), **limits)

    assert product == Refused(
        "too-large", '50,000 bytes are announced, limits.max_bytes_of "image/*" is 5,000', len(GIF) + 4096
    )


def test_a_size_that_is_too_much_for_any_type_is_refused_before_a_byte_is_taken(store: LocalStore) -> None:
    product = fetch(
        store, Gateway(Body(JPEG, announced=99_999)), max_bytes=10, max_bytes_of={"video/*": 60_000, "image/*": 5_000}
    )

    assert product == Refused("too-large", '99,999 bytes are announced, limits.max_bytes_of "video/*" is 60,000')


def test_a_type_may_have_more_than_others(store: LocalStore) -> None:
    product = fetched(store, JPEG, limits={"max_bytes": 10, "max_bytes_of": {"image/jpeg": len(JPEG)}})

    assert product.size == len(JPEG)


def test_a_body_of_unknown_size_stops_at_the_floor_of_free_space(store: LocalStore, root: Path) -> None:
    floor = store.free_bytes() * 2
    product = fetch(store, Gateway(Body(*pieces(JPEG, 5_000))), min_free=floor)

    assert isinstance(product, Interrupted)
    assert product.everybody
    assert f"limits.min_free asks for {floor:,}" in product.reason
    assert files(root) == []


def test_where_no_file_can_be_made_the_gateway_is_not_asked(store: LocalStore, root: Path) -> None:
    """A read-only disk costs no content tokens."""
    fetched(store, JPEG)
    gateway = Gateway(Body(JPEG))
    product = fetch(store, gateway)  # the same lease again: its name is taken

    assert isinstance(product, Failed)
    assert (product.step, product.code) == (Step.STORE, "eexist")
    assert gateway.minted == []


# the gateway's troubles


def test_an_expired_content_token_is_replaced_at_once(store: LocalStore) -> None:
    gateway = Gateway(EXPIRED, EXPIRED, Body(JPEG))
    product = fetch(store, gateway)

    assert isinstance(product, Fetched)
    assert [token for token, _, _ in gateway.opened] == ["token-1", "token-2", "token-3"]


def test_a_content_token_that_always_expires_ends_the_attempt(store: LocalStore) -> None:
    gateway = Gateway(EXPIRED, EXPIRED, EXPIRED, Body(JPEG))

    assert fetch(store, gateway) == EXPIRED
    assert len(gateway.minted) == 1 + Policy().remint_limit


def test_a_token_that_expires_amid_the_body_leaves_nothing_of_the_first_try(store: LocalStore) -> None:
    product = fetch(store, Gateway(Body(b"half", end=EXPIRED), Body(JPEG)))

    assert isinstance(product, Fetched)
    assert product.sha256 == hashlib.sha256(JPEG).hexdigest()


REFUSED = Refused("too-large", "too large", 9)


@pytest.mark.parametrize(
    ("where", "trouble"),
    [("body", BROKEN), ("body", REFUSED), *((at, what) for at in ("open", "mint") for what in (BROKEN, Interrupted()))],
)
def test_whatever_keeps_the_bytes_from_coming_is_handed_on_and_leaves_nothing(
    store: LocalStore, root: Path, trouble: Any, where: str
) -> None:
    body = Body(b"some bytes", end=trouble)
    gateway = Gateway(body if where == "body" else trouble, mint=trouble if where == "mint" else None)

    assert fetch(store, gateway) == trouble
    assert files(root) == []
    assert body.closed == (where == "body")


@pytest.mark.parametrize(
    ("page", "header", "declared"),
    [
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "text/html", "image/jpeg"),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "image/jpeg", None),
        (b'{"error_code": "SCG_ERROR_5000", "error_description": "oops"}', "application/json", "image/jpeg"),
    ],
)
def test_an_error_page_in_the_place_of_media_is_a_failure_and_no_file(
    store: LocalStore, root: Path, page: bytes, header: str, declared: str | None
) -> None:
    product = fetch(store, Gateway(Body(page, kind=header)), replace(CLAIM, declared_type=declared))

    assert isinstance(product, Failed)
    assert (product.step, product.code, product.verdict) == (Step.CONTENT, "not-media", Verdict.RETRY)
    assert product.received_bytes == len(page)
    assert files(root) == []


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_stop_is_heard_before_each_step(store: LocalStore, root: Path, calls: int) -> None:
    heard = iter([False] * calls + [True] * 9)
    gateway = Gateway(Body(JPEG))
    product = fetch(store, gateway, stop=lambda: next(heard))

    assert isinstance(product, Interrupted)
    assert (len(gateway.minted), len(gateway.opened)) == [(0, 0), (1, 0), (1, 1)][calls]
    assert files(root) == []


def test_an_unexpected_error_is_not_swallowed_and_leaves_nothing(store: LocalStore, root: Path) -> None:
    body = Body(b"some", end=ZeroDivisionError("a bug"))

    with pytest.raises(ZeroDivisionError):
        fetch(store, Gateway(body))
    assert files(root) == []
    assert body.closed


# the disk's troubles


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES])
def test_a_disk_in_trouble_uses_up_no_attempt(number: int) -> None:
    outcome = disk_trouble(OSError(number, "what the system says", "/a/path/that/is/nobodys/business"))
    after = next_state(CLAIM, outcome, now=NOW, policy=Policy(), roll=0.5)

    assert isinstance(outcome, Interrupted)
    assert outcome.reason == f"the store: what the system says ({errno.errorcode[number].lower()})"
    assert (after.state, after.attempts, after.due_at) == ("pending", 0, NOW + timedelta(seconds=60))


@pytest.mark.parametrize("number", [errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP])
def test_something_in_the_way_of_one_name_is_that_attachments_failure(number: int) -> None:
    outcome = disk_trouble(OSError(number, "in the way"))

    assert outcome == Failed(
        Step.STORE, None, errno.errorcode[number].lower(), Verdict.RETRY, f"the store: in the way ({outcome.code})"
    )


def test_an_error_without_a_number_is_told_too() -> None:
    assert disk_trouble(OSError("odd")).reason == "the store: OSError (unknown)"


def test_a_store_that_is_gone_gives_the_claim_back(store: LocalStore, root: Path) -> None:
    root.rename(root.with_name("moved"))
    (root.with_name("moved") / ".incoming" / "worker" / "lease-1.part").touch()
    product = fetch(store, Gateway(Body(JPEG)))

    assert isinstance(product, Failed | Interrupted)


def test_a_disk_that_fills_up_amid_the_body_gives_the_claim_back_and_leaves_nothing(
    store: LocalStore, root: Path
) -> None:
    product = fetch(store, Gateway(Body(b"some", end=OSError(errno.ENOSPC, "No space left on device"))))

    assert product == Interrupted("the store: No space left on device (enospc)", delay_s=60.0, everybody=True)
    assert files(root) == []


# a reload


def test_adopted_limits_hold_for_the_next_fetch(store: LocalStore) -> None:
    fetcher = Fetcher(Gateway(Body(GIF), Body(GIF)), store, Limits(), Policy(), HandClock())
    before = fetcher.fetch(CLAIM, stop=never)
    fetcher.adopt(Limits(deny_types=("image/*",)), Policy())
    after = fetcher.fetch(replace(CLAIM, lease="lease-2"), stop=never)

    assert isinstance(before, Fetched)
    assert isinstance(after, Refused)
