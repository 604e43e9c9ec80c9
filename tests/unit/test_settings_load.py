"""Where settings come from, who wins, and what is said when they are wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.errors import ConfigurationError, ExitCode
from mo_sync.settings import Settings
from mo_sync.settings.changes import Changes, changes, values_of
from mo_sync.settings.keys import dotted, keys
from mo_sync.settings.load import Loaded, load
from mo_sync.settings.problems import SettingsInvalid

SECRET = "f00dbabe-not-to-be-seen"
DURATION = 'a duration like "500ms", "3s", "15m", "2h" or "30d"'
TYPES = 'content types or patterns like "image/*"'
SIZE = 'a size like "20MB", "1MiB" or "5GB"'


class Home:
    """A folder with a configuration, variables and credentials, and nothing of this machine's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {}

    def write(self, text: str, name: str = "mo-sync.toml") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def credential(self, name: str, text: str = SECRET) -> Path:
        folder = self.folder / "credentials"
        folder.mkdir(exist_ok=True)
        self.environ["CREDENTIALS_DIRECTORY"] = str(folder)
        (folder / name).write_text(text)
        return folder / name

    def load(self, path: Path | None = None, **more: str) -> Loaded:
        return load(path, environ=self.environ, cwd=self.folder, system_file=self.folder / "etc/mo-sync.toml", **more)

    def problems(self) -> list[str]:
        """What is wrong, a line each, with paths as seen from here."""
        with pytest.raises(SettingsInvalid) as caught:
            self.load()
        assert SECRET not in str(caught.value)
        return [str(problem).replace(f"{self.folder}/", "") for problem in caught.value.problems]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_anything_the_defaults_hold_and_nothing_counts_as_configured(home: Home) -> None:
    loaded = home.load()

    assert loaded.settings.gateway == Settings().gateway
    assert (loaded.path, loaded.configured) == (None, False)
    assert {origin.kind for origin in loaded.origins.values()} == {"default"}


def test_every_value_has_an_origin(home: Home) -> None:
    home.write("[applications.17226]\ntoken_file = 'x'\n")

    loaded = home.load()

    assert [dotted(name) for name in values_of(loaded.settings)] == list(loaded.origins)
    assert str(loaded.origins["applications.17226.token_file"]).endswith("mo-sync.toml, line 2")


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(home: Home) -> None:
    home.write('[sync]\nworkers = 3\nlease = "1h"\n')
    home.environ["MO_SYNC_SYNC__WORKERS"] = "5"

    loaded = home.load()

    assert (loaded.settings.sync.workers, loaded.settings.sync.lease, loaded.settings.sync.batch) == (5, 3600.0, 64)
    assert str(loaded.origins["sync.workers"]) == "MO_SYNC_SYNC__WORKERS"
    assert str(loaded.origins["sync.lease"]) == f"{home.folder}/mo-sync.toml, line 3"
    assert str(loaded.origins["sync.batch"]) == "default"


def test_a_credential_wins_over_all_and_becomes_the_token_file(home: Home) -> None:
    home.write(f'[gateway]\ntoken = "{SECRET}"\n')
    home.environ["MO_SYNC_GATEWAY__TOKEN"] = SECRET
    path = home.credential("gateway__token")

    loaded = home.load()

    assert (loaded.settings.gateway.token, loaded.settings.gateway.token_file) == (None, path)
    assert str(loaded.origins["gateway.token_file"]) == "credential gateway__token"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("gateway__token", "gateway.token_file"),
        ("gateway.token", "gateway.token_file"),
        ("GATEWAY__TOKEN", "gateway.token_file"),
        ("gateway__token_file", "gateway.token_file"),
        ("applications__17226__token", "applications.17226.token_file"),
        ("applications.AbC.token", "applications.AbC.token_file"),
    ],
)
def test_a_credential_is_named_as_its_setting(home: Home, file: str, name: str) -> None:
    home.credential(file)

    assert str(home.load().origins[name]) == f"credential {file}"


