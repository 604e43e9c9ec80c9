"""Scenarios are what they promise, and the same each time."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter

import pytest

from mo_sync.sandbox import demo_scenario, make_traffic
from mo_sync.sandbox.scenario import Stage
from mo_sync.sandbox.shapes_out import SHAPES


def test_the_demo_is_the_same_each_time_and_other_for_another_seed() -> None:
    assert demo_scenario(3) == demo_scenario(3)
    assert set(demo_scenario(3).fates).isdisjoint(demo_scenario(4).fates)


def test_the_demo_shows_everything_once() -> None:
    demo = demo_scenario()
    fates = Counter(demo.fates.values())

    assert len(demo.events) >= 36
    assert {name.split(".")[0].split("-", 1)[1] for name in demo.files} >= set(SHAPES)
    assert (fates["missing"], fates["quarantined"]) == (1, 1)
    assert {row.type for row in demo.attachments} >= {"image/jpeg", "video/mp4", "text/x-vcard", "application/smil"}
    assert {fault.name for _, fault in demo.faults} >= {"dribble", "not-ready", "unavailable"}
    assert (demo.ignored, demo.rejected) == (4, 2)
    with pytest.raises(json.JSONDecodeError):
        json.loads(demo.files["9001-broken.json"])


def test_the_demo_repeats_events_and_announces_messages_twice() -> None:
    demo = demo_scenario()
    announcements = Counter(event.event_id for event in demo.events)
    messages = Counter(event.fields["message_id"] for event in demo.events)

    assert sum(number > 1 for number in announcements.values()) == 4
    assert sum(number > 1 for number in messages.values()) == 6
    assert set(messages) == {message.id for message in demo.messages}


def test_every_attachment_has_a_fate_and_is_held_unless_missing() -> None:
    demo = demo_scenario()
    held = {row.id for row in demo.attachments}

    assert {key for message in demo.messages for key in message.attachments} == set(demo.fates)
    assert set(demo.fates) - held == {key for key, fate in demo.fates.items() if fate == "missing"}


def test_made_traffic_has_the_size_and_shares_asked_for() -> None:
    traffic = make_traffic(7, events=500, attachments=700, transient_share=0.1, permanent_share=0.03)
    spoilt = {target for target, fault in traffic.faults if fault.times is not None}
    fates = Counter(traffic.fates.values())

    assert (len(traffic.messages), len(traffic.events), len(traffic.fates)) == (500, 500, 700)
    assert len(spoilt) == 70
    assert fates["missing"] + fates["failed"] == 21
    assert len({row.content for row in traffic.attachments}) == len(traffic.attachments)
    assert traffic == make_traffic(7, events=500, attachments=700, transient_share=0.1, permanent_share=0.03)


def test_made_traffic_may_repeat_itself() -> None:
    traffic = make_traffic(7, events=40, attachments=10, duplicate_share=0.25)

    assert len(traffic.events) == 50
    assert len({event.event_id for event in traffic.events}) == 40


def test_all_events_can_be_dropped_again_in_other_files() -> None:
    traffic = make_traffic(7, events=60, attachments=80)
    again = traffic.dropped_again(1)
    text = b"".join(plain(name, body) for name, body in again.items()).decode()

    assert set(again).isdisjoint(traffic.files)
    assert again == traffic.dropped_again(1)
    assert all(message.id in text for message in traffic.messages)


def plain(name: str, body: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.decompress(body)
    return base64.b64decode(json.loads(body)["body"]) if "base64" in name else body


def test_ids_look_like_those_of_the_api() -> None:
    made = {Stage(1).id(number) for number in range(1000)}

    assert len(made) == 1000
    assert all(len(id_) == 22 and id_.isalnum() and id_.isascii() for id_ in made)
