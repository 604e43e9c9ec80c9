"""The units, as systemd itself judges them: `verify`, `security`, sysusers and tmpfiles are run for real."""

from __future__ import annotations

import pwd
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mo_sync.clock import SystemClock
from mo_sync.errors import ExitCode
from mo_sync.feeds.relay.setting_up import rules_of
from mo_sync.reconciler.loop import _BREAK_OFF_S, _CLOSE_S
from mo_sync.settings import Settings, Sync
from mo_sync.settings.load import load
from tests.lacking import lacking, need

SYSTEMD = Path(__file__).parents[2] / "systemd"
INSTALLED = "/opt/mo-sync/bin/mo-sync"
SERVICES = ("mo-sync.service", "mo-sync-once.service")
RELAY = "mo-sync-relay.service"
UNITS = (*SERVICES, "mo-sync-once.timer", RELAY, "mo-sync-relay.socket")
NEEDED_VERSION = 250
HIGHEST_EXPOSURE_IN_TENTHS = 15


def program(name: str, package: str = "systemd") -> str:
    """Where the program is. Skips the test, saying what to install, where it is not."""
    return need(name, package=package)


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it; its two streams as one text in ``stdout``."""
    tool = program("systemd-analyze")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.split()[1].split(".")[0]) < NEEDED_VERSION:
        lacking(f"systemd {NEEDED_VERSION} or newer judges units without running them; here is: {version}")
    return subprocess.run(
        [tool, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60
    )


def settings_of(unit: str) -> dict[str, list[str]]:
    """Every ``Key=value`` of a unit, in order; a key may stand several times."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / unit).read_text().splitlines():
        if re.match(r"[A-Z][A-Za-z]*=", line):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def exit_codes(unit: str, key: str) -> set[ExitCode]:
    """The exit codes that a setting lists."""
    return {ExitCode(int(code)) for code in " ".join(settings_of(unit)[key]).split()}


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units as they stand, but for the program: one that exists on this machine."""
    beside = Path(sys.executable).parent / "mo-sync"
    existing = beside if beside.exists() else Path(sys.executable)
    for unit in UNITS:
        (tmp_path / unit).write_text((SYSTEMD / unit).read_text().replace(INSTALLED, str(existing)))
    return tmp_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder in which systemd-sysusers made our user."""
    (tmp_path / "etc").mkdir()
    tool = program("systemd-sysusers")
    subprocess.run([tool, f"--root={tmp_path}", SYSTEMD / "mo-sync.sysusers.conf"], check=True, timeout=60)
    return tmp_path


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line_of_a_unit(units: Path, unit: str) -> None:
    verdict = systemd_analyze("verify", "--recursive-errors=no", "--man=no", str(units / unit))

    ours = [line for line in verdict.stdout.splitlines() if "mo-sync" in line]
    assert (verdict.returncode, ours) == (0, [])


def test_systemd_would_have_complained_of_a_line_it_does_not_understand(units: Path) -> None:
    with (units / "mo-sync.service").open("a") as unit:
        unit.write("ProtectEverything=yes\n")

    verdict = systemd_analyze("verify", "--recursive-errors=no", "--man=no", str(units / "mo-sync.service"))

    assert "ProtectEverything" in verdict.stdout


@pytest.mark.parametrize("unit", [*SERVICES, RELAY])
def test_a_service_is_exposed_to_little(units: Path, unit: str) -> None:
    threshold = f"--threshold={HIGHEST_EXPOSURE_IN_TENTHS}"

    verdict = systemd_analyze("security", "--offline=true", "--no-pager", threshold, str(units / unit))

    exposed = [line for line in verdict.stdout.splitlines() if "✓" not in line]
    assert verdict.returncode == 0, "\n".join(exposed)


def test_both_services_are_the_same_user_in_the_same_cage() -> None:
    parts = [(SYSTEMD / unit).read_text().split("# --- who it is", 1)[1] for unit in SERVICES]

    assert parts[0] == parts[1]


@pytest.mark.parametrize("unit", UNITS)
def test_settings_stand_under_a_comment_that_says_why(unit: str) -> None:
    body = re.split(r"^\[(?:Service|Timer|Socket)\]$", (SYSTEMD / unit).read_text(), maxsplit=1, flags=re.MULTILINE)[1]
    body = body.partition("\n[")[0]
    groups = re.split(r"\n\s*\n", body)

    assert any("=" in group for group in groups)
    assert [group for group in groups if group.strip() and not group.lstrip().startswith("#")] == []


@pytest.mark.parametrize("unit", SERVICES)
def test_a_stop_leaves_running_fetches_their_time(unit: str) -> None:
    (timeout_s,) = settings_of(unit)["TimeoutStopSec"]

    settings, threads_s = Settings(), 0.5 + 2.0
    worst_s = settings.ledger.busy_timeout + settings.sync.stop_grace + _BREAK_OFF_S + 2 * _CLOSE_S + threads_s
    assert int(timeout_s) >= 1.25 * worst_s