@pytest.mark.parametrize("file", ["tls.key", "database", ".hidden", "notes.txt"])
def test_credentials_that_mean_something_else_are_left_alone(home: Home, file: str) -> None:
    home.credential(file)

    assert home.load().settings == home.load().settings
    assert {origin.kind for origin in home.load().origins.values()} == {"default"}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            ["gateway__tokn"],
            "gateway.tokn (credential gateway__tokn): there is no such secret; did you mean gateway__token?",
        ),
        (
            ["sync__workers"],
            "sync.workers (credential sync__workers): this is no secret; set it in the file or the environment",
        ),
        (
            ["gateway.token", "gateway__token"],
            "gateway.token_file (credential gateway__token): credential gateway.token is given too; keep one",
        ),
    ],
)
def test_a_credential_that_cannot_be_meant_is_told(home: Home, files: list[str], problem: str) -> None:
    for file in files:
        home.credential(file)

    assert home.problems() == [problem]


def test_a_source_that_gives_the_secret_wins_over_one_that_gives_its_file(home: Home) -> None:
    home.write('[gateway]\ntoken_file = "token"\n[applications.1]\ntoken = "x"\n')
    home.environ |= {"MO_SYNC_GATEWAY__TOKEN": SECRET, "MO_SYNC_APPLICATIONS__1__TOKEN_FILE": "/run/one"}

    settings = home.load().settings

    assert settings.gateway.token is not None
    assert settings.gateway.token.get_secret_value() == SECRET
    assert settings.gateway.token_file is None
    assert (settings.applications["1"].token, settings.applications["1"].token_file) == (None, Path("/run/one"))


def test_both_a_secret_and_its_file_in_one_source_are_an_error(home: Home) -> None:
    home.write(f'[gateway]\ntoken = "{SECRET}"\ntoken_file = "x"\n')
    home.environ |= {"MO_SYNC_APPLICATIONS__1__TOKEN": SECRET, "MO_SYNC_APPLICATIONS__1__TOKEN_FILE": "y"}

    one, other = "MO_SYNC_APPLICATIONS__1__TOKEN", "MO_SYNC_APPLICATIONS__1__TOKEN_FILE"
    assert home.problems() == [
        "gateway.token (mo-sync.toml, line 2): gateway.token_file is given too (mo-sync.toml, line 3); keep only one",
        f"applications.1.token ({one}): applications.1.token_file is given too ({other}); keep only one",
    ]


def test_the_level_on_the_command_line_wins(home: Home) -> None:
    home.environ["MO_SYNC_LOG__LEVEL"] = "error"

    loaded = home.load(log_level="debug")

    assert loaded.settings.log.level == "debug"
    assert str(loaded.origins["log.level"]) == "--log-level"
    assert not loaded.configured


def test_paths_begin_at_the_file_they_stand_in(home: Home) -> None:
    path = home.write(
        '[gateway]\ntoken_file = "t"\nca_bundle = "/abs.pem"\n[drop]\npath = "in"\n'
        '[applications.1]\ntoken_file = "../1"\n[ledger]\nurl = "sqlite:///data/l.db?x=1"\n[store]\nurl = "files"\n',
        "conf/mo-sync.toml",
    )

    settings = home.load(path).settings

    conf = home.folder / "conf"
    assert (settings.gateway.token_file, settings.gateway.ca_bundle) == (conf / "t", Path("/abs.pem"))
    assert (settings.drop.path, settings.applications["1"].token_file) == (conf / "in", conf / "../1")
    assert (settings.ledger.url, settings.store.url) == (f"sqlite:///{conf}/data/l.db?x=1", f"{conf}/files")


def test_paths_in_variables_begin_at_the_current_folder_and_defaults_at_the_file(home: Home) -> None:
    path = home.write("", "conf/mo-sync.toml")
    home.environ |= {"MO_SYNC_DROP__PATH": "in", "MO_SYNC_LEDGER__URL": "sqlite:///l.db"}

    settings = home.load(path).settings

    assert settings.drop.path == home.folder / "in"
    assert settings.ledger.url == f"sqlite:///{home.folder}/l.db"
    assert settings.store.url == f"{home.folder}/conf/media"


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("ledger", "sqlite:////srv/l.db"),
        ("ledger", "sqlite+pysqlite:////srv/l.db?mode=ro"),
        ("ledger", "postgresql://mo:pass/word@db/ledger"),
        ("ledger", "postgresql+psycopg://mo@db/ledger"),
        ("store", "/srv/media"),
        ("store", "file:///srv/media"),
    ],
)
def test_addresses_that_are_not_relative_stay_as_they_are(home: Home, key: str, url: str) -> None:
    home.write(f'[{key}]\nurl = "{url}"\n')

    assert getattr(home.load().settings, key).url == url


