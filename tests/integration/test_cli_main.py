"""The command line as a whole: help, versions, exit codes, and errors in words on standard error."""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mo_sync.cli import main as cli
from mo_sync.cli.commands import COMMANDS, Command
from mo_sync.errors import ExitCode, LedgerOutOfReach, MoSyncError

SECRET = "f00dbabe-not-to-be-seen"
PROGRAM = [sys.executable, "-m", "mo_sync"]
Calls = Callable[[Callable[[], object]], Callable[..., int]]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder without a configuration, and without this machine's own."""
    for name in [name for name in os.environ if name.startswith("MO_SYNC")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def calling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Makes a command that does what it is told, and calls it with the options given."""

    def made(does: Callable[[], object]) -> Callable[..., int]:
        module = ModuleType("mo_sync.cli.told")

        def told(as_json: bool = cli.typer.Option(False, "--json")) -> object:
            del as_json
            return does()

        module.told = told  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "told", Command("told", "told", "Does as it is told."))
        return lambda *options: cli.run([*options, "told"])

    yield made


def raising(error: BaseException) -> Callable[[], object]:
    def raised() -> object:
        raise error

    return raised


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=100, check=False, **more
    )


def test_help_lists_every_command_and_every_exit_code() -> None:
    done = run("--help")

    assert done.returncode == 0
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +[A-Z]", done.stdout, re.MULTILINE)] == []
    assert [int(code) for code in ExitCode if not re.search(rf"^ +{int(code)} +\w", done.stdout, re.MULTILINE)] == []


def test_the_readme_lists_the_same_exit_codes() -> None:
    readme = (Path(cli.__file__).parents[2] / "README.md").read_text()

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)} == {int(code) for code in ExitCode}


def test_the_version_is_the_installed_one() -> None:
    assert re.fullmatch(r"mo-sync \d+\.\d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_that_is_slow(option: str) -> None:
    """A second's tenth is what a person takes for at once; these take more than that by themselves."""
    code = f"import sys; from mo_sync.cli.main import run; run([{option!r}]); print(*sys.modules, file=sys.stderr)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    slow = {"pydantic", "sqlalchemy", "requests", "rich", "structlog", "apscheduler", "alembic", "mo_sync.settings"}
    assert slow & set(done.stderr.split()) == set()
    assert "typer" in done.stderr.split()


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    def help_of(*words: str) -> str:
        assert cli.run([*words, "--help"]) == 0
        return capfd.readouterr().out

    text = help_of(name)
    subcommands = re.findall(r"^  ([a-z]+) ", text.partition("Commands:")[2], re.MULTILINE)

    assert text.startswith(f"Usage: mo-sync {name}")
    for words in [[name, sub] for sub in subcommands] or [[name]]:
        assert f"Example: mo-sync {' '.join(words)}" in help_of(*words).replace(
            " --config /etc/mo-sync/mo-sync.toml", ""
        )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mo-sync le", "ledger"),
        ("mo-sync ledger er", "erase"),
        ("mo-sync ledger list --st", "--state"),
        ("mo-sync doctor --bun", "--bundle"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(typed: str, offered: str, shell: str) -> None:
    words = typed.split()
    environ = {
        **os.environ,
        "_MO_SYNC_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
    }

    done = run(env=environ)

    assert offered in done.stdout, done.stderr


def test_called_without_a_word_it_shows_its_help_and_exits_as_for_wrong_usage() -> None:
    done = run()

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: mo-sync")


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(cli) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "summary", "hint"),
    [
        (["docter"], "No such command 'docter'. Did you mean 'doctor'?", "mo-sync --help"),
        (["--cofig", "x"], "No such option: --cofig", "mo-sync --help"),
        (["config", "--jsn"], "No such option: --jsn", "mo-sync config --help"),
        (["--log-level", "loud", "config"], "Invalid value for '--log-level'", "mo-sync --help"),
        (["--log-level", "debgu", "config"], "'info', 'warning', 'error'. Did you mean 'debug'?", "mo-sync --help"),
        (
            ["ledger", "list", "mesages"],
            "for 'LIST': 'mesages' is not one of",
            "mo-sync ledger list --help",
        ),
        (["ledger", "list", "mesages"], "Did you mean 'messages'?", "mo-sync ledger list --help"),
        (["ledger", "export", "attachmnets"], "Did you mean 'attachments'?", "mo-sync ledger export --help"),
        (["ledger", "export", "events", "--format", "cvs"], "Did you mean 'csv'?", "mo-sync ledger export --help"),
        (["ledger", "list", "it's"], "'events'.", "mo-sync ledger list --help"),
        (["--sync-now", "config"], "it stands alone, without config", "mo-sync --help"),
        (["config", "extra"], "unexpected extra argument", "mo-sync config --help"),
    ],
)
def test_wrong_usage_is_told_with_a_hint_and_exit_code_2(
    arguments: list[str], summary: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2

    told = capfd.readouterr().err.splitlines()
    assert told[0].startswith("mo-sync: usage-wrong: ")
    assert summary in told[0]
    assert "Value error" not in told[0]
    assert told[-1] == f"  hint: {hint}"


def test_wrong_usage_is_told_as_json_when_json_was_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--json", "docter"]) == 2

    heard = capfd.readouterr()
    error = json.loads(heard.err)["error"]
    assert (heard.out, error["code"], error["exit_code"]) == ("", "usage-wrong", 2)


@pytest.mark.parametrize("arguments", [["--sync-now"], ["run"], ["--sync-now", "--json"]])
def test_where_nothing_is_configured_nothing_is_begun(
    arguments: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(arguments) == 3

    assert "mo-sync init" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ours_is_a_sentence_a_hint_and_its_exit_code(
    calling: Calls, capfd: pytest.CaptureFixture[str]
) -> None:
    call = calling(raising(LedgerOutOfReach("ledger-full", "no room", item="/srv/ledger.db", hint="free space")))

    assert call() == 75
    assert capfd.readouterr().err == "mo-sync: ledger-full: /srv/ledger.db: no room\n  hint: free space\n"


def test_an_error_of_ours_as_json_has_its_parts(calling: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    call = calling(raising(LedgerOutOfReach("ledger-full", "no room", item="/srv/ledger.db", hint="free space")))

    assert call("--json") == 75
    assert json.loads(capfd.readouterr().err) == {
        "error": {
            "code": "ledger-full",
            "summary": "no room",
            "item": "/srv/ledger.db",
            "hint": "free space",
            "exit_code": 75,
        }
    }


def test_an_error_cannot_move_the_cursor(calling: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    assert calling(raising(MoSyncError("odd", "\x1b[2Jgone")))() == 1

    assert capfd.readouterr().err == "mo-sync: odd: \\x1b[2Jgone\n"


def test_an_unexpected_error_is_one_line_without_a_trace_and_without_secrets(
    calling: Calls, capfd: pytest.CaptureFixture[str]
) -> None:
    call = calling(raising(RuntimeError(f"refused:\n Bearer {SECRET}")))

    assert call() == 1
    told = capfd.readouterr().err
    assert told.startswith("mo-sync: unexpected-error: RuntimeError: refused: Bearer **********\n  hint: ")
    assert "Traceback" not in told


@pytest.mark.parametrize("by", ["--log-level=debug", "--log-level debug", "MO_SYNC_DEBUG"])
def test_who_debugs_sees_the_trace_and_still_no_secret(
    calling: Calls, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    call = calling(raising(RuntimeError(f"Bearer {SECRET}")))
    if by == "MO_SYNC_DEBUG":
        monkeypatch.setenv(by, "1")

    assert call(*(by.split() if by.startswith("-") else [])) == 1
    told = capfd.readouterr().err
    assert "Traceback" in told
    assert SECRET not in told


def test_the_keyboard_ends_it_with_a_word(calling: Calls, capfd: pytest.CaptureFixture[str]) -> None:
    assert calling(raising(KeyboardInterrupt()))() == 130

    assert capfd.readouterr().err.startswith("mo-sync: interrupted: ")


@pytest.mark.parametrize("result", [None, 0, 4, ExitCode.NEEDS_A_PERSON])
def test_what_a_command_returns_is_its_exit_code(calling: Calls, result: int | None) -> None:
    assert calling(lambda: result)() == (result or 0)


def test_a_command_may_exit_by_itself(calling: Calls) -> None:
    assert calling(raising(cli.typer.Exit(5)))() == 5


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from mo_sync.cli.main import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", code, "config"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith("mo-sync: folder-missing: ")


@pytest.mark.parametrize("arguments", [["config"], ["--json", "config"], ["--help"]])
def test_a_reader_that_went_away_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writing)

    assert done.stderr == ""
    assert done.returncode >= 0
    assert done.returncode != -signal.SIGPIPE


@pytest.mark.parametrize("arguments", [["config"], ["--json", "config"], ["--help"], ["--version"], ["demo"]])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_an_output_that_takes_nothing_is_told_in_words(arguments: list[str], buffered: str, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
        )  # fmt: skip

    assert done.returncode == 1
    assert "output-unwritable" in done.stderr
    assert "No space left on device" in done.stderr
    for word in ("unexpected", "report it", "Exception ignored"):
        assert word not in done.stderr


def test_an_output_that_was_closed_takes_everything() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "config"],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_the_shell_can_complete_the_commands() -> None:
    environ = {**os.environ, "_MO_SYNC_COMPLETE": "complete_bash", "COMP_WORDS": "mo-sync do", "COMP_CWORD": "1"}

    done = run(env=environ)

    assert done.stdout.split() == ["doctor"]