@pytest.mark.parametrize("unit", SERVICES)
def test_as_many_threads_may_run_as_workers_may_be_set(unit: str) -> None:
    (tasks,), (files,) = settings_of(unit)["TasksMax"], settings_of(unit)["LimitNOFILE"]
    most = next(bound.le for bound in Sync.model_fields["workers"].metadata if hasattr(bound, "le"))

    assert int(tasks) > most
    assert int(files) > 4 * most


def test_the_daemon_is_not_started_again_for_what_does_not_mend_itself() -> None:
    assert exit_codes("mo-sync.service", "RestartPreventExitStatus") == {ExitCode.USAGE, ExitCode.CONFIGURATION}


def test_a_pass_fails_the_unit_only_when_the_pass_itself_went_wrong() -> None:
    expected = {ExitCode.WORK_REMAINS, ExitCode.NEEDS_A_PERSON}

    assert exit_codes("mo-sync-once.service", "SuccessExitStatus") == expected


@pytest.mark.parametrize("unit", SERVICES)
def test_the_installed_settings_fit_the_service(unit: str, tmp_path: Path) -> None:
    """Everything that is written lies in the state directory, and the credential is taken for the gateway's token."""
    (credential,), (state,) = settings_of(unit)["LoadCredential"], settings_of(unit)["StateDirectory"]
    token = tmp_path / credential.partition(":")[0]
    token.write_text("a token\n")

    loaded = load(SYSTEMD / "mo-sync.toml", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, cwd=Path("/"))

    home = Path("/var/lib") / state
    settings = loaded.settings
    written = (settings.drop.path, Path(settings.ledger.url.removeprefix("sqlite:///")), Path(settings.store.url))
    assert [path for path in written if path is None or home not in path.parents] == []
    assert settings.gateway.token_file == token


def test_the_relays_settings_fit_its_service(tmp_path: Path) -> None:
    """It writes to what it sees of the state directory, and the credential is taken for those who may post."""
    (credential,) = settings_of(RELAY)["LoadCredential"]
    users = tmp_path / credential.partition(":")[0]
    users.write_text("ess:a-long-password\n")

    settings = load(SYSTEMD / "relay.toml", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, cwd=Path("/")).settings

    assert settings_of(RELAY)["BindPaths"] == [str(settings.drop.path)]
    assert settings.relay.basic_file == users
    assert rules_of(settings, SystemClock()).users


def test_the_relay_is_given_its_grace_and_is_another_user_with_the_same_hardening() -> None:
    (timeout_s,) = settings_of(RELAY)["TimeoutStopSec"]
    assert int(timeout_s) > Settings().sync.stop_grace + 2 * 2.0
    own, daemon = settings_of(RELAY), settings_of("mo-sync.service")
    assert set(own["User"]) & set(daemon["User"]) == set()
    hardening = (
        "CapabilityBoundingSet",
        "NoNewPrivileges",
        "SystemCallFilter",
        "ProtectSystem",
        "MemoryDenyWriteExecute",
    )
    assert [own[name] for name in hardening] == [daemon[name] for name in hardening]


def test_sysusers_makes_a_user_that_nobody_can_log_in_as(root: Path) -> None:
    users = [pwd.struct_passwd(line.split(":")) for line in (root / "etc/passwd").read_text().splitlines()]
    groups = [line.split(":")[0] for line in (root / "etc/group").read_text().splitlines()]

    assert sorted((user.pw_name, user.pw_dir, user.pw_shell) for user in users) == [
        ("mo-sync", "/var/lib/mo-sync", "/usr/sbin/nologin"),
        ("mo-sync-relay", "/", "/usr/sbin/nologin"),
    ]
    assert sorted(groups) == ["mo-sync", "mo-sync-relay"]


@pytest.mark.root
def test_tmpfiles_makes_a_drop_folder_for_the_group_and_the_rest_for_the_service(root: Path) -> None:
    _, _, uid, gid, *_ = next(
        line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("mo-sync:")
    )
    tool = program("systemd-tmpfiles")

    subprocess.run([tool, "--create", f"--root={root}", SYSTEMD / "mo-sync.tmpfiles.conf"], check=True, timeout=60)

    made = {path: (root / path).stat() for path in ("etc/mo-sync", "var/lib/mo-sync", "var/lib/mo-sync/drop")}
    assert {path: (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) for path, st in made.items()} == {
        "etc/mo-sync": (0o750, 0, int(gid)),
        "var/lib/mo-sync": (0o750, int(uid), int(gid)),
        "var/lib/mo-sync/drop": (0o3770, int(uid), int(gid)),
    }