def test_the_file_is_looked_for_in_this_order(home: Home) -> None:
    asked, named, here, system = (
        home.write(f"[sync]\nworkers = {number}\n", name)
        for number, name in enumerate(["asked.toml", "named.toml", "mo-sync.toml", "etc/mo-sync.toml"], start=1)
    )

    home.environ["MO_SYNC_CONFIG"] = str(named)
    assert (home.load(asked).path, home.load(asked).settings.sync.workers) == (asked, 1)
    assert home.load().path == named
    home.environ["MO_SYNC_CONFIG"] = ""
    assert home.load().path == here
    here.unlink()
    assert home.load().path == system


@pytest.mark.parametrize("by", ["--config", "MO_SYNC_CONFIG"])
def test_a_file_that_was_asked_for_must_be_there(home: Home, by: str) -> None:
    if by == "MO_SYNC_CONFIG":
        home.environ[by] = "gone.toml"

    with pytest.raises(ConfigurationError) as caught:
        home.load(None if by in home.environ else Path("gone.toml"))

    assert (caught.value.code, caught.value.item) == ("configuration-missing", f"{by} {home.folder}/gone.toml")
    assert caught.value.exit_code is ExitCode.CONFIGURATION


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """As a user without rights: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("shut", ["mo-sync.toml", "."])
def test_a_file_that_may_not_be_read_is_told_and_not_passed_over(home: Home, shut: str) -> None:
    home.write("")
    home.load()
    (home.folder / shut).chmod(0)

    try:
        with nobody(), pytest.raises(ConfigurationError, match="configuration-unreadable"):
            home.load()
    finally:
        (home.folder / shut).chmod(0o700)


def test_a_folder_is_no_file(home: Home) -> None:
    (home.folder / "mo-sync.toml").mkdir()

    with pytest.raises(ConfigurationError, match=r"configuration-unreadable: .*name the file itself"):
        home.load()


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("[gateway]\ntoken = abc\n", "line 2, column 9"),
        ('[gateway]\ntoken = "' + SECRET, "line 2 (the end)"),
        ("[gateway]\nproxy = 'a'\nproxy = 'b'\n", "line 3, column 12"),
        ("[sync\n", "line 1, column 6"),
    ],
)
def test_what_is_no_toml_is_told_with_line_and_column_and_without_the_line_itself(
    home: Home, text: str, item: str
) -> None:
    path = home.write(text)

    with pytest.raises(ConfigurationError) as caught:
        home.load()

    assert (caught.value.code, caught.value.item) == ("configuration-syntax", f"{path}, {item}")
    assert SECRET not in str(caught.value)


def test_what_is_not_utf_8_is_told_with_its_byte(home: Home) -> None:
    home.write("").write_bytes(b"# caf\xe9\n")

    with pytest.raises(ConfigurationError, match=r"configuration-syntax: .*mo-sync.toml, byte 6"):
        home.load()


def test_everything_that_is_wrong_is_told_at_once_each_with_its_place_and_what_is_allowed(home: Home) -> None:
    home.write(
        f'[gateway]\ntokn = "{SECRET}"\nconnect_timeout = "10 parsecs"\n'
        '[sync]\nworkers = "many"\ninterval = true\nlease = 0.5\n'
        '[drop]\nkeep = "burn"\npath = 7\n'
        '[limits]\nmax_bytes = "5 apples"\nallow_types = [\n  "image/*",\n  3,\n]\n'
        '[limits.scan_status]\nBAD = "burn"\n'
        "[gatway]\n"
    )
    home.environ |= {"MO_SYNC_LOG__LEVEL": "loud", "MO_SYNC_SYNC__WORKES": "3"}

    assert home.problems() == [
        "gateway.tokn (mo-sync.toml, line 2): there is no such setting; did you mean gateway.token?",
        "gatway (mo-sync.toml, line 19): there is no such setting; did you mean gateway?",
        "sync.workes (MO_SYNC_SYNC__WORKES): there is no such setting; did you mean sync.workers?",
        f"sync.interval (mo-sync.toml, line 6): found true, allowed is {DURATION}, more than 0",
        f'gateway.connect_timeout (mo-sync.toml, line 3): found "10 parsecs", allowed is {DURATION}, more than 0',
        "drop.path (mo-sync.toml, line 10): found 7, allowed is a path",
        'drop.keep (mo-sync.toml, line 9): found "burn", allowed is "move" or "delete"',
        'sync.workers (mo-sync.toml, line 5): found "many", allowed is a whole number, at least 1 and at most 1,024',
        f"sync.lease (mo-sync.toml, line 7): found 0.5, allowed is {DURATION}, at least 1s",
        f'limits.max_bytes (mo-sync.toml, line 12): found "5 apples", allowed is {SIZE}, at least 1B',
        f"limits.allow_types (mo-sync.toml, line 13): found 3, allowed is a list of {TYPES}",
        'limits.scan_status.BAD (mo-sync.toml, line 18): found "burn", allowed is "fetch" or "quarantine" or "refuse"',
        'log.level (MO_SYNC_LOG__LEVEL): found "loud", allowed is "debug" or "info" or "warning" or "error"',
    ]


def test_a_single_problem_is_one_sentence(home: Home) -> None:
    path = home.write("[drop]\nkeep = 0\n")

    with pytest.raises(SettingsInvalid) as caught:
        home.load()

    assert str(caught.value) == (
        f'settings-invalid: drop.keep ({path}, line 2): found 0, allowed is "move" or "delete"'
    )


@pytest.mark.parametrize(
    ("text", "name", "line", "message"),
    [
        ("gateway = 3", "gateway", 1, "this is a section: write [gateway] and keys below it"),
        ("[[gateway]]\ntoken = 'x'", "gateway", 1, "this is a section: write [gateway] and keys below it"),
        ("colour = 'blue'", "colour", 1, "there is no such setting"),
        ("[sync.batch]\nx = 1", "sync.batch.x", 2, "there is no such setting"),
        (f"[gateway]\ntoken = ['{SECRET}']", "gateway.token", 2, "found **********, allowed is a secret"),
        (
            f"[ledger]\nurl = ['postgresql://mo:{SECRET}@db/x']",
            "ledger.url",
            2,
            'found ["postgresql://mo:**********@db/x"], allowed is a text',
        ),
        ("[retry]\nbase = inf", "retry.base", 2, f"found Infinity, allowed is {DURATION}, more than 0"),
        ("[retry]\nhold = '99999d'", "retry.hold", 2, f'found "99999d", allowed is {DURATION}, more than 0'),
        (
            "[limits]\nscan_status = 'fetch'",
            "limits.scan_status",
            2,
            'found "fetch", allowed is a table of "fetch" or "quarantine" or "refuse"',
        ),
    ],
)
def test_a_mistake_in_the_file_names_its_line_and_no_secret(
    home: Home, text: str, name: str, line: int, message: str
) -> None:
    home.write(text + "\n")

    assert home.problems() == [f"{name} (mo-sync.toml, line {line}): {message}"]


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("MO_SYNC_GATWAY__TOKEN", SECRET, "there is no such setting; did you mean gateway.token?"),
        ("MO_SYNC_GATEWAY_TOKEN", SECRET, "there is no such variable; did you mean MO_SYNC_GATEWAY__TOKEN?"),
        ("MO_SYNC_DROP__KEEP", "burn", 'found "burn", allowed is "move" or "delete"'),
        ("MO_SYNC_LIMITS__ALLOW_TYPES", "[oops", f"found text that is not JSON, allowed is a list of {TYPES}, as JSON"),
        ("MO_SYNC_LIMITS__SCAN_STATUS", '{"OK": 1}', 'found 1, allowed is "fetch" or "quarantine" or "refuse"'),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(home: Home, variable: str, text: str, message: str) -> None:
    home.environ[variable] = text

    [found] = home.problems()

    assert variable in found
    assert found.endswith(message)


@pytest.mark.parametrize("variable", ["MO_SYNC_PORT", "MO_SYNC_SERVICE_HOST", "MO_SYNC_DEBUG", "MO_SYNCHRONY"])
def test_variables_that_mean_something_else_are_left_alone(home: Home, variable: str) -> None:
    home.environ[variable] = "tcp://10.0.0.1:80"

    assert not home.load().configured


def test_an_empty_variable_counts_as_not_set(home: Home) -> None:
    home.write("[sync]\nworkers = 3\n")
    home.environ["MO_SYNC_SYNC__WORKERS"] = ""

    assert home.load().settings.sync.workers == 3


def test_lists_and_tables_can_be_given_by_variables(home: Home) -> None:
    home.environ |= {
        "MO_SYNC_LIMITS__ALLOW_TYPES": "image/*, video/mp4",
        "MO_SYNC_LIMITS__DENY_TYPES": '["text/html"]',
        "MO_SYNC_LIMITS__SCAN_STATUS__Suspect": "refuse",
        "MO_SYNC_LIMITS__SCAN_STATUS__OK": "quarantine",
    }

    limits = home.load().settings.limits

    assert limits.allow_types == ("image/*", "video/mp4")
    assert limits.deny_types == ("text/html",)
    assert limits.scan_status == {"OK": "quarantine", "NONE": "fetch", "Suspect": "refuse"}


def test_a_table_as_json_wins_entry_by_entry(home: Home) -> None:
    home.write('[limits]\nscan_status = { OK = "refuse", ODD = "fetch" }\n')
    home.environ["MO_SYNC_LIMITS__SCAN_STATUS"] = '{"OK": "quarantine"}'

    loaded = home.load()

    assert loaded.settings.limits.scan_status == {"OK": "quarantine", "NONE": "fetch", "ODD": "fetch"}
    assert str(loaded.origins["limits.scan_status"]) == "MO_SYNC_LIMITS__SCAN_STATUS"


def test_sizes_of_content_types_are_a_table_whose_names_are_patterns(home: Home) -> None:
    home.write('[limits.max_bytes_of]\n"Video/*" = "100MB"\n"image/png" = 7\n')
    home.environ["MO_SYNC_LIMITS__MAX_BYTES_OF"] = '{"image/png": "1MiB"}'

    loaded = home.load()

    assert loaded.settings.limits.max_bytes_of == {"video/*": 100_000_000, "image/png": 1_048_576}
    key = keys()["limits", "max_bytes_of"]
    assert key.shown(loaded.settings.limits.max_bytes_of) == '{ "video/*" = "100MB", "image/png" = "1MiB" }'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[limits.max_bytes_of]\n"video/*" = "much"',
            f'video/* (mo-sync.toml, line 2): found "much", allowed is {SIZE}',
        ),
        ("[limits.max_bytes_of]\nvideo = 5", f'video (mo-sync.toml, line 2): found "video", allowed is {TYPES}'),
        ('[limits]\ndeny_types = ["mp4"]', f'(mo-sync.toml, line 2): found "mp4", allowed is a list of {TYPES}'),
        ('[limits]\nallow_types = ["image/*; q=1"]', f'found "image/*; q=1", allowed is a list of {TYPES}'),
    ],
)
def test_a_rule_that_could_never_match_is_an_error_and_no_rule(home: Home, text: str, problem: str) -> None:
    home.write(text)

    [found] = home.problems()

    assert found.endswith(problem)


def test_an_application_without_keys_is_an_application(home: Home) -> None:
    home.write("[applications.17226]\n")

    assert list(home.load().settings.applications) == ["17226"]


@given(
    st.dictionaries(
        st.sampled_from(["MO_SYNC_SYNC__WORKERS", "MO_SYNC_X__Y", "MO_SYNC_LIMITS__SCAN_STATUS"]), st.text()
    )
)
def test_no_text_in_a_variable_raises_anything_but_our_own_error(environ: dict[str, str]) -> None:
    """Whatever stands in the environment is a setting or a problem that is told."""
    try:
        loaded = load(None, environ=environ, cwd=Path("/nowhere"), system_file=Path("/nowhere/x"))
    except SettingsInvalid as error:
        assert error.problems
    else:
        assert isinstance(loaded.settings, Settings)


@given(st.text())
def test_no_text_in_the_file_raises_anything_but_our_own_error(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mo-sync.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            loaded = load(path, environ={}, cwd=Path(folder))
        except ConfigurationError as error:
            assert error.code in {"settings-invalid", "configuration-syntax"}
        else:
            assert loaded.path == path


def test_what_changed_is_told_by_name_and_whether_it_needs_a_restart(home: Home) -> None:
    old = home.load().settings
    home.write(
        f'[gateway]\ntoken = "{SECRET}"\n[retry]\nbase = "1s"\ngive_up_after = "1d"\n[limits]\nmax_event = "1MB"\n'
        'min_free = 0\n[log]\nlevel = "debug"\n[applications.1]\ntoken_file = "x"\n[sync]\nworkers = 64\n'
    )

    assert changes(old, home.load().settings) == Changes(
        reloadable=("retry.base", "limits.min_free", "log.level"),
        needs_restart=("gateway.token", "retry.give_up_after", "limits.max_event", "applications.1.token_file"),
    )
    assert changes(old, old) == Changes((), ())
