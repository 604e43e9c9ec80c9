"""``mo-sync`` as somebody sees it who sits at a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_sync.sandbox import Gateway
from mo_sync.sandbox.traffic import make_traffic
from tests.site import Site
from tests.terminal import in_terminal

COLOUR = re.compile(r"\x1b\[\d*(;\d+)*m")
LINE = re.compile(r"20\d\d-\d\d-\d\dT\S+Z \[(info|warning) *\] ")
MISSING, STORED = 2, 38


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Forty attachments are waiting to be fetched; the gateway does not have two of them."""
    scenario = make_traffic(7, events=30, attachments=STORED + MISSING, transient_share=0, permanent_share=0)
    with Gateway() as gateway:
        gateway.load(scenario)
        for attachment in scenario.attachments[:MISSING]:
            gateway.inventory.delete(attachment.id)
        site = Site(tmp_path / "site", gateway.base_url, settings={"retry": {"absent_attempts": 1}})
        for name, content in scenario.files.items():
            site.drop(name, content)
        yield site


def test_a_pass_shows_how_much_of_how_much_is_done_and_above_it_only_what_is_wrong(site: Site) -> None:
    told = in_terminal(site.start, "--sync-now")

    totals = {int(total) for total in re.findall(r"\d+/(\d+)", told.raw)}
    logged = [line for line in told.lines if "attachment." in line]
    assert totals
    assert max(totals) <= STORED + MISSING
    assert [line for line in logged if not LINE.match(line)] == []
    assert [("attachment.missing" in line, "attachment.stored" in line) for line in logged] == [(True, False)] * MISSING
    assert told.lines[-1].startswith("Something needs a person")
    assert [line for line in told.lines if "━" in line] == []


@pytest.mark.parametrize("by", ["--log-level", "the file"])
def test_a_level_that_was_chosen_holds_beside_the_bar_too(site: Site, by: str) -> None:
    if by == "the file":
        site.configure({**site.tables, "log": {"level": "info"}})

    told = in_terminal(site.start, *(["--log-level", "info"] if by == "--log-level" else []), "--sync-now")

    stored = [line for line in told.lines if "attachment.stored" in line]
    assert len(stored) == STORED
    assert [line for line in stored if not LINE.match(line)] == []


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_those_who_want_them(site: Site, environ: dict[str, str], coloured: bool) -> None:
    told = in_terminal(site.start, "--log-level", "info", "--sync-now", **environ)

    logged = "".join(line for line in told.raw.splitlines() if "attachment.stored" in line)
    assert (re.search(r"\x1b\[3\dm", logged) is not None) is coloured
    if environ.get("TERM") == "dumb":
        assert "\x1b" not in told.raw
