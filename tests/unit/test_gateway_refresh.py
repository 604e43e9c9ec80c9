"""An expired application token is exchanged for a new one: when, how often, and what is said when that fails."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import requests_mock
from pydantic import SecretStr
from structlog.testing import capture_logs

from mo_sync import settings
from mo_sync.errors import LedgerOutOfReach
from mo_sync.gateway import ContentToken, Credentials, Gateway, tokenfile
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.settings import Application
from mo_sync.verdicts import Step, Verdict
from tests.clocks import HandClock

BASE = "https://api.syniverse.com"
MINT = f"{BASE}/scg-external-api/api/v1/access_tokens"
MESSAGES = f"{BASE}/scg-external-api/api/v1/messaging/messages"
REFRESH = f"{BASE}/saop-rest-data/v1/apptoken-refresh"
OLD, NEW, KEY, SECRET = "old-s3cret", "new-s3cret", "key-s3cret", "consumer-s3cret+/="
EXPIRED = {"error_code": "SCG_ERROR_4010", "error_description": "Unauthorized"}
INTERVAL_S = 600.0


class MemoryGuard:
    """Duties of one machine, on a clock moved by hand."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.until: dict[str, tuple[str, float]] = {}
        self.on_take: Callable[[str], None] = lambda name: None

    def take(self, name: str, lease_s: float) -> str | None:
        self.on_take(name)
        now = self.clock.monotonic()
        if name in self.until and self.until[name][1] > now:
            return None
        lease = f"{name} {now}"
        self.until[name] = (lease, now + lease_s)
        return lease

    def give_back(self, name: str, lease: str) -> bool:
        if self.until.get(name, ("", 0.0))[0] != lease:
            return False
        del self.until[name]
        return True


class Bench:
    """A gateway's client with a token file, on a wire that takes the tokens in ``good`` and refreshes as told."""

    def __init__(self, folder: Path, wire: requests_mock.Mocker, **changes: Any) -> None:
        self.file = folder / "token"
        self.file.write_text(f"{OLD}\n")
        self.file.chmod(0o640)
        (folder / "key").write_text(f"{KEY}\n")
        (folder / "secret").write_text(f"{SECRET}\n")
        self.wire = wire
        self.good = {NEW}
        self.clock = HandClock()
        self.guard = MemoryGuard(self.clock)
        section = settings.Gateway(
            **{
                "base_url": BASE,
                "token_file": self.file,
                "refresh": True,
                "consumer_key_file": folder / "key",
                "consumer_secret_file": folder / "secret",
                **changes.pop("gateway", {}),
            }
        )
        self.credentials = Credentials(section, changes.pop("applications", {}))
        self.gateway = Gateway(section, self.credentials, self.clock, version="1", guard=self.guard, **changes)
        wire.post(MINT, json=self._minted)
        wire.get(MESSAGES, json=self._listed)
        wire.get(REFRESH, json={"accessToken": NEW})

    def mint(self, application_id: str = "17226") -> ContentToken | Failed | Interrupted:
        found = self.gateway.mint("Mno4Xayql1oVOYAvP7Iy25", application_id)
        assert "s3cret" not in repr(found)
        return found

    def held(self) -> str:
        """Why the next call holds the application."""
        found = self.mint()
        assert isinstance(found, Failed)
        assert found.verdict is Verdict.HOLD
        return found.reason

    def refreshes(self) -> list[dict[str, list[str]]]:
        """What was asked of the refresh call."""
        return [parse_qs(urlsplit(asked.url).query) for asked in self.wire.request_history if _is_refresh(asked)]

    def bearers(self, url: str) -> list[str | None]:
        return [
            asked.headers.get("Authorization", "").removeprefix("Bearer ")
            for asked in self.wire.request_history
            if asked.url.startswith(url)
        ]

    def rests(self) -> list[str]:
        """What lies in the token's folder beside what was put there."""
        return sorted(path.name for path in self.file.parent.iterdir() if path.name not in ("token", "key", "secret"))

    def _taken(self, request: Any) -> bool:
        return request.headers["Authorization"].removeprefix("Bearer ") in self.good

    def _minted(self, request: Any, context: Any) -> dict[str, str]:
        context.status_code = 200 if self._taken(request) else 401
        return {"id": "x"} if self._taken(request) else EXPIRED

    def _listed(self, request: Any, context: Any) -> dict[str, Any]:
        context.status_code = 200 if self._taken(request) else 401
        return {"list": []} if self._taken(request) else EXPIRED


def _is_refresh(asked: Any) -> bool:
    return bool(asked.url.startswith(REFRESH))


@pytest.fixture
def wire() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        yield mocker


