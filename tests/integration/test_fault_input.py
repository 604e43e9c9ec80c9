"""Broken input, dropped beside good files before the real process: the good is stored, the bad is kept and explained.

What the drop feed does with each kind of file in detail is in test_drop.py, what the parser does in tests/properties.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Gateway
from tests.trouble import LIMIT_S, Bed, eventually, nothing_is_left, secretive, shows_no_secret


def event(number: str, **fields: object) -> bytes:
    """A canonical event without an attachment; ``fields`` go over those of the message."""
    message = {"message_id": f"message-{number}", "application_id": 17226, "from_address": "+14085550199", **fields}
    inner = {"fld-val-list": message, "evt-tp": "mo_message_received", "timestamp": "2026-11-20T12:00:00.000Z"}
    return json.dumps({"topic": "SCG-Message", "attempt": 1, "event": inner, "event-id": f"event-{number}"}).encode()


REJECTED = {
    "empty.json": b"",
    "cut.json": event("cut")[:-20],
    "no-json.json": b"\x00\x01\x02 dear diary",
    "html.json": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "number.json": b"42",
    "null.json": b"null",
    "deep.json": b"[" * 10_000 + b"]" * 10_000,
    "deep.xml": b"<a>" * 10_000 + b"</a>" * 10_000,
    "bomb.xml": b'<!DOCTYPE a [<!ENTITY b "boom">]><a>&b;</a>',
    "cut.json.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab",
    "utf-16-cut.json": b"\xff\xfe{",
    "no-id.json": json.dumps({"topic": "SCG-Message", "event": {"evt-tp": "mo_message_received"}}).encode(),
}
"""Nothing of these is understood: the file goes to rejected/, with its reason beside it."""

UNDERSTOOD = {
    "types.json": event("types", application_id="17226", has_attachment="yes", mo_price=[], fragments_count={}),
    "nul.json": event("nul", message_body="before\x00after", sender_id_alias="\x00"),
    "surrogates.json": event("surrogates", message_body="X").replace(b'"X"', b'"\\ud800 alone"'),
    "large.json": event("large", message_body="x" * 10_000_000),
    "latin.json": event("latin", message_body="Gr\u00fc\u00dfe"),
}
"""Odd, but events: recorded, whatever is in their fields."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


def dropped(tmp_path: Path, gateway: Gateway) -> Bed:
    bed = Bed(tmp_path / "site", gateway)
    bed.announce("first")
    for name, content in {**REJECTED, **UNDERSTOOD}.items():
        bed.site.drop(name, content)
    bed.announce("last")
    return bed


def check(bed: Bed, said: str) -> None:
    assert bed.site.states() == {"stored": 2}
    bed.site.check_store(bed.truth)
    nothing_is_left(bed.site)
    rejected = {path.name for path in (bed.site.drop_folder / "rejected").iterdir()}
    for name, content in REJECTED.items():
        assert {name, f"{name}.error.txt"} <= rejected, sorted(rejected)
        assert (bed.site.drop_folder / "rejected" / name).read_bytes() == content
    messages = {row[0] for row in bed.site.query("select id from message")}
    assert {f"message-{name.partition('.')[0]}" for name in UNDERSTOOD} <= messages
    unexplained = bed.site.query("select event_key from event where state = 'rejected' and coalesce(reason, '') = ''")
    assert unexplained == []
    told = [line for line in said.splitlines() if '"drop.rejected"' in line]
    assert len(told) == len(REJECTED)
    shows_no_secret(bed.site, said)
    assert "+14085550199" not in said
    assert "Traceback" not in said


def test_broken_files_cost_no_good_one_and_a_pass_says_that_a_person_should_look(
    tmp_path: Path, gateway: Gateway
) -> None:
    """P3."""
    bed = dropped(tmp_path, gateway)

    done = bed.site.run("--sync-now")

    assert done.returncode == 5, done.stderr
    check(bed, done.stderr)


def test_a_daemon_lives_through_them_and_a_half_written_file_is_recorded_when_it_is_whole(
    tmp_path: Path, gateway: Gateway
) -> None:
    bed = dropped(tmp_path, gateway)
    half = event("half")
    with (bed.site.root / "said").open("w") as log, bed.site.start("run", stdout=log, stderr=log) as process:
        try:
            eventually(lambda: bed.site.states() == {"stored": 2}, what=bed.reasons)
            slow = bed.site.drop_folder / ".slow.json.part"
            slow.write_bytes(half[:100])
            slow.rename(bed.site.drop_folder / "slow.json.tmp")  # a name by which writers say: not yet
            with (bed.site.drop_folder / "slow.json.tmp").open("ab") as file:
                file.write(half[100:])
            (bed.site.drop_folder / "slow.json.tmp").rename(bed.site.drop_folder / "slow.json")
            eventually(lambda: bed.site.query("select 1 from message where id = 'message-half'"))
            eventually(lambda: len(list(bed.site.drop_folder.glob("rejected/*"))) >= 2 * len(REJECTED))
            eventually(lambda: not [p for p in bed.site.drop_folder.iterdir() if p.is_file()])
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()

    check(bed, (bed.site.root / "said").read_text())
