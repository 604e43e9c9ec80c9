"""The inbox feed against the embedded gateway: what nobody announced is found, once, whatever the list is like."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mo_sync import settings
from mo_sync.feeds.inbox import byhand
from mo_sync.feeds.inbox.byhand import by_hand
from mo_sync.feeds.inbox.scopes import scopes_of
from mo_sync.feeds.inbox.spans import Span
from mo_sync.intake import Receipt
from mo_sync.ledger.erasure import erase_attachment
from mo_sync.ledger.gaps import Kind
from mo_sync.ledger.interventions import By
from mo_sync.sandbox import EVERYTHING, Attachment, Gateway, ListRules, Message, named
from tests.clocks import SetClock
from tests.inboxes import Inboxes, ago, announce, inboxes, received
from tests.ledgers import rows

HOSTILE = ListRules(page_limit=37, totals=False, shuffled=True, uneven=True, repeats=0.1)


@pytest.fixture
def sandbox() -> Iterator[Gateway]:
    with Gateway() as one:
        yield one


@pytest.fixture
def here(tmp_path: Path, sandbox: Gateway) -> Iterator[Inboxes]:
    with inboxes(tmp_path, sandbox) as one:
        yield one


def ids(messages: list[Message]) -> list[str]:
    return sorted(one.id for one in messages)


def owners(messages: list[Message]) -> dict[str, str]:
    return {attachment: one.id for one in messages for attachment in one.attachments}


def scattered(count: int, *, seed: int = 1, days: float = 80.0) -> list[Message]:
    fall = random.Random(seed)
    return [received(n, ago(24 * days * fall.random() ** 3)) for n in range(count)]


def fill(sandbox: Gateway, messages: list[Message]) -> None:
    for one in messages:
        sandbox.add_message(one)


def test_of_ten_thousand_messages_those_that_nobody_announced_are_found_each_once(
    here: Inboxes, sandbox: Gateway
) -> None:
    messages = scattered(10_000)
    fill(sandbox, messages)
    fall = random.Random(2)
    lost = {one.id for one in fall.sample(messages, 1_000)}
    announce(here.ledger, *(one for one in messages if one.id not in lost))

    looked = here.pass_()

    assert looked.receipt.new == looked.recovered == 1_000
    assert here.messages() == ids(messages)
    assert here.attachments() == owners(messages)
    assert [row["n"] for row in rows(here.ledger, "select count(*) n from event group by state")] == [10_000]
    assert here.pass_().receipt.new == 0


def test_a_list_that_reorders_repeats_and_shortens_its_pages_hides_nothing(tmp_path: Path) -> None:
    """What chance keeps from one look, the next ones find."""
    messages = scattered(250, days=2.0)
    with Gateway(rules=HOSTILE) as sandbox, inboxes(tmp_path, sandbox, overlap="3d", backfill="0s") as here:
        fill(sandbox, messages)
        for _ in range(3):
            here.pass_()

        assert here.messages() == ids(messages)
        assert here.attachments() == owners(messages)
        assert [row["n"] for row in rows(here.ledger, "select max(deliveries) n from event")] == [1]


@pytest.mark.parametrize(
    "rules",
    [
        ListRules(totals=False),
        ListRules(newest_first=True),
        ListRules(page_limit=7),
        ListRules(ignored_filters=frozenset({"created_date"})),
        ListRules(ignored_filters=frozenset({"created_date", "direction"}), newest_first=True, totals=False),
        ListRules(ignored_filters=frozenset({"created_date"}), shuffled=True, uneven=True),
    ],
    ids=["no totals", "newest first", "small pages", "no times", "no filters, newest first", "no times, shuffled"],
)
def test_servers_differ_and_the_same_is_found(tmp_path: Path, rules: ListRules) -> None:
    wanted = scattered(200)
    others = [replace(received(n, ago(n)), direction="MT", state="SENT") for n in range(1_000, 1_040)]
    gone = [replace(received(n, ago(n - 2_000)), state="DELETED") for n in range(2_000, 2_010)]
    ancient = [received(n, ago(24 * 120)) for n in range(3_000, 3_010)]
    with Gateway(rules=rules) as sandbox, inboxes(tmp_path, sandbox) as here:
        fill(sandbox, [*wanted, *others, *gone, *ancient])

        here.pass_()
        assert here.messages() == ids(wanted)
        before = len(sandbox.requests.entries(step="messages"))
        here.pass_()

        assert len(sandbox.requests.entries(step="messages")) - before < 60
        assert here.messages() == ids(wanted)
        assert rows(here.ledger, "select 1 from event where state != 'accepted'") == []


def test_a_backfill_that_is_interrupted_anywhere_goes_on_where_it_was(here: Inboxes, sandbox: Gateway) -> None:
    messages = scattered(600)
    fill(sandbox, messages)
    fall = random.Random(3)
    interruptions = 0

    while not here.feed.is_filled:
        left = fall.randint(1, 12)

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        here.pass_(stop if interruptions < 20 else lambda: False)
        interruptions += 1
        here.feed = here.make(f"tester-{interruptions}-bb")

    assert interruptions >= 20
    assert here.messages() == ids(messages)
    assert [row["n"] for row in rows(here.ledger, "select max(deliveries) n from event")] == [1]


def test_what_the_webhook_says_later_makes_no_second_one_and_the_other_way_round(
    here: Inboxes, sandbox: Gateway
) -> None:
    first, second = received(1, ago(1), 2, body="hello"), received(2, ago(1), 2, body="world")
    fill(sandbox, [first, second])
    announce(here.ledger, first)
    here.pass_()
    announce(here.ledger, second)

    assert here.messages() == ids([first, second])
    assert here.attachments() == owners([first, second])
    [both] = rows(here.ledger, "select count(*) events, sum(deliveries) deliveries from event")
    assert (both["events"], both["deliveries"]) == (3, 3)
    assert here.gaps() == []


def test_each_side_fills_what_the_other_does_not_say(here: Inboxes, sandbox: Gateway) -> None:
    """An event without application, number and more than the beginning of the text; a row without a scan status."""
    whole = received(1, ago(1), 2, body="a long text that the event cut", from_address="+14085550001")
    sandbox.add_message(whole)
    begun = replace(whole, attachments=whole.attachments[:1], body="a long")
    announce(here.ledger, begun, from_address=None, application_id=None)
    assert [row["application_id"] for row in rows(here.ledger, "select application_id from message")] == ["unknown"]

    here.pass_()

    [message] = rows(here.ledger, "select * from message")
    assert message["application_id"] == "17226"
    assert message["from_address"] == "+14085550001"
    assert message["body"] == whole.body
    assert message["av_status"] == "OK"
    assert here.attachments() == owners([whole])
    found = rows(here.ledger, "select distinct application_id from attachment")
    assert [row["application_id"] for row in found] == ["17226"]


def test_attachments_that_a_row_does_not_name_are_asked_for(tmp_path: Path) -> None:
    silent = [received(n, ago(1), 2, type="MMS") for n in range(3)]
    texts = [received(n, ago(1), 0, type="SMS") for n in range(10, 13)]
    bare = received(20, ago(1), 0, type="MMS")
    with Gateway(rules=ListRules(unnamed=True)) as sandbox, inboxes(tmp_path, sandbox) as here:
        fill(sandbox, [*silent, *texts, bare])
        for one in silent:
            for attachment in one.attachments:
                sandbox.inventory.put(attachment_of(attachment))

        here.pass_()
        here.pass_()

        assert here.attachments() == owners(silent)
        asked = [
            entry.path for entry in sandbox.requests.entries(step="messages") if entry.path.endswith("/attachments")
        ]
        assert sorted(asked) == sorted(f"{LIST}/{one.id}/attachments" for one in [*silent, bare])


LIST = "/scg-external-api/api/v1/messaging/messages"


def attachment_of(attachment_id: str) -> Attachment:
    return Attachment(attachment_id, b"GIF89a", "image/gif")


def test_an_event_that_says_it_has_attachments_but_names_none_is_completed(here: Inboxes, sandbox: Gateway) -> None:
    one = received(1, ago(0.1), 2)
    sandbox.add_message(one)
    announce(here.ledger, replace(one, attachments=()), has_attachment="true")
    assert [row["kind"] for row in rows(here.ledger, "select kind from v_problem")] == ["message without ids"]

    here.pass_()

    assert here.attachments() == owners([one])
    assert rows(here.ledger, "select kind from v_problem") == []


@pytest.mark.parametrize("minutes", [-40, -5, 5, 40])
def test_clocks_that_disagree_by_minutes_hide_nothing(tmp_path: Path, minutes: int) -> None:
    """The server's clock is ahead of ours, or behind: messages are dated by it, whenever they come."""
    skew = timedelta(minutes=minutes)
    clock = SetClock()

    def their_now() -> datetime:
        return clock.now() + skew

    with Gateway(now=their_now) as sandbox, inboxes(tmp_path, sandbox, clock=clock) as here:
        messages = []
        for number in range(40):
            messages.append(received(number, their_now()))
            sandbox.add_message(messages[-1])
            if number % 7 == 3:
                here.pass_()
            clock.ahead_s += 600
        here.pass_()

        assert here.messages() == ids(messages)


