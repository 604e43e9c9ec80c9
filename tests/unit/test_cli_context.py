"""What every command receives: settings when they are asked for, and a log that follows them."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer

from mo_sync.cli.context import Context, context_of
from mo_sync.cli.ledger import COMMANDS
from mo_sync.cli.main import app
from mo_sync.errors import ConfigurationError, LedgerOutOfReach


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


def context(folder: Path, **more: object) -> Context:
    return Context(environ={}, cwd=folder, out=io.StringIO(), err=io.StringIO(), **more)  # type: ignore[arg-type]


def test_making_one_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "mo-sync.toml").write_text("broken")

    made = context(tmp_path)

    with pytest.raises(ConfigurationError):
        made.loaded()


def test_settings_are_read_once_and_again_when_asked_to(tmp_path: Path) -> None:
    made = context(tmp_path)
    (tmp_path / "mo-sync.toml").write_text("[sync]\nworkers = 3\n")
    first = made.loaded()
    (tmp_path / "mo-sync.toml").write_text("[sync]\nworkers = 4\n")

    assert made.loaded() is first
    assert made.reload().settings.sync.workers == 4


def test_without_any_configuration_only_who_can_do_without_gets_settings(tmp_path: Path) -> None:
    made = context(tmp_path)

    assert made.loaded(required=False).path is None
    with pytest.raises(ConfigurationError, match="configuration-missing"):
        made.loaded()


def test_a_log_that_was_started_follows_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "mo-sync.toml"
    path.write_text('[log]\nlevel = "error"\n')
    made = context(tmp_path)
    made.start_log()
    structlog.get_logger().info("thing.unheard")
    path.write_text('[log]\nlevel = "info"\n')

    made.reload()
    structlog.get_logger().info("thing.heard")

    assert isinstance(made.err, io.StringIO)
    assert "thing.heard" in made.err.getvalue()
    assert "thing.unheard" not in made.err.getvalue()


def test_the_level_of_the_command_line_stays_through_a_reload(tmp_path: Path) -> None:
    (tmp_path / "mo-sync.toml").write_text('[log]\nlevel = "error"\n')

    assert context(tmp_path, log_level="debug").reload().settings.log.level == "debug"


def test_what_was_said_before_the_command_counts_as_much_as_what_was_said_after(tmp_path: Path) -> None:
    assert context(tmp_path, as_json=True).output().as_json
    assert context(tmp_path).output(as_json=True).as_json
    assert context(tmp_path, quiet=True).output().quiet
    assert not context(tmp_path).output().as_json


def test_a_command_finds_it_in_its_context(tmp_path: Path) -> None:
    app, found = typer.Typer(), []

    @app.command()
    def look(ctx: typer.Context) -> None:
        found.append(context_of(ctx))

    made = context(tmp_path)
    typer.main.get_command(app).main([], standalone_mode=False, obj=made)

    assert found == [made]


WORDS = {
    "show": ["A1"],
    "retry": ["--all"],
    "hold": ["--all"],
    "release": ["--all-applications"],
    "cancel": ["--all"],
    "erase": ["A1", "--yes"],
    "export": ["events"],
    "follow": ["--once"],
    "backup": ["backup.db", "--force"],
    "backfill": ["--since", "1d"],
    "replay": ["--state", "rejected"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_where_there_is_no_ledger_a_command_about_it_makes_none(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup by force put an empty one in the place of the last good copy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "nice", lambda _: None)
    (tmp_path / "mo-sync.toml").write_text('[retention]\nstored = "1d"\n')
    (tmp_path / "backup.db").write_text("the last good copy")
    command = typer.main.get_command(app)

    with pytest.raises(LedgerOutOfReach, match="ledger-missing") as caught:
        command.main(["ledger", name, *WORDS.get(name, [])], standalone_mode=False, obj=context(tmp_path))

    assert caught.value.exit_code == 75
    assert (tmp_path / "backup.db").read_text() == "the last good copy"
    assert {path.name for path in tmp_path.iterdir()} == {"mo-sync.toml", "backup.db"}