@pytest.fixture
def bench(tmp_path: Path, wire: requests_mock.Mocker) -> Bench:
    return Bench(tmp_path, wire)


# the exchange


def test_a_call_with_an_expired_token_succeeds_with_the_refreshed_one(bench: Bench) -> None:
    found = bench.mint()

    assert isinstance(found, ContentToken)
    assert bench.refreshes() == [{"consumerkey": [KEY], "consumersecret": [SECRET], "oldtoken": [OLD]}]
    assert bench.bearers(MINT) == [OLD, NEW]
    assert bench.bearers(REFRESH) == [""]
    assert bench.file.read_text() == f"{NEW}\n"
    assert bench.rests() == []
    assert bench.guard.until.keys() == {f"refreshed {bench.file}"}


def test_the_new_token_is_in_its_file_before_it_is_used(bench: Bench) -> None:
    seen: list[str] = []
    minted = bench._minted

    def looked(request: Any, context: Any) -> dict[str, str]:
        seen.append(bench.file.read_text().strip())
        return minted(request, context)

    bench.wire.post(MINT, json=looked)

    assert isinstance(bench.mint(), ContentToken)
    assert seen == [OLD, NEW]


def test_nothing_is_refreshed_unless_it_is_asked_for(tmp_path: Path, wire: requests_mock.Mocker) -> None:
    bench = Bench(tmp_path, wire, gateway={"refresh": False})

    assert "refresh" not in bench.held()
    assert bench.refreshes() == []
    assert bench.bearers(MINT) == [OLD]


def test_every_step_that_shows_a_token_has_it_refreshed(bench: Bench) -> None:
    content = f"{BASE}/scg-attachment/api/v1/messaging/attachments/c/content"
    bench.wire.get(
        content, [{"status_code": 401, "json": EXPIRED}, {"content": b"GIF89a", "headers": {"Content-Length": "6"}}]
    )

    found = bench.gateway.open_content(ContentToken("c", bench.clock.monotonic()), "17226")

    assert not isinstance(found, Failed | Interrupted)
    assert bench.bearers(content) == [OLD, NEW]
    assert len(bench.refreshes()) == 1


def test_an_expired_content_token_is_no_reason_to_refresh(bench: Bench) -> None:
    content = f"{BASE}/scg-attachment/api/v1/messaging/attachments/c/content"
    bench.wire.get(content, status_code=404, json={"error_code": "SCG_ERROR_4046"})

    found = bench.gateway.open_content(ContentToken("c", bench.clock.monotonic()), "17226")

    assert isinstance(found, Failed)
    assert (found.verdict, found.step) == (Verdict.REMINT, Step.CONTENT)
    assert bench.refreshes() == []


def test_an_expired_token_that_is_told_by_4046_is_refreshed_too(bench: Bench) -> None:
    expired = {"status_code": 404, "json": {"error_code": "SCG_ERROR_4046"}}
    bench.wire.post(MINT, [expired, {"json": {"id": "x"}}])
    bench.wire.get(MESSAGES, [expired])

    assert isinstance(bench.mint(), ContentToken)
    assert len(bench.refreshes()) == 1


def test_a_token_that_is_good_itself_is_not_refreshed_for_anothers_attachment(bench: Bench) -> None:
    """With one token for all, an event of another application must not kill it."""
    bench.good = {NEW, OLD}
    bench.wire.post(MINT, status_code=401, json=EXPIRED)

    assert bench.held().endswith("the token itself is accepted, so it is likely that of another application")
    assert bench.refreshes() == []
    assert bench.file.read_text() == f"{OLD}\n"


@pytest.mark.parametrize("answer", [{"status_code": 503}, {"status_code": 429}, {"exc": requests.ConnectTimeout}])
def test_a_token_is_not_refreshed_while_it_is_unknown_whether_it_expired(bench: Bench, answer: dict[str, Any]) -> None:
    bench.wire.get(MESSAGES, **answer)

    assert "whether it expired could not be found out: api.syniverse.com" in bench.held()
    assert bench.refreshes() == []


def test_an_application_with_a_token_file_uses_its_own_consumer_else_the_gateways(
    tmp_path: Path, wire: requests_mock.Mocker
) -> None:
    (tmp_path / "own").mkdir()
    for name in ("1", "2"):
        (tmp_path / "own" / name).write_text(f"{OLD}-{name}")
    applications = {
        "1": Application(
            token_file=tmp_path / "own/1", consumer_key=SecretStr("k"), consumer_secret=SecretStr("own-s3cret")
        ),
        "2": Application(token_file=tmp_path / "own/2"),
    }
    bench = Bench(tmp_path, wire, applications=applications)

    assert isinstance(bench.mint("1"), ContentToken)
    assert isinstance(bench.mint("2"), ContentToken)
    asked = [(query["consumersecret"], query["oldtoken"]) for query in bench.refreshes()]
    assert asked == [(["own-s3cret"], [f"{OLD}-1"]), ([SECRET], [f"{OLD}-2"])]
    assert (tmp_path / "own/1").read_text() == f"{NEW}\n"
    assert bench.file.read_text() == f"{OLD}\n"