def test_a_message_that_is_listed_late_is_found_within_the_overlap(here: Inboxes, sandbox: Gateway) -> None:
    here.pass_()
    late = received(1, ago(1.8))
    sandbox.add_message(late)

    here.pass_()

    assert here.messages() == [late.id]


def test_an_hour_that_a_wrong_clock_claimed_is_looked_at_again(tmp_path: Path, sandbox: Gateway) -> None:
    clock = SetClock()
    with inboxes(tmp_path, sandbox, clock=clock) as here:
        clock.ahead_s = 3 * 86_400.0
        here.pass_()
        clock.ahead_s = 0.0
        one = received(1, ago(0.01))
        sandbox.add_message(one)

        here.pass_()

        assert here.messages() == [one.id]


@pytest.mark.parametrize("name", ["unavailable", "reset", "html-200", "server-error"])
def test_a_page_that_fails_is_asked_for_again(here: Inboxes, sandbox: Gateway, name: str) -> None:
    messages = scattered(50, days=0.05)
    fill(sandbox, messages)
    sandbox.add_fault(EVERYTHING, named(name, step="messages", times=1))

    looked = here.pass_()

    assert looked.troubles == ()
    assert here.messages() == ids(messages)


def test_an_inbox_out_of_reach_is_a_problem_until_it_is_back_and_nothing_is_passed_over(
    here: Inboxes, sandbox: Gateway
) -> None:
    one = received(1, ago(0.5))
    sandbox.add_message(one)
    sandbox.credentials.expire()

    looked = here.pass_()

    assert len(looked.troubles) == 1
    assert [row["kind"] for row in rows(here.ledger, "select kind from v_problem")] == ["inbox out of reach"]
    assert rows(here.ledger, "select * from cursor") == []
    with Gateway() as mended, inboxes(here_root(here), mended) as again:
        mended.add_message(one)
        again.pass_()
        assert again.messages() == [one.id]
        assert rows(again.ledger, "select kind from v_problem") == []


