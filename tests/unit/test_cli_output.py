"""How commands speak: tables, JSON, quiet; on a terminal, into a pipe, and into one that nobody reads."""

from __future__ import annotations

import doctest
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.cli import output, tables
from mo_sync.cli.output import Output, age, bytes_text, printable
from tests.terminal import screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def speaker(*, terminal: bool = False, **more: object) -> tuple[Output, io.StringIO, io.StringIO]:
    out, err = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    environ = {"TERM": "xterm-256color", "COLUMNS": "40", **more.pop("environ", {})}  # type: ignore[dict-item]
    return Output(out, err, environ, **more), out, err  # type: ignore[arg-type]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(output).failed == 0
    assert doctest.testmod(tables) == (0, 3)


def test_a_table_sets_numbers_to_the_right_and_has_no_trailing_blanks() -> None:
    speaks, out, _ = speaker()

    speaks.table(["state", "count", "note"], [["stored", 1234, None], ["failed", 5, "look"]])

    assert out.getvalue() == "state   count  note\nstored  1,234\nfailed      5  look\n"


def test_nothing_is_cut_off_in_a_pipe() -> None:
    speaks, out, _ = speaker()
    long = "x" * 5000

    speaks.table(["id", "why"], [["a", long], [long, "b"]])

    assert len(out.getvalue().splitlines()) == 3
    assert out.getvalue().count(long) == 2


def test_on_a_terminal_nothing_is_cut_off_and_heads_stand_out() -> None:
    speaks, out, _ = speaker(terminal=True)

    speaks.table(["id"], [["x" * 100]])

    assert out.getvalue() == "\x1b[1mid\x1b[0m\n" + "x" * 100 + "\n"


NARROW = tables.Lines(("id", "when"), ("why",), ("command",))


@pytest.mark.parametrize(("columns", "kind"), [("1", "xterm"), ("20", "xterm"), ("40", "xterm"), ("20", "dumb")])
def test_what_is_copied_stays_in_one_piece_however_narrow_the_terminal_is(columns: str, kind: str) -> None:
    speaks, out, _ = speaker(terminal=True, environ={"COLUMNS": columns, "TERM": kind})
    ids, command = ["A" * 40, "B" * 40], "mo-sync ledger retry -- '-a b'"

    rows = [[one, "2026-11-20", "m" * 40, "w " * 60, command] for one in ids]
    speaks.table(["id", "when", "of", "why", "command"], rows, narrow=NARROW)

    lines = screen(out.getvalue())
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["id", *ids]
    assert [lines.count(f"  {command}"), out.getvalue().count("m" * 40)] == [2, 2]
    folded = [len(line) for line in lines if set(line) == {"w", " "}]
    assert sum(line.count("w") for line in lines) == 121, "that of a head too"
    assert max(folded) <= (max(int(columns), 3) if kind != "dumb" else 80)


def test_a_row_has_a_line_where_there_is_room_and_some_where_there_is_one_column_less() -> None:
    heads, rows = ["id", "when", "of", "why", "command"], [["A1", "now", "M1", "gone", "retry A1"], ["A2"] + [""] * 4]

    def told(columns: int) -> list[str]:
        speaks, out, _ = speaker(terminal=True, environ={"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb1"})
        speaks.table(heads, rows, narrow=NARROW)
        return screen(out.getvalue())

    wide = ["id  when  of  why   command", "A1  now   M1  gone  retry A1", "A2"]
    assert told(len(wide[1])) == wide
    assert told(len(wide[1]) - 1) == ["id  when", "A1  now", "  of M1: gone", "  retry A1", "A2"]


def test_no_color_is_honoured() -> None:
    speaks, out, _ = speaker(terminal=True, environ={"NO_COLOR": "1"})

    speaks.table(["state"], [["stored"]])

    assert "\x1b[3" not in out.getvalue()


def test_markup_and_control_characters_from_outside_are_shown_and_not_obeyed() -> None:
    speaks, out, _ = speaker()

    speaks.table(["from"], [["[bold]x[/bold]"], ["\x1b[2Jgone\x07\nnext"]])
    speaks.say("a\x9bb\u202ec")

    assert out.getvalue() == "from\n[bold]x[/bold]\n\\x1b[2Jgone\\x07\\nnext\na\\x9bb\\u202ec\n"


@given(st.text())
def test_whatever_is_said_can_be_written_and_moves_no_cursor(text: str) -> None:
    shown = printable(text)

    assert shown.encode().decode() == shown
    assert not set(shown) & {chr(code) for code in (*range(10), *range(11, 32), *range(127, 160), 0x202E, 0x2028)}


def test_with_json_only_the_document_is_on_standard_output() -> None:
    speaks, out, err = speaker(as_json=True)

    speaks.say("hello")
    speaks.table(["a"], [[1]])
    speaks.result("x")
    speaks.warn("take care")
    speaks.json({"at": datetime(2026, 11, 20, tzinfo=UTC), "path": Path("/srv"), "set": {"b", "a"}, "ä": 1})

    assert json.loads(out.getvalue()) == {"at": "2026-11-20T00:00:00Z", "path": "/srv", "set": ["a", "b"], "ä": 1}
    assert out.getvalue().count("\n") == 1
    assert err.getvalue() == "take care\n"


