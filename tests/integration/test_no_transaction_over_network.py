"""No transaction is open while mo-sync speaks to the network (P12): a whole pass, watched at every request."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse

from mo_sync.clock import SystemClock
from mo_sync.ledger import in_transaction
from mo_sync.sandbox import Gateway
from mo_sync.sandbox.traffic import make_traffic
from mo_sync.service import Service
from mo_sync.settings.load import load
from tests.site import Site


class Watch:
    """Notes, for every request and every piece of a body, whether its thread had a transaction open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests = 0
        self.pieces = 0
        self.breaches: list[str] = []
        self._lock = threading.Lock()
        send, read = HTTPAdapter.send, HTTPResponse.read

        def watched_send(adapter: HTTPAdapter, request: requests.PreparedRequest, *rest: Any, **more: Any) -> Any:
            self.note(f"before {request.method} {request.path_url}", request=True)
            try:
                return send(adapter, request, *rest, **more)
            finally:
                self.note(f"after {request.method} {request.path_url}")

        def watched_read(response: HTTPResponse, *rest: Any, **more: Any) -> bytes:
            self.note("in a body", piece=True)
            return read(response, *rest, **more)

        monkeypatch.setattr(HTTPAdapter, "send", watched_send)
        monkeypatch.setattr(HTTPResponse, "read", watched_read)

    def note(self, where: str, *, request: bool = False, piece: bool = False) -> None:
        with self._lock:
            self.requests += request
            self.pieces += piece
            if in_transaction():
                self.breaches.append(where)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_a_whole_pass_speaks_to_the_gateway_without_any_transaction(
    tmp_path: Path, gateway: Gateway, watch: Watch
) -> None:
    """With trouble among the answers, so that retries and refusals are watched too."""
    site = Site(tmp_path / "site", gateway.base_url)
    scenario = make_traffic(11, events=40, attachments=60, transient_share=0.2, permanent_share=0.1)
    for attachment in scenario.attachments:
        gateway.add_attachment(attachment)
    for target, fault in scenario.faults:
        gateway.add_fault(target, fault)
    for name, content in scenario.files.items():
        site.drop(name, content)
    settings = load(site.root / "mo-sync.toml", environ={}, cwd=site.root).settings

    with Service.open(settings, clock=SystemClock()) as service:
        summary = service.sync_now(threading.Event())

    assert watch.breaches == []
    assert watch.requests >= 2 * len(scenario.attachments) > 0
    assert watch.pieces >= len(scenario.attachments)
    assert summary.settled["stored"] > 0
    assert not in_transaction()


def test_the_watch_would_see_a_transaction(tmp_path: Path, gateway: Gateway, watch: Watch) -> None:
    """The test above proves something only if this one fails when it should."""
    site = Site(tmp_path / "site", gateway.base_url)
    settings = load(site.root / "mo-sync.toml", environ={}, cwd=site.root).settings

    with Service.open(settings, clock=SystemClock()) as service, service.ledger.begin():
        session = requests.Session()
        session.trust_env = False
        session.get(gateway.base_url, timeout=10)

    assert len(watch.breaches) >= 2