def here_root(here: Inboxes) -> Path:
    return Path(here.ledger.name.removeprefix("sqlite:///")).parent


def test_applications_with_tokens_of_their_own_have_inboxes_of_their_own(tmp_path: Path) -> None:
    tokens = {"sandbox-token": "17226", "other-token": "20881"}
    chosen = {"20881": settings.Application(token="other-token")}
    with Gateway(tokens=tokens) as sandbox, inboxes(tmp_path, sandbox, applications=chosen) as here:
        fill(sandbox, [received(1, ago(1)), received(2, ago(1), application_id="20881")])

        here.pass_()

        found = rows(
            here.ledger, "select m.application_id, e.source from message m join event e on e.message_id = m.id"
        )
        assert {(row["application_id"], row["source"]) for row in found} == {
            ("17226", "inbox:gateway"),
            ("20881", "inbox:20881"),
        }


def test_one_process_looks_at_a_time_and_none_before_its_time(here: Inboxes, sandbox: Gateway) -> None:
    other = here.make("other-2-cc")

    assert here.feed.look(lambda: False).spans == 1
    assert here.feed.look(lambda: False).spans == 0
    assert other.look(lambda: False).spans == 0


def test_what_is_announced_and_not_shown_is_a_gap_and_what_nobody_announced_too(
    here: Inboxes, sandbox: Gateway
) -> None:
    both, only_there, only_here = received(1, ago(1)), received(2, ago(1)), received(3, ago(1))
    fewer = received(4, ago(1), 2)
    fill(sandbox, [both, only_there, replace(fewer, attachments=fewer.attachments[:1])])
    announce(here.ledger, both, only_here, fewer)

    here.pass_()

    assert here.gaps() == [
        ("attachments differ", fewer.id),
        ("not announced", only_there.id),
        ("not in the inbox", only_here.id),
    ]
    announce(here.ledger, only_there)
    fill(sandbox, [only_here, fewer])
    here.pass_()
    assert here.gaps() == []


