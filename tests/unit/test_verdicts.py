"""What answers and troubles mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_sync.verdicts import (
    MEANINGS,
    OUT_OF_REACH,
    TABLE,
    TROUBLES,
    Step,
    Trouble,
    Verdict,
    elsewhere,
    judge,
    judge_trouble,
    markdown,
    scg_number,
)

MINT, CONTENT = Step.MINT, Step.CONTENT
PAGE = Path(__file__).parents[2] / "docs" / "failures.md"

LISTED = [
    # the API's own list of errors, in the order of docs/scg-api.md
    (CONTENT, 400, "40030", Verdict.SNOOZE),
    *(
        (MINT, 400, code, Verdict.PERMANENT)
        for code in ("4001", "4002", "4003", "4004", "4005", "4006", "4007", "1023")
    ),
    (MINT, 401, "4010", Verdict.HOLD),
    (CONTENT, 401, "401", Verdict.HOLD),
    (MINT, 402, "4020", Verdict.HOLD),
    (MINT, 402, "4021", Verdict.HOLD),
    (MINT, 402, "402", Verdict.HOLD),
    (MINT, 403, "4031", Verdict.ABSENT),
    (CONTENT, 403, "4032", Verdict.SNOOZE),
    (CONTENT, 403, "4037", Verdict.SNOOZE),
    (MINT, 403, "4030", Verdict.PERMANENT),
    (MINT, 403, "403", Verdict.PERMANENT),
    (MINT, 404, "4040", Verdict.ABSENT),
    (MINT, 404, "404", Verdict.ABSENT),
    (CONTENT, 404, "4046", Verdict.REMINT),
    (CONTENT, 409, "4090", Verdict.RETRY),
    (CONTENT, 409, "1001", Verdict.RETRY),
    (MINT, 429, None, Verdict.THROTTLED),
    (CONTENT, 500, "5000", Verdict.RETRY),
    (CONTENT, 500, "5004", Verdict.RETRY),
    (CONTENT, 500, "5001", Verdict.PERMANENT),
    (CONTENT, 502, None, Verdict.RETRY),
    (CONTENT, 503, "5030", Verdict.RETRY),
    (CONTENT, 504, None, Verdict.RETRY),
    # what it does not say, and we have to judge
    (MINT, 404, "4046", Verdict.RETRY),
    (MINT, 401, None, Verdict.HOLD),
    (MINT, 401, "gateway-1", Verdict.HOLD),
    (MINT, 402, None, Verdict.HOLD),
    (CONTENT, 403, None, Verdict.RETRY),
    (CONTENT, 404, None, Verdict.ABSENT),
    (Step.PROBE, 404, None, Verdict.PERMANENT),
    (Step.PROBE, 403, "4031", Verdict.PERMANENT),
    (Step.PROBE, 404, "4010", Verdict.HOLD),
    (CONTENT, 410, None, Verdict.ABSENT),
    (CONTENT, 407, None, Verdict.HOLD),
    (CONTENT, 408, None, Verdict.RETRY),
    (CONTENT, 425, None, Verdict.RETRY),
    (CONTENT, 400, None, Verdict.RETRY),
    (CONTENT, 418, None, Verdict.RETRY),
    (CONTENT, 400, "4999", Verdict.PERMANENT),
    (CONTENT, 403, "4999", Verdict.PERMANENT),
    (CONTENT, 500, None, Verdict.RETRY),
    (CONTENT, 500, "5999", Verdict.RETRY),
    (CONTENT, 599, None, Verdict.RETRY),
    (CONTENT, 200, None, Verdict.RETRY),
    (CONTENT, 206, None, Verdict.RETRY),
    (CONTENT, 304, None, Verdict.RETRY),
    (CONTENT, 999, None, Verdict.RETRY),
    # a known code with another status is still that code
    (CONTENT, 200, "4046", Verdict.REMINT),
    (CONTENT, 403, "4046", Verdict.REMINT),
    (CONTENT, 404, "4031", Verdict.ABSENT),
    (CONTENT, 403, "4010", Verdict.HOLD),
    (CONTENT, 503, "5001", Verdict.PERMANENT),
]


@pytest.mark.parametrize(("step", "status", "code", "verdict"), LISTED)
def test_each_answer_has_its_verdict(step: Step, status: int, code: str | None, verdict: Verdict) -> None:
    assert judge(step, status, code).verdict is verdict


@pytest.mark.parametrize("code", ["SCG_ERROR_4031", "scg_error_4031", "4031", " 4031 ", "04031", 4031])
def test_a_code_is_known_in_every_spelling(code: str | int) -> None:
    assert scg_number(code) == "4031"
    assert judge(MINT, 403, code).verdict is Verdict.ABSENT


@pytest.mark.parametrize("code", [None, "", "gateway-1", "1", "12", "123456", "SCG_ERROR_", "SCG_ERROR_4031x", "٤٠٣١"])
def test_what_is_no_scg_code_counts_as_none(code: str | None) -> None:
    assert scg_number(code) == ""


@pytest.mark.parametrize(("status", "code"), [(503, None), (503, "5030"), (500, "5030"), (429, None)])
def test_unavailable_with_a_time_to_come_back_throttles_the_application(status: int, code: str | None) -> None:
    assert judge(CONTENT, status, code, asked_to_wait=True).verdict is Verdict.THROTTLED


def test_a_time_to_come_back_does_not_soften_what_is_final() -> None:
    assert judge(CONTENT, 500, "5001", asked_to_wait=True).verdict is Verdict.PERMANENT
    assert judge(CONTENT, 401, "4010", asked_to_wait=True).verdict is Verdict.HOLD


def test_missing_credit_rests_longer_than_refused_credentials() -> None:
    assert judge(MINT, 402, "4020").rest_s == 3600.0
    assert judge(MINT, 401, "4010").rest_s is None


@pytest.mark.parametrize("step", Step)
def test_every_status_and_code_is_judged(step: Step) -> None:
    codes = [None, *(str(number) for number in range(4000, 5100, 7))]

    assert all(judge(step, status, code).reason for status in range(100, 1000) for code in codes[:1])
    assert all(judge(step, status, code).reason for status in (200, 400, 500) for code in codes)


def test_every_row_of_the_table_can_rule() -> None:
    statuses = (200, 302, 400, 401, 402, 403, 404, 407, 408, 409, 418, 429, 500, 502, 503)
    codes = ["", "403", "1001", "1023", "40030", *(str(number) for number in range(4000, 5101))]

    rulings = {
        next(row for row in TABLE if row.matches(step, status, code, asked=asked))
        for step in Step
        for status in statuses
        for code in codes
        for asked in (False, True)
    }

    assert rulings == set(TABLE)


def test_every_trouble_has_a_verdict_and_a_reason() -> None:
    assert set(TROUBLES) == set(Trouble)
    assert all(judge_trouble(trouble).reason for trouble in Trouble)


@pytest.mark.parametrize("trouble", sorted(OUT_OF_REACH - {Trouble.TLS_FAILED}))
def test_an_outage_uses_up_no_attempt(trouble: Trouble) -> None:
    assert judge_trouble(trouble).verdict in (Verdict.HOLD, Verdict.THROTTLED)


@pytest.mark.parametrize("trouble", [Trouble.TOKEN_MISSING, Trouble.TOKEN_UNREADABLE, Trouble.TOKEN_INVALID])
def test_a_missing_token_holds_the_application(trouble: Trouble) -> None:
    assert judge_trouble(trouble).verdict is Verdict.HOLD
    assert judge_trouble(trouble).advice


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.HOLD, Verdict.RETRY),
        (Verdict.THROTTLED, Verdict.RETRY),
        *((same, same) for same in Verdict if same not in (Verdict.HOLD, Verdict.THROTTLED)),
    ],
)
def test_another_host_never_stops_the_application(verdict: Verdict, expected: Verdict) -> None:
    ruling = next(row.ruling for row in TABLE if row.ruling.verdict is verdict)

    assert elsewhere(ruling).verdict is expected


def test_every_verdict_that_is_up_to_a_person_says_what_to_do() -> None:
    rulings = [row.ruling for row in TABLE] + list(TROUBLES.values())

    assert all(ruling.advice for ruling in rulings if ruling.verdict in (Verdict.HOLD, Verdict.PERMANENT))
    assert set(MEANINGS) == set(Verdict)


def test_the_page_is_made_from_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown()
