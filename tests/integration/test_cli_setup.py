"""``mo-sync init``, ``config`` and ``doctor`` as an operator runs them: real processes, folders and a gateway."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mo_sync.sandbox import Gateway
from tests.forks import Forked

SECRET = "f00dbabe-not-to-be-seen"


class Place:
    """A folder in which mo-sync is run, and what it sees of the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MO_SYNC") and not name.lower().endswith("_proxy")
        }
        self.environ |= {"PYTHONPATH": os.getcwd(), "NO_COLOR": "1"}

    def run(self, *arguments: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        with Forked(
            arguments,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=umask,
        ) as process:
            out, err = process.communicate(timeout=100)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.folder / name).stat().st_mode)

    def checks(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """What doctor found, by the name of the check, and its exit code."""
        done = self.run("doctor", "--json")
        document = json.loads(done.stdout)
        assert document["exit_code"] == done.returncode
        return done.returncode, {check["name"]: check for check in document["checks"]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after ``mo-sync init``, with a token, to copy."""
    folder = tmp_path_factory.mktemp("template")
    done = Place(folder).run("init")
    assert done.returncode == 0, done.stderr
    (folder / "token").write_text("sandbox-token\n")
    (folder / "token").chmod(0o600)
    return folder


@pytest.fixture
def ready(place: Place, template: Path, gateway: Gateway) -> Place:
    """A place where all is well."""
    shutil.copytree(template, place.folder, dirs_exist_ok=True)
    place.environ |= {"MO_SYNC_GATEWAY__BASE_URL": gateway.base_url, "MO_SYNC_LIMITS__MIN_FREE": "0"}
    return place


class TestInit:
    def test_it_makes_what_is_needed_with_safe_modes_and_says_what_is_left_to_do(self, place: Place) -> None:
        done = place.run("init")

        assert done.returncode == 0, done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines()[:4]] == ["made"] * 4
        assert {name: place.mode(name) for name in ("mo-sync.toml", "drop", "media")} == {
            "mo-sync.toml": 0o640,
            "drop": 0o750,
            "media": 0o750,
        }
        assert place.mode("ledger.db") & 0o007 == 0
        assert f"install -m 600 /dev/stdin {place.folder}/token" in done.stdout
        assert f"{shlex.quote(sys.executable)} -m mo_sync doctor" in done.stdout
        assert not (place.folder / "token").exists()
        with sqlite3.connect(place.folder / "ledger.db") as ledger:
            assert ledger.execute("select count(*) from v_problem").fetchone() == (0,)

    def test_the_umask_is_respected(self, place: Place) -> None:
        place.run("init", umask=0o077)

        assert (place.mode("mo-sync.toml"), place.mode("drop"), place.mode("media")) == (0o600, 0o700, 0o700)

    def test_a_group_may_drop_files_where_the_umask_lets_it(self, place: Place) -> None:
        place.run("init", umask=0o007)

        assert (place.mode("drop"), place.mode("media")) == (0o770, 0o750)

    def test_a_second_time_it_changes_nothing_and_says_so(self, place: Place) -> None:
        place.run("init")
        (place.folder / "mo-sync.toml").write_text('[drop]\npath = "drop"\n')

        done = place.run("init")

        assert done.returncode == 0, done.stderr
        assert "nothing was changed" in done.stdout
        assert "made" not in done.stdout
        assert (place.folder / "mo-sync.toml").read_text() == '[drop]\npath = "drop"\n'

    def test_it_makes_again_what_is_missing(self, place: Place) -> None:
        place.run("init")
        shutil.rmtree(place.folder / "media")

        done = json.loads(place.run("init", "--json").stdout)

        assert done["made"] == [f"{place.folder}/media/"]
        assert len(done["found"]) == 3

    def test_by_force_it_writes_the_file_anew_and_keeps_the_old_one(self, place: Place) -> None:
        (place.folder / "mo-sync.toml").write_text("[log]\n")

        done = place.run("init", "--force")

        assert done.returncode == 0, done.stderr
        assert (place.folder / "mo-sync.toml.old").read_text() == "[log]\n"
        assert "token_file" in (place.folder / "mo-sync.toml").read_text()

    def test_it_works_in_another_folder_and_names_its_file_in_what_is_left_to_do(self, place: Place) -> None:
        done = place.run("init", "--path", "site/of ours")

        assert done.returncode == 0, done.stderr
        assert (place.folder / "site/of ours/ledger.db").exists()
        assert f" -m mo_sync --config '{place.folder}/site/of ours/mo-sync.toml' doctor" in done.stdout

    def test_the_file_that_config_names_is_the_one_that_is_written(self, place: Place) -> None:
        assert place.run("--config", "our.toml", "init").returncode == 0
        assert (place.folder / "our.toml").exists()
        assert place.run("--config", "our.toml", "init", "--path", "x").returncode == 2

    def test_where_nothing_can_be_made_it_says_so_in_a_sentence(self, place: Place) -> None:
        (place.folder / "site").write_text("a file")

        done = place.run("init", "--path", "site")

        assert done.returncode == 3
        assert done.stderr.startswith("mo-sync: cannot-make: ")
        assert f"{place.folder}/site is not a folder" in done.stderr
        assert "Traceback" not in done.stderr

    def test_what_it_wrote_is_what_config_shows(self, place: Place) -> None:
        place.run("init")

        shown = json.loads(place.run("config", "--json").stdout)

        assert shown["path"] == f"{place.folder}/mo-sync.toml"
        assert shown["settings"]["drop"]["path"] == f"{place.folder}/drop"


class TestConfig:
    def test_it_shows_what_is_in_force_as_toml_with_the_origin_of_each_value(self, place: Place) -> None:
        (place.folder / "mo-sync.toml").write_text('[sync]\nlease = "1m"\n')
        place.environ["MO_SYNC_SYNC__WORKERS"] = "7"

        lines = place.run("config", "--show-origin").stdout.splitlines()

        assert lines[0] == f"# {place.folder}/mo-sync.toml"
        assert f'lease = "1m"    # {place.folder}/mo-sync.toml, line 2' in lines
        assert "workers = 7    # MO_SYNC_SYNC__WORKERS" in lines
        assert 'interval = "5s"    # default' in lines
        assert "# proxy is not set" in lines

    def test_what_it_shows_is_a_configuration_that_comes_to_the_same(self, ready: Place) -> None:
        shown = ready.run("config").stdout
        (ready.folder / "copy").mkdir()
        (ready.folder / "copy/copy.toml").write_text(shown)

        again = ready.run("--config", "copy/copy.toml", "config")

        assert again.stdout.splitlines()[1:] == shown.splitlines()[1:], again.stderr

    @pytest.mark.parametrize(
        "arguments", [["config"], ["config", "--json"], ["--json", "config"], ["config", "--show-origin"]]
    )
    def test_it_hides_secrets(self, place: Place, arguments: list[str]) -> None:
        (place.folder / "mo-sync.toml").write_text(f'[applications.1]\ntoken = "{SECRET}"\n')
        place.environ |= {
            "MO_SYNC_GATEWAY__TOKEN": SECRET,
            "MO_SYNC_LEDGER__URL": f"postgresql://mo:{SECRET}@db/ledger",
            "MO_SYNC_GATEWAY__PROXY": f"http://me:{SECRET}@proxy:3128",
        }

        done = place.run(*arguments)

        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert done.stdout.count("**********") == 4

    def test_it_says_which_file_is_read(self, place: Place) -> None:
        assert place.run("config", "--path").stdout == "no file\n"
        (place.folder / "mo-sync.toml").write_text("")
        assert place.run("config", "--path").stdout == f"{place.folder}/mo-sync.toml\n"

    def test_without_any_configuration_it_shows_the_defaults(self, place: Place) -> None:
        done = place.run("config")

        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "# no configuration file")

    def test_a_broken_configuration_is_told_in_words(self, place: Place) -> None:
        path = place.folder / "mo-sync.toml"
        path.write_text(f'[gateway]\ntokn = "{SECRET}"\n[drop]\nkeep = "burn"\n')

        done = place.run("config")

        assert done.returncode == 3
        assert done.stderr.splitlines() == [
            "mo-sync: settings-invalid: 2 settings are wrong:",
            f"  gateway.tokn ({path}, line 2): there is no such setting; did you mean gateway.token?",
            f'  drop.keep ({path}, line 4): found "burn", allowed is "move" or "delete"',
        ]

    def test_a_broken_configuration_is_told_as_json_when_json_was_asked_for(self, place: Place) -> None:
        (place.folder / "mo-sync.toml").write_text("[sync]\nworkers = 0\n")

        done = place.run("config", "--json")

        assert (done.returncode, done.stdout) == (3, "")
        error = json.loads(done.stderr)["error"]
        assert (error["code"], error["exit_code"], len(error["problems"])) == ("settings-invalid", 3, 1)


class TestDoctor:
    def test_where_all_is_well_it_says_so(self, ready: Place) -> None:
        done = ready.run("doctor")

        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[-1] == "All is well."
        assert {line.split()[0] for line in done.stdout.splitlines()[:-1]} == {"ok"}

    def test_it_leaves_nothing_behind(self, ready: Place) -> None:
        before = sorted(path for path in ready.folder.rglob("*") if "ledger.db" not in path.name)

        ready.run("doctor")

        after = sorted(path for path in ready.folder.rglob("*") if "ledger.db" not in path.name)
        assert [path for path in after if path.name != ".incoming"] == before

    def test_it_sends_nothing_but_looks_and_only_to_the_gateway(self, ready: Place, gateway: Gateway) -> None:
        ready.run("doctor")

        assert {request.method for request in gateway.requests} == {"GET"}

    def test_without_a_configuration_it_says_how_to_get_one_and_makes_nothing(self, place: Place) -> None:
        code, checks = place.checks()

        assert code == 3
        assert "mo-sync init" in checks["configuration"]["advice"]
        assert list(place.folder.iterdir()) == []

    def test_each_wrong_setting_is_a_line_of_its_own(self, place: Place) -> None:
        (place.folder / "mo-sync.toml").write_text("[sync]\nworkers = 0\nbatch = 0\n")

        done = place.run("doctor")

        assert done.returncode == 3
        assert done.stdout.count("failed   configuration") == 2

    def test_before_init_it_says_what_is_missing_and_makes_nothing(self, place: Place) -> None:
        (place.folder / "mo-sync.toml").write_text('[drop]\npath = "drop"\n')

        code, checks = place.checks()

        assert code == 3
        assert {name for name, check in checks.items() if "mo-sync init" in check["advice"]} == {
            "drop",
            "store",
            "ledger",
        }
        assert [path.name for path in place.folder.iterdir()] == ["mo-sync.toml"]

    @pytest.mark.parametrize(
        ("token", "mode", "level", "words"),
        [
            (None, 0o600, "failed", "does not exist"),
            ("", 0o600, "failed", "empty"),
            ("two words", 0o600, "failed", "blank"),
            ("sandbox-token", 0o644, "warning", "anyone on this machine may read"),
            ("sandbox-token", 0o640, "ok", "0640"),
        ],
    )
    def test_it_looks_at_the_token_file(
        self, ready: Place, token: str | None, mode: int, level: str, words: str
    ) -> None:
        path = ready.folder / "token"
        path.unlink()
        if token is not None:
            path.write_text(token)
            path.chmod(mode)

        code, checks = ready.checks()

        assert checks["token"]["level"] == level
        assert words in checks["token"]["summary"]
        assert code == (3 if level == "failed" else 0)
        assert (checks["token"]["advice"] == "") is (level == "ok")

    def test_a_token_that_systemd_hands_over_is_as_good_as_one_in_a_file(self, ready: Place) -> None:
        (ready.folder / "credentials").mkdir()
        (ready.folder / "token").rename(ready.folder / "credentials/gateway__token")
        ready.environ["CREDENTIALS_DIRECTORY"] = str(ready.folder / "credentials")

        code, checks = ready.checks()

        assert (code, checks["access"]["level"]) == (0, "ok")
        assert "credentials/gateway__token" in checks["token"]["summary"]

    def test_it_says_when_the_gateway_refuses_a_token(self, ready: Place) -> None:
        (ready.folder / "token").write_text("another")

        code, checks = ready.checks()

        assert code == 3
        assert (checks["token"]["level"], checks["access"]["level"]) == ("ok", "failed")
        assert "another" not in json.dumps(checks["access"]).replace("another one", "")

    def test_each_application_with_a_token_of_its_own_is_tried(self, ready: Place) -> None:
        (ready.folder / "17226.token").write_text("wrong")
        ready.environ["MO_SYNC_APPLICATIONS__17226__TOKEN_FILE"] = "17226.token"

        code, checks = ready.checks()

        assert code == 3
        assert (checks["access"]["level"], checks["access 17226"]["level"]) == ("ok", "failed")
        assert checks["token 17226"]["level"] == "warning"

    def test_without_any_token_it_fails(self, place: Place) -> None:
        place.environ["MO_SYNC_DROP__PATH"] = "drop"

        assert place.checks()[1]["token"]["summary"] == "none is set"

    def test_a_token_in_a_file_that_anyone_may_read_is_a_warning(self, ready: Place) -> None:
        path = ready.folder / "mo-sync.toml"
        path.write_text('[gateway]\ntoken = "sandbox-token"\n[drop]\npath = "drop"\n')
        path.chmod(0o644)

        code, checks = ready.checks()

        assert (code, checks["configuration"]["level"]) == (0, "warning")
        assert checks["configuration"]["advice"] == f"chmod o-rwx {path}"

    def test_a_gateway_that_does_not_answer_is_out_of_reach_and_no_mistake(self, ready: Place) -> None:
        ready.environ["MO_SYNC_GATEWAY__BASE_URL"] = "http://127.0.0.1:9"

        code, checks = ready.checks()

        assert code == 75
        assert (checks["gateway"]["level"], checks["gateway"]["out_of_reach"]) == ("failed", True)
        assert "access" not in checks

    def test_a_wrong_setting_counts_more_than_a_gateway_out_of_reach(self, ready: Place) -> None:
        ready.environ["MO_SYNC_GATEWAY__BASE_URL"] = "http://127.0.0.1:9"
        (ready.folder / "token").unlink()

        assert ready.checks()[0] == 3

    def test_too_little_room_is_told_in_words_and_passes_by_itself(self, ready: Place) -> None:
        ready.environ["MO_SYNC_LIMITS__MIN_FREE"] = "4000TB"

        code, checks = ready.checks()

        assert code == 75
        assert "limits.min_free is 4000.0 TB" in checks["store room"]["summary"]

    @pytest.mark.parametrize("store", ["drop", "drop/media", "."])
    def test_drop_folder_and_store_may_not_lie_in_each_other(self, ready: Place, store: str) -> None:
        ready.environ["MO_SYNC_STORE__URL"] = store

        code, checks = ready.checks()

        assert (code, checks["folders"]["level"]) == (3, "failed")

    @pytest.mark.parametrize(("name", "check"), [("drop", "drop"), ("media", "store")])
    def test_a_folder_that_is_a_file_fails_and_is_not_said_to_be_made_by_init(
        self, ready: Place, name: str, check: str
    ) -> None:
        shutil.rmtree(ready.folder / name)
        (ready.folder / name).write_text("")

        found = ready.checks()[1][check]

        assert (found["level"], found["summary"]) == ("failed", f"{ready.folder}/{name} is not a folder")
        assert "init" not in found["advice"]

    def test_a_plain_address_on_another_machine_is_a_warning(self, ready: Place) -> None:
        ready.environ["MO_SYNC_GATEWAY__BASE_URL"] = "http://gateway.invalid"

        code, checks = ready.checks()

        assert code == 75
        assert checks["encryption"]["level"] == "warning"
        assert "in clear" in checks["encryption"]["summary"]
        assert "https://" in checks["encryption"]["advice"]

    def test_a_gateway_that_knows_no_messages_is_told_in_words_of_its_own(self, ready: Place, gateway: Gateway) -> None:
        ready.environ["MO_SYNC_GATEWAY__BASE_URL"] = f"{gateway.base_url}/elsewhere"

        code, checks = ready.checks()

        assert (code, checks["access"]["level"]) == (3, "failed")
        assert "answered 404" in checks["access"]["summary"]
        assert "attachment" not in checks["access"]["summary"]
        assert "gateway.base_url" in checks["access"]["advice"]

    def test_it_looks_through_the_ledger(self, ready: Place) -> None:
        _, checks = ready.checks()

        assert {name: check["level"] for name, check in checks.items() if name.startswith("ledger")} == {
            "ledger": "ok",
            "ledger schema": "ok",
            "ledger writing": "ok",
            "ledger integrity": "ok",
            "ledger journal": "ok",
        }

    def test_a_damaged_ledger_fails(self, ready: Place) -> None:
        with (ready.folder / "ledger.db").open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xff" * 4096 * 4)

        code, checks = ready.checks()

        assert code in (3, 75)
        failed = [check for name, check in checks.items() if name.startswith("ledger") and check["level"] == "failed"]
        assert len(failed) == 1
        assert failed[0]["advice"]

    def test_a_ledger_that_anyone_may_read_is_a_warning(self, ready: Place) -> None:
        (ready.folder / "ledger.db").chmod(0o644)

        code, checks = ready.checks()

        assert (code, checks["ledger modes"]["level"]) == (0, "warning")

    def test_a_ledger_that_a_newer_program_wrote_fails(self, ready: Place) -> None:
        with sqlite3.connect(ready.folder / "ledger.db") as ledger:
            ledger.execute("update alembic_version set version_num = '9999'")

        code, checks = ready.checks()

        assert code == 3
        assert "upgrade mo-sync" in checks["ledger"]["advice"]

    def test_a_ledger_that_is_none_fails(self, ready: Place) -> None:
        for path in ready.folder.glob("ledger.db*"):
            path.unlink()
        (ready.folder / "ledger.db").write_bytes(b"this is no database at all" * 1000)

        code, checks = ready.checks()

        assert code in (3, 75)
        assert checks["ledger"]["level"] == "failed"
