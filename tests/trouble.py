"""A site in trouble: secrets that may not show anywhere, a log that can be read, and what must hold after any fault."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mo_sync.sandbox import ANY_APPLICATION, Fault, Gateway
from mo_sync.sandbox.records import DEFAULT_APPLICATION
from mo_sync.sandbox.scenario import Part, Scenario, Stage
from tests.site import Site

__all__ = [
    "BODY",
    "QUICK",
    "TOKEN",
    "Bed",
    "events_of",
    "eventually",
    "nothing_is_left",
    "one_line_an_attempt",
    "secretive",
    "shows_no_secret",
]

TOKEN = "app-t0ken-nobody-may-see"
BODY = "wh4t the person wrote"
_CONTENT_TOKEN = "c0ntent"
_NUMBERS = ("+1408555", "18322222222")
LIMIT_S = 30.0

QUICK: Mapping[str, Mapping[str, Any]] = {
    "gateway": {"connect_timeout": "2s", "read_timeout": "1s", "total_timeout": "20s"},
    "retry": {"base": "50ms", "max_delay": "100ms", "snooze": "100ms", "hold": "100ms", "max_attempts": 4,
              "absent_attempts": 3},
    "log": {"format": "json", "level": "info"},
    "ledger": {"url": "sqlite:///ledger.db", "busy_timeout": "300ms"},
}  # fmt: skip
"""Settings under which a fault is over in a second instead of an hour."""


def secretive(**more: Any) -> Gateway:
    """A gateway whose tokens can be told from everything else."""
    return Gateway(tokens={TOKEN: ANY_APPLICATION}, new_id=lambda: _CONTENT_TOKEN + secrets.token_hex(8), **more)


class Bed:
    """A site with what its gateway holds. Attachments go by a name of their own: ``bed.ids["short"]``."""

    def __init__(
        self,
        root: Path,
        gateway: Gateway | None,
        base_url: str = "",
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        settings = settings or {}
        merged = {name: {**QUICK.get(name, {}), **settings.get(name, {})} for name in {*QUICK, *settings}}
        self.gateway = gateway
        self.site = Site(root, base_url or (gateway.base_url if gateway else ""), settings=merged)
        (self.site.root / "token").write_text(TOKEN)
        self.stage = Stage(7)
        self.ids: dict[str, str] = {}
        self.truth: dict[str, bytes] = {}

    def announce(
        self, name: str, *faults: Fault, kind: str = "gif", application: str = DEFAULT_APPLICATION, padding: int = 0
    ) -> str:
        """Drop a message with one attachment, which the gateway holds, and which these faults befall.

        ``padding`` bytes are put at the end of it.
        """
        known = len(self.stage.scenario().attachments)
        event = self.stage.message(Part(kind), body=BODY, application_id=application)
        self.stage.drop("canonical", event)
        scenario = self.stage.scenario()
        [attachment] = scenario.messages[-1].attachments
        self.ids[name] = attachment
        for held in scenario.attachments[known:]:
            self.truth[held.id] = (held.content or b"") + bytes(padding)
            if self.gateway is not None:
                self.gateway.add_attachment(replace(held, content=self.truth[held.id]), *faults)
        self._drop_newest(scenario)
        return attachment

    def _drop_newest(self, scenario: Scenario) -> None:
        name, content = list(scenario.files.items())[-1]
        self.site.drop(name, content)

    def state(self, name: str) -> tuple[str, int]:
        """State and attempts of an attachment; ``unknown`` while it is not recorded."""
        rows = self.site.query("select state, attempts from attachment where id = ?", self.ids[name])
        return (str(rows[0][0]), int(rows[0][1])) if rows else ("unknown", 0)

    def attempts(self, name: str) -> list[tuple[Any, ...]]:
        """(outcome, step, status, code) of each attempt, in order."""
        return self.site.query(
            "select outcome, step, status, code from attempt where attachment_id = ? order by number", self.ids[name]
        )

    def all_well(self) -> None:
        """Everything that was announced is stored, whole, once; nothing is left; no secret shows."""
        states = self.site.states()
        assert states == {"stored": len(self.truth)}, (states, self.reasons())
        self.site.check_store(self.truth)
        nothing_is_left(self.site)

    def reasons(self) -> list[tuple[Any, ...]]:
        """Why what is not stored is not."""
        return self.site.query("select id, state, attempts, error_code, error from attachment where state != 'stored'")


def events_of(text: str) -> list[dict[str, Any]]:
    """The log's lines, of those that are such."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def one_line_an_attempt(site: Site, text: str) -> None:
    """Every attempt that was settled has one line of the log, and no other line is about it."""
    told = Counter(line["attachment"] for line in events_of(text) if line["event"].startswith("attachment."))
    made = dict(site.query("select attachment_id, count(*) from attempt where outcome != 'lost' group by 1"))
    assert told == made


def shows_no_secret(site: Site, *texts: str) -> None:
    """Neither a log nor the columns of the ledger that people read hold a token, a body or a full number (P16)."""
    columns = [
        "select error from attempt", "select error from attachment", "select reason from application",
        "select reason from event", "select * from v_problem",
    ]  # fmt: skip
    rows = [str(row) for sql in columns for row in site.query(sql)]
    for text in [*texts, *rows]:
        for secret in (TOKEN, _CONTENT_TOKEN, BODY):
            assert secret not in text
    for text in texts:
        for number in _NUMBERS:
            assert number not in text


def nothing_is_left(site: Site) -> None:
    """No half file, no file in processing, no lease, no folder of a worker."""
    assert [str(p) for p in (site.media / ".incoming").rglob("*") if p.suffix == ".part"] == []
    assert [str(p) for p in (site.drop_folder / "processing").rglob("*") if p.is_file()] == []
    assert site.query("select id from attachment where lease is not null or state = 'fetching'") == []
    assert site.query("pragma integrity_check") == [("ok",)]


def eventually(true: Callable[[], object], *, limit_s: float = LIMIT_S, what: object = "") -> None:
    """Wait until ``true()`` is; fail after ``limit_s``. A ledger that is locked or just being made is no answer."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            if true():
                return
        except sqlite3.Error:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s: {what() if callable(what) else what}")
