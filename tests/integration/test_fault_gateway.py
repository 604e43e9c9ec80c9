"""Every fault of the gateway, on the real process: one attachment a fault, all at once, by one-shots and by the daemon.

The expectations are written from ``docs/scg-api.md``, not read from the program's own table.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from mo_sync.sandbox import Fault, named
from tests.trouble import LIMIT_S, Bed, eventually, nothing_is_left, one_line_an_attempt, secretive, shows_no_secret


class Case(NamedTuple):
    """A fault, the first attempt's verdict, step, status and code, and how it all ends: state, attempts used up."""

    fault: Fault
    verdict: str
    step: str
    status: int | None
    code: str
    state: str = "stored"
    attempts: int = 2


def answered(name: str, verdict: str, status: int, code: str = "", *, attempts: int = 2, **changes: object) -> Case:
    """A fault that is an answer with a status, befalling once; how it is worded does not matter."""
    fault = named(name, status=status, code=code, **changes)
    return Case(fault, verdict, fault.step, status, code, attempts=attempts)


def final(name: str, status: int, code: str, *, state: str = "failed", attempts: int = 1, **changes: object) -> Case:
    """An answer that stays, and that ends the matter."""
    fault = named(name, status=status, code=code, times=None, **changes)
    verdict = "permanent" if state == "failed" else "absent"
    return Case(fault, verdict, fault.step, status, code, state, attempts)


def cut(name: str, code: str, *, status: int | None = 200, step: str = "content", **changes: object) -> Case:
    """A body or a connection that goes wrong, once."""
    return Case(named(name, step=step, **changes), "retry", step, status, code)


MINT, CONTENT = {"step": "mint"}, {"step": "content"}
IMPATIENT = {"gateway": {"read_timeout": "200ms"}, "retry": {"max_attempts": 3}}
CASES = {
    # silent
    "stall in the headers": cut("stall-head", "read-timeout", status=None),
    "stall in the headers of the mint": cut("stall-head", "read-timeout", status=None, **MINT),
    "stall in the body": cut("stall-body", "read-timeout"),
    "drips, but in time": Case(named("dribble", seconds=1.5), "stored", "", None, "", attempts=1),
    # cut; a kept connection that ends when it is used again is made anew at once, so these come twice
    "reset before the answer": cut("reset", "reset", status=None, times=2),
    "hang-up before the answer": cut("hang-up", "reset", status=None, times=2),
    "reset in the body": cut("reset-body", "reset"),
    "truncated": cut("short", "truncated"),
    "truncated at the mint": cut("short", "truncated", **MINT),
    "chunks cut": cut("chunked-cut", "truncated"),
    # wrong
    "a page with 200": cut("html-200", "not-media"),
    "a page with 200 as media": cut("html-200-as-media", "not-media"),
    "a page with 200 at the mint": cut("html-200", "reply-not-understood", **MINT),
    "an error with 200": Case(named("json-200"), "retry", "content", 200, "5000"),
    "an empty body": cut("empty", "empty-body"),
    "an empty token": cut("no-id", "reply-not-understood", step="mint"),
    "broken JSON": cut("broken-json", "reply-not-understood", step="mint"),
    "no gzip": cut("gzip-lie", "decode-failed"),
    "a redirect to nowhere": cut("redirect", "dns-failed", status=None),
    "a redirect of the mint": cut("redirect", "redirect-refused", status=302, **MINT),
    "a redirect in a circle": cut("redirect-loop", "too-many-redirects", status=307, times=6),
    "no HTTP": cut("garbage", "protocol-error", status=None),
    "an unknown type": Case(named("wrong-type"), "stored", "", None, "", attempts=1),
    # refused: the error table of docs/scg-api.md, row by row
    "400 40030": answered("not-ready", "snooze", 400, "40030", attempts=1),
    **{f"400 {code}": final("bad-request", 400, code) for code in ("4001", "4002", "4004", "4007", "1023")},
    "401 4010": answered("wrong-token", "hold", 401, "4010", attempts=1),
    "401 401": answered("wrong-token", "hold", 401, "401", attempts=1, wording="number"),
    "401 of the layer before": Case(named("layer-error"), "hold", "mint", 401, "gateway-1", attempts=1),
    "401 at the content": answered("wrong-token", "hold", 401, "4010", attempts=1, **CONTENT),
    "402 4020": answered("no-credit", "hold", 402, "4020", attempts=1),
    "402 4021": answered("quota", "hold", 402, "4021", attempts=1),
    "402 402": answered("quota", "hold", 402, "402", attempts=1, wording="number"),
    "403 4031": answered("not-in-cache", "absent", 403, "4031"),
    "403 4031 in digits": answered("bare-number", "absent", 403, "4031"),
    "403 4031 for good": final("not-in-cache", 403, "4031", state="missing", attempts=3),
    "403 4032": answered("wrong-state", "snooze", 403, "4032", attempts=1),
    "403 4037": answered("wrong-state", "snooze", 403, "4037", attempts=1),
    "403 4030": final("forbidden", 403, "4030"),
    "403 403": final("forbidden", 403, "403", wording="number"),
    "404 4040": answered("not-found", "absent", 404, "4040"),
    "404 404": answered("not-found", "absent", 404, "404", wording="number"),
    "404 4040 for good": final("not-found", 404, "4040", state="missing", attempts=3),
    "404 4046": Case(named("token-expired"), "stored", "", None, "", attempts=1),
    "404 4046 again and again": answered("token-expired", "remint", 404, "4046", times=3),
    "409 4090": answered("stale", "retry", 409, "4090"),
    "409 1001": answered("stale", "retry", 409, "1001"),
    "429": answered("throttled-silently", "throttled", 429, attempts=1),
    "429 with a time": answered("throttled", "throttled", 429, attempts=1),
    "500 5000": answered("server-error", "retry", 500, "5000"),
    "500 5004": answered("storage-error", "retry", 500, "5004"),
    "500 5001": final("not-retriable", 500, "5001"),
    "502": answered("bad-gateway", "retry", 502),
    "503 5030": answered("unavailable", "retry", 503, "5030"),
    "503 as text": answered("plain-text", "retry", 503),
    "503 as a page": answered("html-error", "retry", 503),
    "504": answered("gateway-timeout", "retry", 504),
}


