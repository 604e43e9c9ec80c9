"""A relay as a process on a site of its own, and events to post to it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.site import Site
from tests.trouble import eventually

__all__ = ["USER", "Relay", "event", "running"]

USER = ("ess", "a-long-enough-password")
DEAD = "http://127.0.0.1:9"


def event(number: int | str, **fields: Any) -> dict[str, Any]:
    """A real one's shape, with ids of its own."""
    listed = {
        "message_id": f"M{number:>021}".replace(" ", "0"),
        "attachment_ids": f"A{number:>021}".replace(" ", "0"),
        "from_address": "+14085550100",
        "to_address": "18322222222",
        "message_body": "wh4t the person wrote",
        "has_attachment": True,
        "application_id": 17226,
        "anti_virus_scan_status": "OK",
        **fields,
    }
    return {
        "topic": "SCG-Message",
        "attempt": 1,
        "event": {"fld-val-list": listed, "evt-tp": "mo_message_received", "timestamp": "2026-11-23T16:16:17.579Z"},
        "event-id": f"E{number:>021}".replace(" ", "0"),
    }


class Relay:
    """A relay process on a site of its own: ``alone`` or beside the daemon."""

    def __init__(self, root: Path, *, alone: bool, relay: dict[str, Any] | None = None, **sections: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.scheme = "https" if relay and relay.get("certificate") else "http"
        self.trust: dict[str, Any] = {}
        self.url = f"{self.scheme}://127.0.0.1:{self.port}/events"
        self.alone = alone
        settings = {
            "relay": {"listen": f"127.0.0.1:{self.port}", "basic_file": "users", "rotate": "200ms", **(relay or {})},
            "drop": {"interval": "100ms", "settle": "0s"},
            "ledger": {"url": "sqlite:///ledger.db", "busy_timeout": "10s"},
            "log": {"format": "json", "level": "info"},
            **sections,
        }
        self.site = Site(root, DEAD, settings=settings)
        (root / "users").write_text(f"{USER[0]}:{USER[1]}\n")
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        log = (self.site.root / "said").open("a")
        with log:
            self.process = self.site.start("relay" if self.alone else "run", stdout=log, stderr=log)
        eventually(self.answers, what=self.said)

    def answers(self) -> bool:
        try:
            return requests.get(self.url.replace("/events", "/readyz"), timeout=5, **self.trust).status_code == 200
        except requests.ConnectionError:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            return False

    def said(self) -> str:
        return (self.site.root / "said").read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def post(self, body: Any, **more: Any) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        return requests.post(
            self.url, data=data, headers=headers, auth=more.pop("auth", USER), timeout=30, **self.trust, **more
        )

    def recorded(self) -> set[str]:
        """The event ids in the ledger after a pass of mo-sync."""
        if self.alone:
            assert self.site.run("--sync-now").returncode in (4, 5, 75)
        return {key for (key,) in self.site.query("select event_key from event where state = 'accepted'")}


@contextmanager
def running(relay: Relay) -> Iterator[Relay]:
    relay.start()
    try:
        yield relay
        assert relay.stop() == 0, relay.said()
    finally:
        relay.kill()
