"""What is logged, in which form; and that no secret, number or message is ever in it."""

from __future__ import annotations

import ast
import doctest
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from mo_sync import log
from mo_sync.settings import Log

SECRET = "f00dbabe-0123456789-not-to-be-seen"
NUMBER = "+14086080000"
PACKAGE = Path(log.__file__).parent


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


def lines(
    *, level: str = "debug", form: str = "json", journal: bool = False, terminal: bool = False, **fields: Any
) -> list[str]:
    """What one event at each level comes to."""
    stream = io.StringIO()
    log.configure(Log(level=level, format=form), stream=stream, terminal=terminal, journal=journal)  # type: ignore[arg-type]
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)("thing.happened", **fields)
    return stream.getvalue().splitlines()


def record(**fields: Any) -> dict[str, Any]:
    """An event with these fields, as it stands in the log."""
    return json.loads(lines(level="error", **fields)[0])


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(log).failed == 0


def test_a_line_is_one_json_object_with_sorted_keys_and_a_time_in_utc() -> None:
    [line] = lines(level="error", zebra=1, ant="2")

    assert list(json.loads(line)) == ["ant", "event", "level", "timestamp", "zebra"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", json.loads(line)["timestamp"])


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_less_than_the_level_is_not_logged(level: str, count: int) -> None:
    assert len(lines(level=level)) == count


@pytest.mark.parametrize(
    ("form", "terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("console", False, False)],
)
def test_the_form_is_for_people_on_a_terminal_and_for_programs_elsewhere(
    form: str, terminal: bool, is_json: bool
) -> None:
    assert lines(form=form, terminal=terminal)[0].startswith("{") is is_json


def test_a_changed_level_takes_effect_at_once() -> None:
    """A daemon reloads its settings while loggers are in use."""
    logger = structlog.get_logger("kept")
    stream = io.StringIO()
    log.configure(Log(level="error"), stream=stream, terminal=False)
    logger.info("thing.unheard")
    log.configure(Log(level="info"), stream=stream, terminal=False)
    logger.info("thing.heard")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["thing.heard"]


def test_the_journal_is_told_the_priority_of_each_line() -> None:
    assert [line[:4] for line in lines(journal=True)] == ["<7>{", "<6>{", "<4>{", "<3>{"]


def test_every_line_of_a_trace_has_its_priority_in_the_journal() -> None:
    stream = io.StringIO()
    log.configure(Log(format="console"), stream=stream, terminal=False, journal=True)
    try:
        raise ValueError("oops")
    except ValueError:
        structlog.get_logger().exception("thing.broke")

    assert len(stream.getvalue().splitlines()) > 3
    assert {line[:3] for line in stream.getvalue().splitlines()} == {"<3>"}


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        found = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}

        assert log.is_journal(stream, named)
        assert not log.is_journal(stream, {"JOURNAL_STREAM": "8:1"})
        assert not log.is_journal(io.StringIO(), named)


def test_what_libraries_log_takes_the_same_way() -> None:
    stream = io.StringIO()
    log.configure(Log(level="info"), stream=stream, terminal=False)
    logging.getLogger("alembic.runtime").info("not heard: libraries speak from warnings on")
    logging.getLogger("urllib3.pool").warning("GET %s", f"/x/attachments/{SECRET}/content", extra={"token": SECRET})
    warnings.warn("take care", stacklevel=1)

    heard = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert heard[0]["event"] == "GET /x/attachments/**********/content"
    assert (heard[0]["logger"], heard[0]["level"], heard[0]["token"]) == ("urllib3.pool", "warning", "**********")
    assert heard[1]["logger"] == "py.warnings"
    assert len(heard) == 2


def test_configuring_again_does_not_log_twice() -> None:
    stream = io.StringIO()
    for _ in range(3):
        log.configure(Log(), stream=stream, terminal=False)
    logging.getLogger("anything").warning("once")

    assert len(stream.getvalue().splitlines()) == 1


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(Log(), stream=Broken(), terminal=False)
    structlog.get_logger().error("thing.happened")
    logging.getLogger("anything").error("thing happened")

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "fields",
    [
        {"token": SECRET},
        {"content_token": SECRET},
        {"Authorization": SECRET},
        {"consumer_secret": SECRET},
        {"password": SECRET},
        {"token": 12345678901234},
        {"headers": {"Authorization": f"Bearer {SECRET}", "X": [{"api-key-token": SECRET}]}},
        {"found": SecretStr(SECRET)},
        {"found": [{"deep": (SecretStr(SECRET),)}]},
        {"error": f"refused Bearer {SECRET}, twice"},
        {"error": f"'Authorization': 'Bearer {SECRET}'"},
        {"error": f"Authorization: Basic {SECRET}"},
        {"url": f"https://gw/scg-attachment/api/v1/messaging/attachments/{SECRET}/content?x=1"},
        {"url": f"/apptoken-refresh?consumerkey=k&consumersecret={SECRET}&oldtoken={SECRET}"},
        {"url": f"postgresql+psycopg://mo:{SECRET}@db/ledger"},
        {"error": ValueError(f"token={SECRET}")},
        {"path": Path(f"/x/attachments/{SECRET}/content")},
        {"body": f"a message {SECRET}"},
        {"message_body": SECRET},
        {"payload": SECRET.encode()},
        {"raw": SECRET.encode()},
    ],
)
def test_no_secret_is_logged(fields: dict[str, Any]) -> None:
    for form in ("json", "console"):
        assert SECRET not in "\n".join(lines(form=form, **fields))
    assert "12345678901234" not in "\n".join(lines(**fields))


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"to_address": "18322222222"}, "*******2222"),
        ({"from_address": NUMBER}, "********0000"),
        ({"sender_number": 18322222222}, "*******2222"),
        ({"note": f"from {NUMBER}."}, "from ********0000."),
        ({"note": "drop:mo-18322222222.json:3"}, "drop:mo-*******2222.json:3"),
        ({"note": "+1 408 608-0000 called"}, "***********0000 called"),
        ({"phone": "123"}, "***"),
    ],
)
def test_numbers_keep_their_last_four_digits(fields: dict[str, Any], shown: str) -> None:
    [name] = fields

    assert record(**fields)[name] == shown