# once


def test_threads_that_are_refused_together_refresh_once(bench: Bench) -> None:
    crowd, refused, all_refused = 16, [], threading.Event()
    minted = bench._minted

    def counted(request: Any, context: Any) -> dict[str, str]:
        if not bench._taken(request):
            refused.append(1)
            if len(refused) == crowd:
                all_refused.set()
        return minted(request, context)

    bench.wire.post(MINT, json=counted)
    bench.guard.on_take = lambda name: all_refused.wait(10) and None
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(bench.mint())) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [type(each) for each in found] == [ContentToken] * crowd
    assert len(refused) == crowd
    assert len(bench.refreshes()) == 1


def test_whoever_waited_for_another_process_uses_what_that_one_wrote(bench: Bench) -> None:
    turn = f"refresh {bench.file}"
    bench.guard.take(turn, 180.0)
    asked: list[str] = []

    def other_finishes(name: str) -> None:
        asked.append(name)
        if len(asked) == 3:
            bench.file.write_text(NEW)

    bench.guard.on_take = other_finishes

    assert isinstance(bench.mint(), ContentToken)
    assert bench.refreshes() == []
    assert asked == [turn] * 3


def test_what_was_written_just_before_the_turn_came_is_seen(bench: Bench) -> None:
    bench.guard.on_take = lambda name: bench.file.write_text(NEW) and None

    assert isinstance(bench.mint(), ContentToken)
    assert bench.refreshes() == []
    assert bench.guard.until == {}


def test_a_process_that_died_in_its_turn_holds_nobody_up_and_is_followed_when_its_lease_ends(bench: Bench) -> None:
    bench.guard.take(f"refresh {bench.file}", 180.0)
    began = bench.clock.monotonic()

    assert bench.held().endswith("another process is refreshing it, or died at it")
    assert bench.clock.monotonic() - began == pytest.approx(30.0, abs=1.0)
    bench.clock.advance(150.0)
    assert isinstance(bench.mint(), ContentToken)
    assert len(bench.refreshes()) == 1


def test_a_stop_ends_the_wait_for_another_process(bench: Bench) -> None:
    bench.guard.take(f"refresh {bench.file}", 180.0)
    bench.guard.on_take = lambda name: bench.gateway.abort()

    assert isinstance(bench.mint(), Interrupted)
    assert bench.refreshes() == []


def test_a_refresh_that_has_begun_is_not_cut_off_by_a_stop(bench: Bench) -> None:
    def stopped(request: Any, context: Any) -> dict[str, str]:
        bench.gateway.abort()
        return {"accessToken": NEW}

    bench.wire.get(REFRESH, json=stopped)

    assert isinstance(bench.mint(), Interrupted)
    assert bench.file.read_text() == f"{NEW}\n"


# not too often


def test_a_refreshed_token_that_is_refused_holds_the_application_and_is_not_refreshed_at_once(bench: Bench) -> None:
    bench.good = set()

    first, second = bench.held(), bench.held()

    assert "refresh" not in first
    assert second.endswith("it was refreshed, or was tried to be, less than 10m ago")
    assert len(bench.refreshes()) == 1
    assert bench.bearers(MINT) == [OLD, NEW, NEW]


def test_it_is_tried_again_when_the_interval_is_over(bench: Bench) -> None:
    bench.good = set()
    bench.held()
    bench.clock.advance(INTERVAL_S - 1.0)
    bench.held()
    bench.clock.advance(1.0)
    bench.wire.get(REFRESH, json={"accessToken": "third-s3cret"})
    bench.good = {"third-s3cret"}

    assert isinstance(bench.mint(), ContentToken)
    assert [query["oldtoken"] for query in bench.refreshes()] == [[OLD], [NEW]]


def test_while_it_rests_the_last_reason_is_still_told(bench: Bench) -> None:
    bench.wire.get(REFRESH, status_code=401, json={"errorCode": 1, "moreInfo": "", "userMsg": "Wrong secret"})
    bench.held()

    assert "less than 10m ago (refreshing it failed: api.syniverse.com answered 401 gateway-1" in bench.held()
    assert len(bench.refreshes()) == 1


