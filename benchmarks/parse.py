"""Events a second out of NDJSON: cut, understood and identified, against ``json.loads`` of the same lines.

Both read the same 100,000 events from memory, one a line, in turns; the peer does nothing but decode them.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from mo_sync.events import Envelope, RawEvent, parse
from mo_sync.shapes import pieces

EVENTS = 100_000
ROUNDS = 5
LARGEST = 1 << 20
RECEIVED_AT = datetime(2026, 11, 20, tzinfo=UTC)


def main() -> None:
    """Print a row for each way, and the ratio."""
    text = b"".join(json.dumps(_event(number)).encode() + b"\n" for number in range(EVENTS))
    ways: dict[str, Callable[[bytes], int]] = {"pieces": _pieces, "pieces and parse": _parsed, "json.loads": _loads}
    took_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            assert way(text) == EVENTS
            took_s[name].append(time.perf_counter() - began)
    middle = {name: statistics.median(values) for name, values in took_s.items()}
    for name, seconds in middle.items():
        print(f"{name:17} {EVENTS / seconds:9,.0f} events/s  {seconds * 1e6 / EVENTS:6.2f} us an event")
    print(f"pieces and parse / json.loads: {middle['pieces and parse'] / middle['json.loads']:.1f} times the time")


def _event(number: int) -> dict[str, object]:
    fields = {
        "attachment_ids": f" A{number:021d}",
        "sender_id_alias": "ljX2KJbs8zowzC8rFexzn6",
        "mo_price": 0.015,
        "company-id": 1500,
        "sender_id_id": "ljX2KJbs8zowzC8rFexzn6",
        "message_body": "",
        "message_id": f"M{number:021d}",
        "to_address": "18322222222",
        "has_attachment": True,
        "fragments_count": 1,
        "from_address": "+14086080000",
        "anti_virus_scan_status": "OK",
        "application_id": 17226,
    }
    event = {"fld-val-list": fields, "evt-tp": "mo_message_received", "timestamp": "2019-07-16T16:16:17.579Z"}
    return {"topic": "SCG-Message", "attempt": 1, "event": event, "event-id": f"E{number:021d}"}


def _pieces(text: bytes) -> int:
    return sum(piece.error is None for piece in pieces(io.BytesIO(text), max_event=LARGEST))


def _parsed(text: bytes) -> int:
    found = (
        parse(RawEvent(piece.position, piece.raw, RECEIVED_AT)) for piece in pieces(io.BytesIO(text), max_event=LARGEST)
    )
    return sum(isinstance(event, Envelope) and event.message is not None for event in found)


def _loads(text: bytes) -> int:
    return sum(bool(json.loads(line)) for line in io.BytesIO(text))


if __name__ == "__main__":
    main()
