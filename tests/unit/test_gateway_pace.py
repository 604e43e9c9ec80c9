"""The pace of an application: what answers make of it, and how workers are shared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.gateway.pace import Answer, Pace, Paces, Spacing, after, answer_of, pressed, share_of
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome, Refused, Stored
from mo_sync.verdicts import Step, Trouble, Verdict

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FILE = Stored("key", 1, "00", "image/png")
UNAVAILABLE = Failed(Step.MINT, 503, None, Verdict.RETRY, "unavailable")


def claim(name: str = "A", *, application: str = "17226", in_vain: int = 0) -> Claim:
    late = NOON + timedelta(hours=72)
    return Claim(name, "M", application, 0, "lease", NOON, 0, late, NOON, application_failures=in_vain)


def failed(
    status: int | None, verdict: Verdict = Verdict.RETRY, *, code: str | None = None, step: Step = Step.MINT
) -> Failed:
    return Failed(step, status, code, verdict, "it broke")


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (FILE, Answer.GOOD),
        (Refused("type-denied", "no"), Answer.GOOD),
        (failed(404, Verdict.ABSENT), Answer.GOOD),
        (failed(200), Answer.GOOD),
        (failed(403, Verdict.PERMANENT), Answer.GOOD),
        (failed(500, Verdict.PERMANENT), Answer.GOOD),
        (failed(500), Answer.BAD),
        (failed(None, code=Trouble.RESET), Answer.BAD),
        (failed(None, Verdict.THROTTLED, code=Trouble.CONNECT_FAILED), Answer.BAD),
        (failed(429, Verdict.THROTTLED), Answer.SLOW),
        (failed(502), Answer.SLOW),
        (failed(503), Answer.SLOW),
        (failed(503, Verdict.THROTTLED), Answer.SLOW),
        (failed(504), Answer.SLOW),
        (failed(None, code=Trouble.READ_TIMEOUT), Answer.SLOW),
        (failed(None, code=Trouble.TOTAL_TIMEOUT), Answer.SLOW),
        (failed(None, code=Trouble.CONNECT_TIMEOUT), Answer.SLOW),
        (failed(401, Verdict.HOLD), Answer.REFUSED),
        (failed(None, Verdict.HOLD, code=Trouble.TOKEN_MISSING), Answer.REFUSED),
        (failed(None, code=Trouble.NO_RESOURCES), Answer.NOTHING),
        (failed(None, code="unexpected-error"), Answer.NOTHING),
        (failed(None, code="eisdir", step=Step.STORE), Answer.NOTHING),
        (Interrupted(), Answer.NOTHING),
    ],
)
def test_an_outcome_is_an_answer_of_its_gateway(outcome: Outcome, answer: Answer) -> None:
    assert answer_of(outcome) is answer


def run(pace: Pace, *answers: Answer, began: float = 1.0, now: float = 1.0) -> Pace:
    for answer in answers:
        pace = after(pace, answer, "A", began=began, now=now)
    return pace


def test_an_answer_that_asks_to_slow_down_halves_it_and_never_below_one() -> None:
    pace = Pace(64, 64.0)
    limits = []
    for second in range(8):
        pace = run(pace, Answer.SLOW, began=second, now=second + 0.5)
        limits.append(pace.limit)

    assert limits == [32, 16, 8, 4, 2, 1, 1, 1]


def test_all_that_were_in_the_air_together_halve_it_once() -> None:
    pace = run(Pace(64, 64.0), *[Answer.SLOW] * 60, began=1.0, now=2.0)

    assert pace.limit == 32


def test_a_round_of_good_answers_adds_one() -> None:
    pace = run(Pace(64, 8.0), *[Answer.GOOD] * 8)

    assert 8.9 < pace.limit <= 9.0


def test_other_failures_and_nothing_leave_it_as_it_is() -> None:
    assert run(Pace(64, 8.0), Answer.BAD, Answer.NOTHING).limit == 8


answers = st.sampled_from(Answer)
moments = st.floats(0, 1e6)


@given(st.integers(1, 1024), st.lists(st.tuples(answers, moments, moments, st.sampled_from("abcdefgh")), max_size=100))
def test_whatever_comes_it_stays_between_one_and_the_most_and_quiet_is_short(
    most: int, told: list[tuple[Answer, float, float, str]]
) -> None:
    pace, now = Pace(most, float(most)), 0.0
    for answer, later_s, took_s, name in told:
        now += later_s
        pace = after(pace, answer, name, began=now - took_s, now=now)
        assert 1.0 <= pace.limit <= most
        assert pace.quiet_until <= now + 5.0
        assert len(pace.failing) <= 4


def test_at_one_at_a_time_it_pauses_for_longer_after_each_refusal_and_not_after_a_good_answer() -> None:
    pace, pauses = Pace(1, 1.0), []
    for second in range(0, 80, 10):
        pace = run(pace, Answer.SLOW, began=second, now=second + 1)
        pauses.append(pace.quiet_until - second - 1)

    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
    assert run(run(pace, Answer.GOOD), Answer.SLOW, began=100, now=101).quiet_until == 101.5


def test_failures_of_several_attachments_and_of_nothing_else_are_the_gateways() -> None:
    pace = Pace(8, 8.0)
    for name in "abc":
        pace = after(pace, Answer.BAD, name, began=1, now=1)
    assert not pressed(pace)
    assert not pressed(after(pace, Answer.BAD, "a", began=1, now=1))
    assert pressed(after(pace, Answer.BAD, "d", began=1, now=1))
    assert not pressed(after(after(pace, Answer.GOOD, "e", began=1, now=1), Answer.BAD, "d", began=1, now=1))


class TestPaces:
    def judged(self, paces: Paces, lent: Claim, outcome: Outcome, *, now: float = 1.0) -> Outcome:
        return paces.judge(lent, outcome, began=now - 0.5, now=now, rest_s=10.0)

    def test_passing_failures_are_the_attachments_own_until_nothing_else_comes(self) -> None:
        paces = Paces(8, {})

        told = [self.judged(paces, claim(name), UNAVAILABLE) for name in "abcde"]

        assert [outcome.verdict for outcome in told if isinstance(outcome, Failed)] == [
            *[Verdict.RETRY] * 3,
            *[Verdict.THROTTLED] * 2,
        ]
        assert [outcome.retry_after_s for outcome in told if isinstance(outcome, Failed)] == [None] * 3 + [10.0] * 2

    def test_a_probe_in_vain_is_the_applications_trouble(self) -> None:
        outcome = self.judged(Paces(8, {}), claim(in_vain=1), UNAVAILABLE)

        assert isinstance(outcome, Failed)
        assert (outcome.verdict, outcome.reason) == (Verdict.THROTTLED, "unavailable")

    def test_what_the_gateway_asked_for_is_not_made_shorter(self) -> None:
        asked = Failed(Step.MINT, 503, None, Verdict.RETRY, "unavailable", retry_after_s=90.0)
        outcome = self.judged(Paces(8, {}), claim(in_vain=1), asked)

        assert isinstance(outcome, Failed)
        assert outcome.retry_after_s == 90.0

    @pytest.mark.parametrize(
        "outcome", [FILE, failed(404, Verdict.ABSENT), failed(401, Verdict.HOLD), Interrupted(), failed(200)]
    )
    def test_what_is_no_trouble_of_the_gateway_stays_what_it_is(self, outcome: Outcome) -> None:
        assert self.judged(Paces(8, {}), claim(in_vain=3), outcome) is outcome

    def test_one_application_is_slowed_and_no_other(self) -> None:
        paces = Paces(64, {"small": 4})
        self.judged(paces, claim(application="1"), failed(429, Verdict.THROTTLED))

        assert [paces.limit(name, 2.0) for name in ("1", "2", "small")] == [32, 64, 4]
        assert paces.slowed() == {"1": 32}

    def test_what_came_back_to_full_speed_is_told_as_unbounded(self) -> None:
        paces = Paces(2, {})
        self.judged(paces, claim(), failed(429, Verdict.THROTTLED))
        for _ in range(4):
            self.judged(paces, claim(), FILE)

        assert paces.slowed() == {"17226": None}

    def test_after_a_refusal_no_more_is_begun_until_it_is_written_down(self) -> None:
        paces = Paces(8, {})
        self.judged(paces, claim(), failed(401, Verdict.HOLD), now=10.0)

        assert (paces.limit("17226", 10.1), paces.limit("17226", 11.0)) == (0, 8)

    def test_what_rests_by_the_ledger_does_not_pause_besides(self) -> None:
        paces = Paces(1, {})
        for second in range(1, 9):
            self.judged(paces, claim(str(second)), failed(429, Verdict.THROTTLED), now=second)

        assert paces.quiet_s(8.0) == 0.0

    def test_while_quiet_nothing_is_begun_and_it_is_known_for_how_long(self) -> None:
        paces = Paces(1, {})
        self.judged(paces, claim(), failed(429, Verdict.THROTTLED), now=10.0)

        assert (paces.limit("17226", 10.25), paces.quiet_s(10.25)) == (0, 0.25)
        assert (paces.limit("17226", 10.5), paces.quiet_s(10.5)) == (1, 0.0)


@given(st.integers(1, 1024), st.integers(1, 20))
def test_however_many_applications_hang_one_more_finds_a_worker(workers: int, count: int) -> None:
    idle, hanging = workers, 0
    for _ in range(count):
        share = share_of(idle, 0, alone=False)
        assert 0 <= share <= idle
        if idle >= 1:
            assert share >= 1
        while (more := share_of(idle - share, share, alone=False)) > 0:
            share += more
        idle, hanging = idle - share, hanging + share
        if workers >= 4 ** (count + 1):
            assert idle >= 1
    assert idle + hanging == workers


def test_alone_it_may_have_all() -> None:
    assert share_of(7, 57, alone=True) == 7


def test_requests_are_spaced_by_application_and_only_where_asked_for() -> None:
    rates = {"slow": 4.0}
    spacing = Spacing(rates.get)

    assert [spacing.wait_s("slow", 10.0) for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert [spacing.wait_s("free", 10.0) for _ in range(4)] == [0.0] * 4
    assert spacing.wait_s("slow", 10.5) == 0.5
    assert spacing.wait_s("slow", 60.0) == 0.0