# what can go wrong


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            {"status_code": 401, "json": {"errorCode": 1, "moreInfo": "", "userMsg": f"{OLD} or {SECRET} is wrong"}},
            (
                "refreshing it failed: api.syniverse.com answered 401 gateway-1: the token is missing, wrong or not "
                'this application\'s, saying "*** or *** is wrong"'
            ),
        ),
        ({"status_code": 500, "text": f"{KEY} {OLD}"}, 'answered 500: a server error, saying "*** ***"'),
        ({"text": "<html><title>Sign in</title>"}, "refreshing it failed: api.syniverse.com: the answer lacks"),
        ({"json": {"accessToken": ""}}, "the answer lacks what was asked for"),
        ({"json": {"accessToken": "two words"}}, "the answer lacks what was asked for"),
        ({"json": {"accessToken": ["x"]}}, "the answer lacks what was asked for"),
        ({"json": {"accessToken": OLD}}, "the gateway gave the same token again"),
        ({"exc": requests.ReadTimeout(f"{REFRESH}?oldtoken={OLD}")}, "silent for longer than"),
        ({"exc": requests.ConnectionError(f"{REFRESH}?oldtoken={OLD}")}, "no connection could be made"),
        ({"status_code": 302, "headers": {"Location": "https://elsewhere.example/x"}}, "redirects where we do not go"),
    ],
)
def test_a_failed_refresh_holds_the_application_and_says_why_without_secrets(
    bench: Bench, answer: dict[str, Any], told: str
) -> None:
    bench.wire.get(REFRESH, **answer)

    with capture_logs() as logged:
        reason = bench.held()

    assert reason.startswith("api.syniverse.com answered 401 SCG_ERROR_4010: the token is missing")
    assert told in reason
    assert bench.file.read_text() == f"{OLD}\n"
    assert bench.rests() == []
    assert [line["event"] for line in logged] == ["token.not-refreshed"]
    assert not [secret for secret in (OLD, KEY, SECRET, "s3cret") if secret in f"{reason} {logged}"]


def test_when_the_gateway_was_not_even_reached_the_next_try_may_come_soon(bench: Bench) -> None:
    bench.wire.get(REFRESH, exc=requests.ConnectTimeout)
    bench.held()
    bench.wire.get(REFRESH, json={"accessToken": NEW})

    assert isinstance(bench.mint(), ContentToken)


@pytest.mark.parametrize("missing", ["key", "secret"])
def test_a_consumer_file_that_is_gone_is_named(bench: Bench, missing: str) -> None:
    (bench.file.parent / missing).unlink()

    assert f"gateway.consumer_{missing}_file ({bench.file.parent / missing}): the file does not exist" in bench.held()
    assert bench.refreshes() == []


def test_without_the_ledger_nothing_is_refreshed(bench: Bench) -> None:
    def out_of_reach(name: str) -> None:
        raise LedgerOutOfReach("ledger-locked", "the ledger is locked")

    bench.guard.on_take = out_of_reach

    assert bench.held().endswith("it cannot be refreshed while the ledger is out of reach (ledger-locked)")
    assert bench.refreshes() == []


def test_a_file_that_cannot_be_replaced_is_found_out_before_the_old_token_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(tokenfile.os, "pwrite", full)
        reason = bench.held()

    assert reason.endswith("it is not refreshed, since its file cannot be replaced: No space left on device")
    assert bench.refreshes() == []
    assert isinstance(bench.mint(), ContentToken)


def test_a_new_token_that_could_not_be_written_is_kept_in_mind_and_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: tokenfile.Room, token: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(tokenfile.Room, "put", broken)
        first, second = bench.held(), bench.held()

    assert first.endswith("it was refreshed, but the new token cannot be written: Input/output error")
    assert second.endswith("the new token cannot be written: Input/output error")
    assert bench.bearers(MINT) == [OLD, OLD]
    assert isinstance(bench.mint(), ContentToken)
    assert len(bench.refreshes()) == 1
    assert bench.file.read_text() == f"{NEW}\n"


def test_what_an_operator_writes_meanwhile_counts_for_more(bench: Bench) -> None:
    def written(request: Any, context: Any) -> dict[str, str]:
        bench.file.write_text("operators-s3cret")
        return {"accessToken": NEW}

    bench.wire.get(REFRESH, json=written)
    bench.good = {"operators-s3cret"}

    assert isinstance(bench.mint(), ContentToken)
    assert bench.file.read_text() == "operators-s3cret"


def test_no_secret_is_in_a_repr_or_a_log(bench: Bench) -> None:
    with capture_logs() as logged:
        bench.mint()

    refresher = bench.gateway._refresher
    assert [line["event"] for line in logged] == ["token.refreshed"]
    assert "s3cret" not in f"{logged} {refresher!r} {bench.credentials.refreshable('1')!r} {bench.gateway!r}"
