"""The keys, told from the model; units; places in a file; the pages made of them."""

from __future__ import annotations

import doctest
import importlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mo_sync.settings import Settings
from mo_sync.settings.keys import ANY_ID, dotted, find, keys, nearest
from mo_sync.settings.load import load
from mo_sync.settings.places import flat, lines_of
from mo_sync.settings.reference import markdown, toml_template
from mo_sync.settings.units import LONGEST_S, duration, duration_text, size, size_text

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("module", ["keys", "places", "problems", "secrets", "units", "paths"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"mo_sync.settings.{module}")).failed == 0


def test_every_key_says_what_it_means_and_what_is_allowed() -> None:
    assert [dotted(name) for name, key in keys().items() if not (key.meaning.endswith(".") and key.allowed)] == []


def test_every_limit_that_is_told_is_kept() -> None:
    """Of two limits of one kind pydantic keeps the one that it sees last, which is not always the narrower."""
    told = re.compile(r"(more than|at least|at most) ([0-9,.]+[A-Za-z]*)")
    beyond = {"more than": lambda limit: limit, "at least": lambda limit: limit - 1, "at most": lambda limit: limit + 1}
    tried = 0
    for (section, *rest), key in keys().items():
        for word, text in told.findall(key.allowed):
            read = {"duration": duration, "size": size}.get(key.kind, lambda number: int(number.replace(",", "")))
            value = beyond[word](read(text))
            with pytest.raises(ValidationError):
                Settings.model_validate({section: {rest[0]: value}})
            tried += 1

    assert tried > 10


@pytest.mark.parametrize("key", ["drop.settle", "ledger.busy_timeout", "sync.stop_grace", "limits.min_free"])
def test_nothing_is_negative(key: str) -> None:
    section, name = key.split(".")

    with pytest.raises(ValidationError, match="cannot be negative"):
        Settings.model_validate({section: {name: -1}})


def test_a_key_without_a_default_has_an_example() -> None:
    assert [dotted(name) for name, key in keys().items() if key.default is None and not key.example] == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("gateway.tokn", "gateway.token"),
        ("gatway.token", "gateway.token"),
        ("Gateway.Token_File", "gateway.token_file"),
        ("gateway.workers", "sync.workers"),
        ("retry.max_attempt", "retry.max_attempts"),
        ("applications.17226.tokn", "applications.17226.token"),
        ("logs", "log"),
        ("colour", None),
        ("gateway.colour", None),
    ],
)
def test_the_nearest_known_name_is_what_was_meant(name: str, known: str | None) -> None:
    assert nearest(tuple(name.split("."))) == known


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_name_at_all_has_an_answer(name: list[str]) -> None:
    found, known = find(tuple(name)), nearest(tuple(name))

    assert known is None or all(known.split("."))
    assert found is None or found in keys().values()


def test_the_page_is_up_to_date() -> None:
    """If not: python -m mo_sync.settings > docs/configuration.md"""
    assert (DOCS / "configuration.md").read_text() == markdown()


def test_the_page_names_every_key_and_its_variable() -> None:
    page = markdown()

    assert [key.variable for key in keys().values() if f"| `{key.name[-1]}` |" not in page] == []
    assert [key.variable for key in keys().values() if f"`{key.variable}`" not in page] == []


def test_the_template_is_what_holds_without_it_but_for_the_drop_folder_and_the_token(tmp_path: Path) -> None:
    path = tmp_path / "mo-sync.toml"
    path.write_text(toml_template())
    bare = load(None, environ={}, cwd=tmp_path, system_file=path).settings

    loaded = load(path, environ={}, cwd=tmp_path).settings

    assert loaded.drop.path == tmp_path / "drop"
    assert loaded.gateway.token_file == tmp_path / "token"
    assert loaded == bare
    assert loaded.model_copy(
        update={"drop": Settings().drop, "gateway": Settings().gateway}
    ) == Settings.model_validate(
        {"ledger": {"url": f"sqlite:///{tmp_path}/ledger.db"}, "store": {"url": str(tmp_path / "media")}}
    )


def _without_example(settings: Settings, key: str, before: Settings) -> Settings:
    """What has no default shows an example."""
    changed = {
        section: getattr(settings, section).model_copy(update={key: getattr(getattr(before, section), key)})
        for section in Settings.model_fields
        if section != "applications" and find((section, key)) and keys()[section, key].default is None
    }
    return settings.model_copy(update=changed)


def test_every_line_of_the_template_that_is_commented_out_is_right_when_it_is_not(tmp_path: Path) -> None:
    lines = toml_template().split("\n")
    commented = [number for number, line in enumerate(lines) if line.startswith("# ") and " = " in line]
    named = {line.lstrip("# ").split(" = ")[0] for line in lines if " = " in line}
    path = tmp_path / "mo-sync.toml"
    path.write_text(toml_template())
    before = load(path, environ={}, cwd=tmp_path).settings

    for number in commented:
        key, _, value = lines[number][2:].partition(" = ")
        changed = [*lines[:number], lines[number][2:], *lines[number + 1 :]]
        # A secret stands beside its file, and an application's key below its own header, which is commented out too.
        changed = [
            line.replace("# [applications", "[applications")
            for line in changed
            if not (key == "token" and line.startswith("token_file"))
        ]
        path.write_text("\n".join(changed))
        after = load(path, environ={}, cwd=tmp_path).settings

        assert tomllib.loads(f"{key} = {value}")
        assert (
            _without_example(after, key, before).model_copy(update={"applications": {}, "gateway": before.gateway})
            == before
        )
    assert named == {name[-1] for name in keys()}


def test_each_key_stands_on_its_line_however_it_is_written() -> None:
    text = (
        "# a comment with [brackets] and = signs\n"
        "\n"
        "[gateway]\n"
        'base_url = """\n'
        "[drop]\n"
        'https://x"""\n'
        "[limits]\n"
        "allow_types = [ # one = two\n"
        '  "a",\n'
        "]\n"
        'scan_status = { OK = "fetch", "ODD ONE" = "refuse" }\n'
        '[applications."a.b"]\n'
        "token_file = 'x'\n"
        "[sync]\r\n"
        "workers = 3\r\n"
    )

    found = lines_of(text)

    assert found == {
        ("gateway",): 3,
        ("gateway", "base_url"): 4,
        ("limits",): 7,
        ("limits", "allow_types"): 8,
        ("limits", "scan_status"): 11,
        ("limits", "scan_status", "OK"): 11,
        ("limits", "scan_status", "ODD ONE"): 11,
        ("applications", "a.b"): 12,
        ("applications", "a.b", "token_file"): 13,
        ("sync",): 14,
        ("sync", "workers"): 15,
    }
    assert set(dict(flat(tomllib.loads(text)))) <= set(found)


@given(st.integers(0, int(LONGEST_S) * 1000))
def test_a_duration_reads_back_as_it_was_told(milliseconds: int) -> None:
    assert duration(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.integers(0, 2**60))
def test_a_size_reads_back_as_it_was_told(count: int) -> None:
    assert size(size_text(count)) == pytest.approx(count, rel=1e-15)


def test_the_variable_of_a_key_keeps_the_place_of_an_applications_id() -> None:
    assert keys()[("applications", ANY_ID, "token_file")].variable == "MO_SYNC_APPLICATIONS__<ID>__TOKEN_FILE"
