"""Every shape holds the same events, readable by what anyone has at hand."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from mo_sync.sandbox.shapes_out import MANY, SHAPES, Event, encode

FIELDS = {
    "message_id": "WGqCwdXm2szqkIGq2Xmy06",
    "attachment_ids": " Mno4Xayql1oVOYAvP7Iy25",
    "message_body": 'x < y & "z" 👋',
    "has_attachment": True,
    "company-id": 1500,
}
EVENT = Event("mNdHyWhdQWW2wACUWh84Wg", FIELDS, attempt=2)
OTHER = Event("other", FIELDS | {"message_id": "other"})


def concatenated(body: bytes) -> list[Any]:
    text, found = body.decode(), []
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


READERS: dict[str, Callable[[bytes], Any]] = {
    "canonical": lambda body: [json.loads(body)],
    "relayed": lambda body: [json.loads(body)["scg_message"]],
    "api-gateway": lambda body: [json.loads(json.loads(body)["body"])],
    "api-gateway-base64": lambda body: [json.loads(base64.b64decode(json.loads(body)["body"]))],
    "array": json.loads,
    "object": lambda body: json.loads(body)["events"],
    "lines": lambda body: [json.loads(line) for line in body.splitlines()],
    "concatenated": concatenated,
    "zipped": lambda body: [json.loads(line) for line in gzip.decompress(body).splitlines()],
}


@pytest.mark.parametrize("shape", READERS)
def test_a_shape_holds_the_canonical_envelope(shape: str) -> None:
    events = (EVENT, OTHER) if shape in MANY else (EVENT,)

    assert READERS[shape](encode(shape, *events)) == [event.envelope() for event in events]


def test_variants_differ_where_real_ones_did() -> None:
    underscored = json.loads(encode("underscored", EVENT))
    text_attempt = json.loads(encode("text-attempt", EVENT))
    companyid = json.loads(encode("companyid", EVENT))["event"]["fld-val-list"]

    assert (underscored["event_id"], "event-id" in underscored) == (EVENT.event_id, False)
    assert text_attempt["attempt"] == "2"
    assert (companyid["companyid"], "company-id" in companyid) == (1500, False)
    assert json.loads(encode("bare", EVENT)) == FIELDS


def test_xml_mirrors_the_names_of_the_fields() -> None:
    root = ElementTree.fromstring(encode("xml", EVENT))

    assert root.tag == "event-notification"
    assert root.findtext("event-id") == EVENT.event_id
    assert root.findtext("event/evt-tp") == "mo_message_received"
    assert root.findtext("event/fld-val-list/message_body") == FIELDS["message_body"]
    assert root.findtext("event/fld-val-list/has_attachment") == "true"
    assert root.findtext("event/fld-val-list/company-id") == "1500"


@pytest.mark.parametrize("shape", [name for name in SHAPES if name not in MANY])
def test_a_shape_for_one_refuses_two(shape: str) -> None:
    with pytest.raises(ValueError, match=shape):
        encode(shape, EVENT, OTHER)
