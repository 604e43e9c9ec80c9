"""``mo-sync demo`` and ``mo-sync gateway`` as a newcomer runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

LIMIT_S = 60


def mo_sync(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MO_SYNC")}
    return subprocess.run(
        [sys.executable, "-m", "mo_sync", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def everything(ledger: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(ledger)
    try:
        tables = ("message", "attachment", "attempt")
        rows = [row for table in tables for row in connection.execute(f"select * from {table} order by id")]
        rows += connection.execute("select id, event_key, state, reason, payload from event order by id").fetchall()
        return rows
    finally:
        connection.close()


def test_the_demo_ends_well_and_a_second_run_changes_nothing_and_says_so(tmp_path: Path) -> None:
    first = mo_sync(tmp_path, "demo")
    ledger = tmp_path / "mo-sync-demo" / "ledger.db"
    before = everything(ledger)
    second = mo_sync(tmp_path, "demo")

    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "changed nothing" not in first.stdout
    assert "70 files" in first.stdout
    assert "Inbox: 1 message that nobody had announced" in first.stdout
    for command in ("ledger status", "ledger show", "v_problem"):
        assert command in first.stdout
    assert second.returncode == 0, second.stderr
    assert "changed nothing" in second.stdout
    assert everything(ledger) == before


def test_the_events_that_are_announced_are_all_accounted_for(tmp_path: Path) -> None:
    told = [mo_sync(tmp_path, "demo").stdout for _ in range(2)]

    for text in told:
        [dropped] = re.findall(r"^Dropping \d+ files with (\d+) events", text, re.MULTILINE)
        [line] = re.findall(r"^Events: (.*)$", text, re.MULTILINE)
        assert sum(int(number) for number in re.findall(r"\d+", line)) == int(dropped)


@pytest.mark.parametrize("path", [[], ["--path", "of ours"]])
def test_the_commands_that_the_demo_names_work_as_they_are_printed(tmp_path: Path, path: list[str]) -> None:
    """By the path that the program was started by: a virtual environment is not on PATH."""
    program = tmp_path / ".venv/bin/mo-sync"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\nfrom mo_sync.cli.main import main\nmain()\n")
    program.chmod(0o755)
    environment = {"PATH": os.defpath, "PYTHONPATH": os.getcwd()}

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip

    told = shell(shlex.join([".venv/bin/mo-sync", "demo", *path])).stdout
    commands = [line for line in told.partition("Look further:\n")[2].splitlines() if "sqlite3" not in line]
    answers = [shell(command) for command in commands]

    assert len(commands) == 5
    assert [answer.returncode for answer in answers] == [0] * 5, [answer.stderr for answer in answers]
    for answer, words in zip(answers, ("stored", "quarantined", "attempt 2", ".error.txt", "nothing"), strict=True):
        assert words in answer.stdout


def test_the_demo_tells_a_program_in_json(tmp_path: Path) -> None:
    told = json.loads(mo_sync(tmp_path, "demo", "--json", "--path", "elsewhere").stdout)

    assert told["states"] == {"stored": 70, "missing": 1, "quarantined": 1}
    assert told["wrong"] == []
    assert told["changed"] is True
    assert (tmp_path / "elsewhere" / "ledger.db").is_file()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mo_sync", "gateway", "--token", "a-token", "--traffic"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_gateway_prints_its_base_url_first_and_answers_who_has_the_token(
    served: tuple[subprocess.Popen[str], str],
) -> None:
    process, base = served
    where = f"{base}/scg-external-api/api/v1/messaging/messages?limit=2"

    refused = requests.get(where, headers={"Authorization": "Bearer another"}, timeout=10)
    listed = requests.get(where, headers={"Authorization": "Bearer a-token"}, timeout=10).json()
    process.send_signal(signal.SIGTERM)

    assert refused.status_code == 401
    assert len(listed["list"]) == 2
    assert listed["total"] > 2
    assert process.wait(10) == 0


def test_a_place_where_it_cannot_listen_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    done = mo_sync(tmp_path, "gateway", "--listen", "127.0.0.1:99999")

    assert done.returncode == 2
    assert "listen-failed" in done.stderr
    assert "--listen" in done.stderr


def test_a_gateway_without_a_token_is_refused(tmp_path: Path) -> None:
    done = mo_sync(tmp_path, "gateway", "--token", " ")

    assert done.returncode == 2
    assert "token-missing" in done.stderr