def test_an_inbox_that_shows_nothing_at_all_is_one_problem_not_thousands(here: Inboxes, sandbox: Gateway) -> None:
    announce(here.ledger, *(received(n, ago(1)) for n in range(50)))

    here.pass_()

    assert here.gaps() == []
    assert [row["kind"] for row in rows(here.ledger, "select kind from v_problem")] == ["inbox empty"]
    sandbox.add_message(received(1, ago(1)))
    here.pass_()
    assert [row["kind"] for row in rows(here.ledger, "select kind from v_problem")] == []


def test_of_too_many_gaps_some_are_kept_and_that_is_said(
    here: Inboxes, sandbox: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byhand, "_MOST", 3)
    announce(here.ledger, *(received(n, ago(2)) for n in range(50)))
    span = Span(ago(5), ago(1))
    scopes = scopes_of(here.settings)

    with by_hand(here.settings, here.ledger, here.clock, "tester-1-aa", records=False) as hand:
        empty = hand.go_through(scopes, span, stop=lambda: False)
        sandbox.add_message(received(1, ago(2)))
        gone = hand.go_through(scopes, span, stop=lambda: False)

    assert ([one.kind for one in empty.gaps], empty.more) == ([Kind.INBOX_EMPTY], False)
    assert ([one.kind for one in gone.gaps], gone.more) == ([Kind.NOT_IN_INBOX] * 3, True)
    assert len(here.gaps()) == 3


def test_what_is_older_than_is_kept_is_not_fetched_again(tmp_path: Path, sandbox: Gateway) -> None:
    fill(sandbox, [received(1, ago(24 * 40)), received(2, ago(24 * 20))])
    with inboxes(tmp_path, sandbox) as here:
        kept = settings.Retention(stored="30d")
        here.settings = here.settings.model_copy(update={"retention": kept})
        here.feed = here.make("tester-1-aa")
        here.pass_()

        assert here.messages() == [received(2, ago(1)).id]


def test_a_look_that_lasts_longer_than_the_backfill_leaves_nothing_to_do_again(here: Inboxes, sandbox: Gateway) -> None:
    sandbox.add_message(received(1, ago(24)))
    here.feed.look(lambda: False)
    with here.ledger.begin() as connection:
        connection.exec_driver_sql("delete from duty")
    asked = 0

    def meanwhile() -> bool:
        """Asked first for whether to look at all, and then, with the places read, for whether to ask the gateway."""
        nonlocal asked
        asked += 1
        if asked == 2:
            here.feed.fill(lambda: False)
        return False

    here.feed.look(meanwhile)

    assert here.feed.is_filled


def test_what_is_older_than_is_kept_is_not_compared_either(tmp_path: Path, sandbox: Gateway) -> None:
    """A look that goes back beyond it, as after a long pause, sees nothing of that time and so knows nothing of it."""
    old, young = received(1, ago(26)), received(2, ago(22))
    with inboxes(tmp_path, sandbox, overlap="45h", backfill="0s") as here:
        here.settings = here.settings.model_copy(update={"retention": settings.Retention(stored="1d")})
        here.feed = here.make("tester-1-aa")
        fill(sandbox, [old, young])
        announce(here.ledger, old, young)

        here.pass_()

        assert rows(here.ledger, "select kind, subject from gap") == []


def test_an_attachment_that_was_erased_alone_does_not_come_back(here: Inboxes, sandbox: Gateway) -> None:
    one = received(1, ago(1), 2)
    sandbox.add_message(one)
    announce(here.ledger, one)
    gone, kept = one.attachments
    erase_attachment(here.ledger, gone, By("me"), now=ago(0))

    for _ in range(3):
        assert here.pass_().receipt == Receipt()

    assert [row["payload"] for row in rows(here.ledger, "select payload from event")] == [""]
    assert kept in here.attachments()
    assert gone not in here.attachments()
    assert here.gaps() == []


def test_an_attachment_that_another_message_has_is_no_gain(here: Inboxes, sandbox: Gateway) -> None:
    owner, other = received(1, ago(1)), received(2, ago(1))
    announce(here.ledger, owner, other)
    fill(sandbox, [owner, replace(other, attachments=(*other.attachments, *owner.attachments))])

    for _ in range(2):
        assert here.pass_().receipt == Receipt()

    assert here.attachments() == owners([owner, other])
    assert here.gaps() == []


def test_a_message_is_dated_by_the_inbox(here: Inboxes, sandbox: Gateway) -> None:
    one = received(1, ago(1))
    sandbox.add_message(one)

    here.pass_()

    [message] = rows(here.ledger, "select occurred_at, channel from message")
    assert message["occurred_at"].startswith(one.created_at.strftime("%Y-%m-%dT%H:%M:%S"))
    assert message["channel"] == "mms"