def expected(case: Case) -> tuple[object, ...]:
    return (case.verdict, case.step or None, case.status, case.code, case.state, case.attempts)


def found(bed: Bed, name: str) -> tuple[object, ...]:
    """In the same order; of a code in any of SCG's spellings the number."""
    (verdict, step, status, code), *_ = bed.attempts(name) or [("nothing", None, None, None)]
    number = re.fullmatch(r"(?:SCG_ERROR_)?(\d+)", code or "")
    return (verdict, step, status, number[1] if number else code or "", *bed.state(name))


def one_shots(bed: Bed) -> tuple[int, str]:
    """Passes until nothing is left to be retried: the exit code, and everything that was said."""
    said = ""
    for _ in range(60):
        done = bed.site.run("--sync-now")
        said += done.stdout + done.stderr
        if done.returncode != 4:
            return done.returncode, said
    raise AssertionError(f"still unsettled: {bed.reasons()}")


def daemon(bed: Bed) -> tuple[int, str]:
    """``mo-sync run`` until nothing is left to be retried, then SIGTERM."""
    with (bed.site.root / "said").open("w") as log, bed.site.start("run", stdout=log, stderr=log) as process:
        try:
            open_ = "select count(*) from attachment where state in ('pending', 'fetching')"
            known = "select count(*) from attachment"
            eventually(
                lambda: bed.site.query(known) == [(len(CASES),)] and bed.site.query(open_) == [(0,)],
                limit_s=60.0,
                what=bed.reasons,
            )
            process.send_signal(signal.SIGTERM)
            code = process.wait(LIMIT_S)
        finally:
            process.kill()
    return code, (bed.site.root / "said").read_text()


@pytest.mark.parametrize(("play", "code"), [(one_shots, 5), (daemon, 0)], ids=["one-shots", "daemon"])
def test_every_fault_of_the_gateway_ends_as_the_documents_say(tmp_path: Path, play: object, code: int) -> None:
    with secretive() as gateway:
        bed = Bed(tmp_path / "site", gateway, settings={"sync": {"workers": 32}})
        for number, (name, case) in enumerate(CASES.items()):
            bed.announce(name, case.fault, application=str(20_000 + number))
        ended, said = play(bed)  # type: ignore[operator]

    assert ended == code, said[-2000:]
    ends = {name: (found(bed, name), expected(case)) for name, case in CASES.items()}
    wrong = [f"{name}: {pair[0]}, expected {pair[1]}" for name, pair in ends.items() if pair[0] != pair[1]]
    assert not wrong, "\n".join(wrong)
    one_line_an_attempt(bed.site, said)
    shows_no_secret(bed.site, said)
    bed.site.check_store(bed.truth)
    nothing_is_left(bed.site)
    unexplained = "select id from attachment where state != 'stored' and (error is null or error = '')"
    assert bed.site.query(unexplained) == []
    problems = {row[0] for row in bed.site.query("select id from v_problem")}
    assert problems == {bed.ids[name] for name, case in CASES.items() if case.state != "stored"}


@pytest.mark.parametrize(
    ("fault", "code"),
    [("server-error", "5000"), ("short", "truncated"), ("stall-body", "read-timeout")],
)
def test_a_fault_that_never_ends_is_given_up_with_its_reason_and_a_retry_by_a_person_brings_the_file(
    tmp_path: Path, fault: str, code: str
) -> None:
    with secretive() as gateway:
        bed = Bed(tmp_path / "site", gateway, settings=IMPATIENT)
        bed.announce("it", named(fault, times=None))
        ended, said = one_shots(bed)

        assert ended == 5
        assert bed.state("it") == ("failed", 3)
        assert [re.sub("SCG_ERROR_", "", row[3]) for row in bed.attempts("it")] == [code] * 3
        [(reason,)] = bed.site.query("select error from attachment")
        assert "gave up after 3 attempts" in reason
        assert bed.site.files() == {}
        shows_no_secret(bed.site, said)
        gateway.faults.clear()
        assert bed.site.run("ledger", "retry", bed.ids["it"]).returncode == 0
        assert one_shots(bed)[0] == 0
    bed.all_well()
