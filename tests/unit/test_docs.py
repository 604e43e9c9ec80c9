"""The pages, as far as a machine can tell whether they are true: links, tests, rooms, settings and codes they name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mo_sync.cli.commands import COMMANDS
from mo_sync.cli.ledger import COMMANDS as LEDGER_COMMANDS
from mo_sync.cli.main import app
from mo_sync.errors import ExitCode
from mo_sync.lifecycle import Standing, State
from mo_sync.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
INTERRUPTED = 130
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def outside_code(text: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def code_of(text: str) -> str:
    """What stands in a page's code blocks and between single backticks, a line each."""
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`]+)`", outside_code(text))])


def logged() -> set[str]:
    """The names of what may be logged."""
    source = "".join(path.read_text() for path in (ROOT / "mo_sync").rglob("*.py"))
    return set(re.findall(r'"(\w+\.[\w-]+)"', source)) | {
        *(f"attachment.{state}" for state in State),
        *(f"application.{standing}" for standing in Standing),
    }


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be linked by, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", outside_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next of its kind."""
    return page.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("name", NAMES)
def test_links_within_the_project_lead_somewhere(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", outside_code(page.read_text())):
        target, _, fragment = link.partition("#")
        if "://" in link:
            continue
        there = (page.parent / target) if target else page
        if not there.exists() or (fragment and fragment not in anchors(there)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_a_page_names_exist(name: str) -> None:
    sections = {key: field.default for key, field in Settings.model_fields.items() if key != "applications"}
    named = set(re.findall(rf"`({'|'.join(sections)})\.(?!db`|py`)(\w+)`", (ROOT / name).read_text()))

    unknown = {f"{part}.{key}" for part, key in named if key not in type(sections[part]).model_fields}
    assert unknown - logged() == set()


@pytest.mark.parametrize("name", NAMES)
def test_commands_that_a_page_shows_exist(name: str) -> None:
    shown = code_of((ROOT / name).read_text())
    named = set(re.findall(r"(?<![\w.-])(?<!-[ug] )mo-sync (ledger [a-z]+|[a-z]+)(?![\w.=-])", shown))
    known = {*COMMANDS, *(f"ledger {command}" for command in LEDGER_COMMANDS)}
    assert named - known == set()


def test_every_promise_stands_in_its_row_and_names_tests_that_exist() -> None:
    text = (DOCS / "promises.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\| P(\d+) \|", text, re.MULTILINE)]
    named = re.findall(r"`(\w+/test_\w+\.py)(?:::(test_\w+))?`", text)

    sources = {path: ROOT / "tests" / path for path, _ in named}
    missing = [path for path, source in sources.items() if not source.exists()]
    assert numbers == list(range(1, 24))
    assert missing == []
    assert [test for path, test in named if test and f"def {test}(" not in sources[path].read_text()] == []


def test_the_architecture_page_names_every_room_and_no_other() -> None:
    rooms = section(DOCS / "architecture.md", "Rooms, from the ground up")
    named = set(re.findall(r"^ \d[ab]? {1,2}(\w+)(?:\.py|/)", rooms, re.MULTILINE))
    found = {path.stem for path in (ROOT / "mo_sync").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}

    assert named == {room for room in found if not room.startswith("_")}


def test_the_operations_page_explains_every_exit_code() -> None:
    table = section(DOCS / "operations.md", "Exit codes")

    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [*sorted(ExitCode), INTERRUPTED]


def test_the_help_tells_every_exit_code_and_no_other() -> None:
    """It promised a 6 once, which no command ever ended with."""
    told = app.info.epilog

    assert isinstance(told, str)
    assert [int(code) for code in re.findall(r"^ +(\d+) ", told, re.MULTILINE)] == [*sorted(ExitCode), INTERRUPTED]


def explained() -> list[str]:
    """The names of the log's events in the table of the operations page."""
    table = section(DOCS / "operations.md", "Reading the log")
    return [
        name for first in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(.+?)`", first)
    ]


def test_log_events_that_the_operations_page_explains_are_logged() -> None:
    named = explained()

    assert len(named) > 10
    assert len(named) == len(set(named))
    assert [name for name in named if name not in logged()] == []


def said_at_warning() -> set[str]:
    """The events that are logged at warning or above, where their name stands in the call itself."""
    calls = (
        node
        for path in (ROOT / "mo_sync").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    )
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("warning", "error", "exception", "critical")
        and ast.unparse(call.func.value) == "_log"
        and isinstance(call.args[0], ast.Constant)
    }


def test_every_event_that_is_logged_at_warning_or_above_is_explained() -> None:
    """Whoever is woken by one looks for it there."""
    said = said_at_warning()

    assert len(said) > 50
    assert sorted(said - set(explained())) == []


def test_the_operations_page_installs_in_five_lines_all_that_lies_in_systemd() -> None:
    lines = section(DOCS / "operations.md", "Install").split("```sh\n", 1)[1].split("```", 1)[0].splitlines()
    spelled = "\n".join(lines).replace("$kind", "sysusers") + "\n".join(lines).replace("$kind", "tmpfiles")

    assert len(lines) == 5
    relay = section(DOCS / "relay.md", "Alone")
    assert [path.name for path in (ROOT / "systemd").iterdir() if path.name not in spelled + relay] == []