def test_a_name_that_is_no_utf_8_can_be_written_as_json_and_read_back() -> None:
    speaks, out, _ = speaker(as_json=True)
    name = os.fsdecode(b"caf\xe9.jpg")

    speaks.json({"file": name})

    assert out.getvalue().encode() == b'{"file": "caf\\udce9.jpg"}\n'
    assert json.loads(out.getvalue()) == {"file": name}


class Latin(io.TextIOWrapper):
    """Where only letters of Western Europe can be shown; maybe a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="iso-8859-1")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def bytes(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_an_output_cannot_show_is_shown_by_its_number_and_programs_get_it_as_it_is(terminal: bool) -> None:
    """Such a letter, in a name that came from outside, ended the command with a bug's error."""
    out = Latin(terminal=terminal)
    speaks = Output(out, io.StringIO(), {"TERM": "dumb", "COLUMNS": "99"})

    speaks.say("é 日")
    speaks.table(["name"], [["ü 本"]])
    speaks.json(["日"])

    text, json_text = out.bytes.rsplit(b"[", 1)
    assert text.splitlines() == [b"\xe9 \\u65e5", b"name", b"\xfc \\u672c"]
    assert ("日".encode() in json_text) is not terminal


def test_when_quiet_only_what_was_asked_for_is_said() -> None:
    speaks, out, err = speaker(quiet=True)

    speaks.say("hello")
    speaks.table(["a"], [[1]])
    speaks.result("/srv/mo-sync.toml")
    speaks.warn("take care")

    assert (out.getvalue(), err.getvalue()) == ("/srv/mo-sync.toml\n", "take care\n")


@pytest.mark.parametrize(
    ("terminal", "more", "shown"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"quiet": True}, False),
        (True, {"as_json": True}, False),
        (True, {"environ": {"TERM": "dumb"}}, False),
    ],
)
def test_progress_is_shown_on_a_terminal_only_and_never_on_standard_output(
    terminal: bool, more: dict[str, object], shown: bool
) -> None:
    speaks, out, err = speaker(terminal=terminal, **more)

    with speaks.progress("fetching") as bar:
        bar.advance(2)

    assert out.getvalue() == ""
    assert ("fetching" in err.getvalue()) is shown
    assert speaks.shows_progress is shown


def test_the_total_of_a_bar_follows_what_is_known_of_it() -> None:
    speaks, _, err = speaker(terminal=True, environ={"COLUMNS": "80"})

    with speaks.progress("fetching") as bar:
        bar.advance(2)
        bar.expect(5)
    with speaks.progress("fetching") as bar:
        bar.advance(2)
        bar.expect(5)
        bar.advance(1)
        bar.expect(9)

    assert [text in err.getvalue() for text in ("2/7", "3/12")] == [True, True]


def test_lines_of_a_log_stand_above_the_bar_each_on_its_own_and_the_bar_is_gone_in_the_end() -> None:
    speaks, _, err = speaker(terminal=True)
    long = "y" * 90

    with speaks.progress("fetching") as bar:
        for line in ("first", "\x1b[33msecond\x1b[0m", long):
            bar.write(f"{line}\n")
            bar.advance(1)
    bar.write("afterwards\n")

    assert screen(err.getvalue()) == ["first", "second", long, "afterwards"]


@pytest.mark.parametrize("colour", [True, False])
def test_the_log_above_a_bar_is_coloured_unless_that_is_not_wanted(colour: bool) -> None:
    speaks, _, err = speaker(terminal=True, environ={} if colour else {"NO_COLOR": "1"})

    with speaks.progress("fetching") as bar:
        bar.write("\x1b[33mtold\x1b[0m\n")

    assert ("\x1b[33m" in err.getvalue()) is colour


def test_without_a_bar_the_log_is_written_as_it_is() -> None:
    speaks, _, err = speaker()

    with speaks.progress("fetching") as bar:
        bar.write("\x1b[33mtold\x1b[0m\n")
        bar.flush()

    assert err.getvalue() == "\x1b[33mtold\x1b[0m\n"


def test_a_reader_that_went_away_silences_the_output_and_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        speaks = Output(out, io.StringIO())
        for _ in range(3):
            speaks.say("hello" * 20_000)

        assert speaks.reader_gone


def test_a_closed_standard_error_is_no_reason_to_fail() -> None:
    err = io.StringIO()
    err.close()

    assert Output(io.StringIO(), err).warn("unheard") is None


@given(st.integers(0, 10**15))
def test_a_size_is_short_and_has_its_unit(count: int) -> None:
    text = bytes_text(count)

    assert text.split()[1] in ("B", "kB", "MB", "GB", "TB")
    assert count >= 10**15 or len(text) <= len("999.9 kB") + 1


@given(st.floats(0, 10**9))
def test_an_age_has_its_largest_whole_unit(seconds: float) -> None:
    number, unit = age(seconds).split()
    length = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]

    assert int(number) * length <= seconds < (int(number) + 1) * length
