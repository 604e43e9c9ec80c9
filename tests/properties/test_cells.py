"""What a CSV holds is harmless in a spreadsheet, and read back as what it was."""

from __future__ import annotations

import io

from hypothesis import example, given
from hypothesis import strategies as st

from mo_sync.cells import read_back, secured
from mo_sync.cli.formats import Form, lines
from mo_sync.events import payload_text
from mo_sync.feeds.refeeding import found_in
from mo_sync.ledger.exports import Kind, columns_of
from tests.ledgers import NOW

hostile = st.lists(st.sampled_from(["'", "=", "+", "-", "@", "\t", "\r", "\n", '"', ",", "a", "\ufeff"])).map("".join)
texts = hostile | st.text() | st.builds(str.__add__, hostile, st.text())
bodies = texts.map(lambda text: text.encode()) | st.binary()


@given(texts)
def test_every_text_is_read_back_and_none_is_a_formula(text: str) -> None:
    assert read_back(secured(text)) == text
    assert not secured(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@given(texts)
def test_what_an_older_version_wrote_is_read_as_it_was(text: str) -> None:
    """It put an apostrophe before formulas, and before none that had one: of these two nobody can tell which it was."""
    older = f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text

    assert read_back(older) == text or (text.startswith("'") and text != secured(text))


@given(st.lists(bodies.filter(bool), min_size=1, max_size=4))
@example([b"'it is no event"])
@example([b"'=1", b"''", b"'"])
def test_an_export_of_events_holds_each_as_it_came(bodies: list[bytes]) -> None:
    """``'it is no event`` came back as another event."""
    columns = columns_of(Kind.EVENTS)
    rows = [dict.fromkeys(columns) | {"payload": payload_text(body, max_chars=1_000)} for body in bodies]
    table = "".join(lines(Form.CSV, columns, rows)).encode()

    found = list(found_in(["-"], stdin=io.BytesIO(table), max_event=1_000, now=NOW))

    assert [one.raw and one.raw.body for one in found] == bodies