@pytest.mark.parametrize(
    "value",
    [
        "Mno4Xayql1oVOYAvP7Iy25",
        "2026-11-20T10:00:00.000000Z",
        "2026-11-20 10:00:00+01:00",
        "events-20261120101530.ndjson",
        "550e8400-e29b-41d4-a716-446655440000",
        "3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b",
        "application 17226",
        "token_file = /srv/token",
        "the token was refused",
        "the store has 9,999,999,999 bytes free and limits.min_free asks for 10,000,000,000",
    ],
)
def test_ids_times_and_hashes_are_left_as_they_are(value: str) -> None:
    assert record(note=value)["note"] == value


def test_values_that_json_does_not_know_are_told_in_its_kinds() -> None:
    moment = datetime(2026, 11, 20, tzinfo=UTC)

    told = record(at=moment, size=7, share=0.5, raw=b"12345", path=Path("/srv"), many={"b"}, none=None, yes=True)

    assert (told["at"], told["size"], told["share"], told["raw"]) == ("2026-11-20T00:00:00Z", 7, 0.5, "5 bytes")
    assert (told["path"], told["many"], told["none"], told["yes"]) == ("/srv", ["b"], None, True)


def test_the_file_of_a_secret_may_be_named() -> None:
    assert record(token_file="/srv/token")["token_file"] == "/srv/token"


def test_a_trace_shows_no_local_variables() -> None:
    def broken(token: str) -> None:
        hidden = token
        raise ValueError(len(hidden))

    for form in ("json", "console"):
        stream = io.StringIO()
        log.configure(Log(format=form), stream=stream, terminal=True)  # type: ignore[arg-type]
        try:
            broken(SECRET)
        except ValueError:
            structlog.get_logger().exception("thing.broke")

        assert "ValueError" in stream.getvalue()
        assert SECRET not in stream.getvalue()


KEYS = st.sampled_from(
    ["token", "Authorization", "content_token", "gateway.token", "password", "client_secret", "body"]
)
TEXTS = st.text(max_size=20)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=20) | st.datetimes()
HIDDEN = (
    st.builds(SecretStr, st.just(SECRET))
    | st.dictionaries(KEYS, st.just(SECRET), min_size=1, max_size=2)
    | st.builds(lambda before, after: f"{before} Bearer {SECRET} {after}", TEXTS, TEXTS)
)
TREES = st.recursive(
    LEAVES | HIDDEN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(lambda name: name != "event")


@given(st.dictionaries(NAMES, TREES, max_size=4), st.sampled_from(["json", "console"]))
@settings(max_examples=60, deadline=None)
def test_wherever_a_secret_is_put_the_event_is_logged_and_the_secret_is_not(fields: dict[str, Any], form: str) -> None:
    stream = io.StringIO()
    log.configure(Log(format=form), stream=stream, terminal=False)  # type: ignore[arg-type]
    structlog.get_logger().info("thing.happened", **fields)

    assert "thing.happened" in stream.getvalue()
    assert SECRET not in stream.getvalue()
    assert form == "console" or len(stream.getvalue().splitlines()) == 1


@given(st.from_regex(r"\+?[0-9]{10,15}", fullmatch=True), st.text(alphabet=" .,:;()/'\n"))
def test_no_full_number_stands_in_any_text(number: str, around: str) -> None:
    kept = log.redact_text(f"{around}{number}{around}")

    is_a_moment = re.fullmatch(r"20\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])\d{6}", number)
    assert is_a_moment or number not in kept


def events_in(source: str) -> list[str]:
    """The constant names of events that a module logs."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "_log"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]


def test_every_event_is_called_noun_dot_verb() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts]
    names = [name for path in sources for name in events_in(path.read_text())]

    assert len(names) > 5
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", name)] == []
