"""Sample traffic: the demo's scenario, told event by event, and larger ones made by dice."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mo_sync.sandbox.clock import Dice, dice
from mo_sync.sandbox.faults import TRANSIENT, named
from mo_sync.sandbox.media import KINDS
from mo_sync.sandbox.records import EPOCH
from mo_sync.sandbox.scenario import Part, Scenario, Stage
from mo_sync.sandbox.shapes_out import Event, encode

__all__ = ["OTHER_APPLICATION", "demo_scenario", "make_traffic"]

OTHER_APPLICATION: Final = "20881"

_SINGLES: Final = (
    ("canonical", "jpeg"), ("underscored", "png"), ("text-attempt", "gif"), ("companyid", "wav"), ("relayed", "mp4"),
    ("api-gateway", "3gp"), ("api-gateway-base64", "vcard"), ("bare", "pdf"), ("xml", "amr"),
)  # fmt: skip
_MANIES: Final = (("array", 3), ("object", 3), ("lines", 4), ("concatenated", 2), ("zipped", 4))

_PERMANENT: Final = (
    Part("jpeg", fate="missing", absent=True),
    Part("png", (named("forbidden", times=None),), "failed"),
    Part("pdf", (named("not-retriable", times=None),), "failed"),
)


def demo_scenario(seed: int = 1, began_at: datetime = EPOCH, *, unannounced: bool = False) -> Scenario:
    """Some fifty events that show everything once; the same seed makes the same bytes.

    Shapes: all of ``SHAPES``. Besides plain messages: texts without media, receipts and other events to ignore,
    repeats, a broken file, a broken line among good ones, an infected file, a missing one, a slow one, one that is not
    ready yet, and several kinds of passing trouble. ``unannounced``: and a message that only the inbox has.
    """
    stage = Stage(seed, began_at)
    firsts = _every_shape(stage)
    _texts(stage)
    _strays(stage)
    _trouble(stage)
    _repeats(stage, firsts)
    _broken(stage)
    if unannounced:
        stage.unannounced(Part("jpeg"), Part("text"), body="did you get my picture?")
    return stage.scenario()


def _every_shape(stage: Stage) -> list[Event]:
    events = []
    for shape, kind in _SINGLES:
        events.append(stage.message(Part(kind), body=f"a {kind} for you"))
        stage.drop(shape, events[-1])
    kinds = tuple(KINDS)
    for turn, (shape, number) in enumerate(_MANIES):
        batch = [_slide_show(stage, kinds[(turn + place) % 6]) for place in range(number)]
        stage.drop(shape, *batch)
        events += batch
    return events


def _slide_show(stage: Stage, kind: str) -> Event:
    """A message as phones make them: a slide show, a picture or sound, a text."""
    return stage.message(Part("smil"), Part(kind), Part("text"), application_id=OTHER_APPLICATION)


def _texts(stage: Stage) -> None:
    stage.drop("canonical", stage.message(body="Hello! Are you open today?"))
    stage.drop("underscored", stage.message(body="Grüße aus Köln 👋"))
    stage.drop("relayed", stage.message(body='{"response": {"reply": {"displayText": "Yes", "postbackData": "yes"}}}'))


def _strays(stage: Stage) -> None:
    for number, state in enumerate(("SENT", "DELIVERED")):
        receipt = stage.stray(
            "message_state_change",
            message_id=stage.id("sent", number),
            new_state=state,
            attachment_ids=f" {stage.id('sent attachment', number)}",
            application_id=17226,
        )
        stage.drop("canonical", receipt)
    stage.drop("xml", stage.stray("consent_change", "SCG-Consent", address="+14085550123", consent="OPT_OUT"))
    stage.drop("text-attempt", stage.stray("number_lookup", "NIS-Events", number="14085550123"))


def _trouble(stage: Stage) -> None:
    """Each message has one part with its trouble, some a healthy one beside it."""
    infected = stage.message(Part("pdf", fate="quarantined"), scan="INFECTED", body="open me")
    stage.drop("canonical", infected)
    troubled = (
        (Part("jpeg", fate="missing", absent=True), Part("text")),
        (Part("mp4", (named("dribble", seconds=2.0),)),),
        (Part("png", (named("unavailable", step="mint", times=2), named("server-error"))), Part("text")),
        (Part("3gp", (named("not-ready", times=2),)),),
        (Part("jpeg", (named("html-200"), named("short"))),),
        (Part("wav", (named("reset-body"), named("token-expired"))),),
        (Part("vcard", (named("not-in-cache"), named("bare-number"))),),
        (Part("gif", (named("chunked-cut"), named("empty"), named("reset"))),),
    )
    stage.drop("lines", *(stage.message(*parts) for parts in troubled))


def _repeats(stage: Stage, firsts: list[Event]) -> None:
    """The same events again, in another shape; the same messages under other event ids."""
    stage.drop("text-attempt", stage.again(firsts[0]))
    stage.drop("array", *(stage.again(event) for event in firsts[9:12]))
    stage.drop("canonical", stage.again(firsts[1], event_id=stage.id("second subscription", 1)))
    stage.drop("xml", stage.again(firsts[4], event_id=stage.id("second subscription", 4)))


def _broken(stage: Stage) -> None:
    """A file cut in its middle, and a line cut among whole ones."""
    whole = encode("canonical", stage.stray("message_state_change", message_id=stage.id("cut")))
    stage.ignored -= 1
    stage.drop_bytes("9001-broken.json", whole[: len(whole) // 2])
    before, after = (encode("lines", stage.message(Part(kind))) for kind in ("png", "gif"))
    stage.drop_bytes("9002-broken-line.ndjson", before + whole[: len(whole) // 2] + b"\n" + after)
    stage.rejected += 2


def make_traffic(
    seed: int,
    *,
    events: int = 500,
    attachments: int = 700,
    transient_share: float = 0.1,
    permanent_share: float = 0.02,
    duplicate_share: float = 0.0,
    began_at: datetime = EPOCH,
) -> Scenario:
    """A scenario of a given size: that many messages, all their attachments together that many.

    ``transient_share`` of the attachments suffer one or two passing faults, ``permanent_share`` of them end in
    ``missing`` or ``failed``; ``duplicate_share`` of the events come again. The shares are met to the nearest number.
    """
    fall = dice(f"traffic {seed}")
    stage = Stage(seed, began_at)
    parts = _parts(attachments, transient_share, permanent_share, fall)
    baskets: list[list[Part]] = [[] for _ in range(events)]
    for part in parts:
        fall.choice(baskets).append(part)
    announced = [stage.message(*basket, body=f"message {number}") for number, basket in enumerate(baskets)]
    repeated = fall.sample(announced, round(events * duplicate_share))
    announced += [stage.again(event) for event in repeated]
    fall.shuffle(announced)
    stage.drop_all(announced, fall)
    return stage.scenario()


def _parts(number: int, transient_share: float, permanent_share: float, fall: Dice) -> list[Part]:
    permanent, transient = round(number * permanent_share), round(number * transient_share)
    kinds = tuple(KINDS)
    parts = [_PERMANENT[place % len(_PERMANENT)] for place in range(permanent)]
    parts += [Part(fall.choice(kinds), tuple(fall.sample(TRANSIENT, fall.randint(1, 2)))) for _ in range(transient)]
    parts += [Part(fall.choice(kinds)) for _ in range(number - permanent - transient)]
    fall.shuffle(parts)
    return parts
