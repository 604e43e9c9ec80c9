"""Bodies that nobody should send, posted to a real relay: ``make fuzz N=100000``.

Each is made from a real event by a few random changes, or is noise. Whatever it is, the answer is one that the relay
knows, it comes soon, the process lives on and does not grow, and what was acknowledged as an event is one afterwards.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import random
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.relays import USER, Relay, event, running

__all__ = ["Found", "bodies", "play"]

_KNOWN = {202, 400, 413, 415}
_LONGEST_S = 5.0
_MOST_GROWTH_KB = 100_000


@dataclass(slots=True)
class Found:
    """What came of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    grown_kb: int = 0
    wrong: list[str] = field(default_factory=list)


def bodies(count: int, *, seed: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    """So many bodies, with their headers; the same for the same seed."""
    dice = random.Random(seed)
    for number in range(count):
        body = json.dumps(event(f"{seed}-{number}")).encode()
        for _ in range(dice.randint(0, 3)):
            body = dice.choice(_CHANGES)(body, dice)
        headers = {"Content-Type": dice.choice(["application/json", "text/xml", "text/plain", "", "x" * 300])}
        if dice.random() < 0.1:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1) if dice.random() < 0.7 else body
        yield body[:1_200_000], headers


def _flip(body: bytes, dice: random.Random) -> bytes:
    changed = bytearray(body or b"x")
    for _ in range(dice.randint(1, 8)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(body: bytes, dice: random.Random) -> bytes:
    return body[: dice.randrange(len(body) + 1)]


def _noise(_: bytes, dice: random.Random) -> bytes:
    return dice.randbytes(dice.randrange(2_000))


def _deep(body: bytes, dice: random.Random) -> bytes:
    depth = dice.choice([10, 1_000, 100_000])
    opening = dice.choice([b"[", b'{"a":', b"<a>"])
    return opening * depth + (body if dice.random() < 0.5 else b"")


def _number(body: bytes, dice: random.Random) -> bytes:
    return body.replace(b"17226", dice.choice([b"9" * 5_000, b"1e999999", b"-0.0", b"NaN", b"1" + b"0" * 400, b"null"]))


def _odd(body: bytes, dice: random.Random) -> bytes:
    odd = [
        b"\\ud800",
        b"\\u0000",
        b"\xff\xfe",
        "\u202e😀".encode(),
        b"\r\n",
        b"' or 1=1 --",
        b"%s%n",
        b"../../etc/passwd",
    ]
    return body.replace(b"wh4t the person wrote", dice.choice(odd) * dice.randint(1, 50))


def _twice(body: bytes, dice: random.Random) -> bytes:
    return dice.choice([b"\n", b"", b",", b" "]).join([body] * dice.randint(2, 20))


def _wrapped(body: bytes, dice: random.Random) -> bytes:
    text = body.decode("utf-8", "replace")
    wraps = [
        {"scg_message": text}, {"body": text}, {"body": b64encode(body).decode(), "isBase64Encoded": True},
        {"body": [text, text]}, {"event": {"body": text}}, [text, text],
    ]  # fmt: skip
    return json.dumps(dice.choice(wraps)).encode()


def _xml(_: bytes, dice: random.Random) -> bytes:
    return dice.choice(
        [
            b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;">]><a>&d;</a>',
            b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
            b"<event-envelope><event><fld-val-list><message_id>1</message_id></fld-val-list></event></event-envelope>",
            b'<?xml version="1.0" encoding="utf-7"?><a/>',
            b"<a " + b'b="c" ' * 5_000 + b"/>",
        ]
    )


def _large(body: bytes, dice: random.Random) -> bytes:
    return body.replace(b"wh4t", b"x" * dice.choice([10_000, 1_000_000, 1_100_000]))


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _cut, _noise, _deep, _number, _odd, _twice, _wrapped, _xml, _large,
)  # fmt: skip


def play(relay: Relay, count: int, *, seed: int) -> Found:
    """Post ``count`` bodies to a relay that runs, one after the other."""
    found = Found()
    assert relay.process is not None
    status = Path(f"/proc/{relay.process.pid}/status")
    before_kb = 0
    password = "Basic " + b64encode(":".join(USER).encode()).decode()
    line = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=60)
    for number, (body, headers) in enumerate(bodies(count, seed=seed)):
        began = time.monotonic()
        try:
            line.request("POST", "/events", body, {**headers, "Authorization": password})
            answer = line.getresponse()
            told = answer.read()
        except (http.client.HTTPException, OSError) as error:
            line.close()
            if len(body) < 1_000_000:  # one that is too large may be hung up on while it is sent
                found.wrong.append(f"{number}: {type(error).__name__}")
            continue
        found.slowest_s = max(found.slowest_s, time.monotonic() - began)
        found.statuses[answer.status] += 1
        if answer.status not in _KNOWN or not isinstance(json.loads(told), dict):
            found.wrong.append(f"{number}: {answer.status} {told[:100]!r}")
        if number == count // 5:
            before_kb = _resident_kb(status)
    line.close()
    found.grown_kb = _resident_kb(status) - before_kb
    if found.slowest_s > _LONGEST_S:
        found.wrong.append(f"the slowest took {found.slowest_s:.1f} s")
    if found.grown_kb > _MOST_GROWTH_KB:
        found.wrong.append(f"it grew by {found.grown_kb:,} kB")
    return found


def _resident_kb(status: Path) -> int:
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1])


def main() -> int:
    """The command line of ``make fuzz``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    wrong = 0
    for alone in (True, False):
        with tempfile.TemporaryDirectory(prefix="mo-sync-fuzz-") as folder:
            relay = Relay(Path(folder) / "site", alone=alone)
            with running(relay):
                found = play(relay, arguments.bodies // 2, seed=arguments.seed + alone)
            print("alone " if alone else "beside", dict(found.statuses), f"slowest {found.slowest_s:.2f} s,",
                  f"grew by {found.grown_kb:,} kB, wrong {len(found.wrong)}", *found.wrong[:20], sep=" ")  # fmt: skip
            wrong += len(found.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
