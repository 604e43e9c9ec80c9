"""Addresses that cannot be one are told where they stand, before anybody goes there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mo_sync.errors import ConfigurationError
from mo_sync.gateway.origins import base_of
from mo_sync.ledger.engine import connect
from mo_sync.settings import Ledger
from mo_sync.settings.load import load
from mo_sync.settings.paths import folder_of
from mo_sync.settings.problems import SettingsInvalid

SECRET = "f00dbabe-not-to-be-seen"
NAMES = ("gateway.base_url", "gateway.proxy", "ledger.url", "metrics.listen", "scan.clamd", "store.url")
WRONG = {
    "gateway.base_url": [
        ("ftp://x", 'found "ftp://x", allowed is scheme and host, like https://api.syniverse.com'),
        ("api.syniverse.com", 'found "api.syniverse.com", allowed is'),
        ("", 'found "", allowed is'),
        ("https://", 'found "https://", allowed is'),
        ("https://host:port", 'found "https://host:port", allowed is'),
        ("https://[::1", "allowed is"),
        (f"https://me:{SECRET}@host", 'found "https://**********@host", allowed is'),
        (f"https://{SECRET}@host", 'found "https://**********@host", allowed is'),
        ("https://host/?a=b", "allowed is"),
    ],
    "gateway.proxy": [("socks5://proxy", "socks5:// proxies are not supported, allowed is http:// or https://")],
    "ledger.url": [
        ("ledger.db", "; did you mean sqlite:///ledger.db?"),
        (f"mo:{SECRET}@db/x", 'found "**********", allowed is sqlite:///FILE or'),
        (f"mysql://mo:{SECRET}@db/x", "mysql:// is not supported, allowed is sqlite:///FILE or postgresql+psycopg://"),
        ("sqlite://ledger.db", "a file comes after three slashes, sqlite:///ledger.db"),
        ("sqlite://", "a ledger in memory would forget"),
        ("sqlite:///", "a ledger in memory would forget"),
        ("sqlite:///:memory:", "a ledger in memory would forget"),
        ("", 'found "", allowed is'),
    ],
    "metrics.listen": [
        ("9464", 'found "9464", allowed is HOST:PORT, like 127.0.0.1:9464'),
        ("127.0.0.1", "allowed is"),
        ("127.0.0.1:0", "allowed is"),
        ("http://127.0.0.1:9464", "allowed is"),
        ("127.0.0.1:9464/metrics", "allowed is"),
        ("me@127.0.0.1:9464", "allowed is"),
    ],
    "scan.clamd": [
        ("/run/clamd.ctl", 'found "/run/clamd.ctl", allowed is unix:/PATH or tcp://HOST:PORT'),
        ("unix:clamd.ctl", "allowed is"),
        ("tcp://scanner", "allowed is"),
        ("tcp://scanner:port", "allowed is"),
        ("http://scanner:3310", "allowed is"),
        ("", "allowed is"),
    ],
    "store.url": [
        ("s3://bucket/prefix", "s3:// needs an object store, which this version does not have yet; allowed is a fo"),
        ("file://elsewhere/media", "a file: URL names a folder of this machine"),
        ("", "it names no folder"),
    ],
}
GOOD = {
    "gateway.base_url": ["https://api.syniverse.com", "http://127.0.0.1:8080/", "HTTPS://Host/path", "http://[::1]:1"],
    "gateway.proxy": ["", "proxy:3128", "http://me:word@proxy:3128", "HTTPS://proxy"],
    "ledger.url": ["sqlite:///l.db", "sqlite:////srv/l.db", "postgresql://mo:a/b@db:5/x", "sqlite+pysqlite:///l"],
    "metrics.listen": ["127.0.0.1:9464", "localhost:80", "[::1]:9464", "0.0.0.0:1"],
    "scan.clamd": ["unix:/run/clamav/clamd.ctl", "unix:///run/c.ctl", "tcp://127.0.0.1:3310", "tcp://[::1]:3310"],
    "store.url": ["media", "/srv/media", "file:///srv/my%20media", "file://localhost/srv", "odd:name"],
}


def problems(folder: Path, name: str, value: str) -> list[str]:
    section, key = name.split(".")
    (folder / "mo-sync.toml").write_text(f"[{section}]\n{key} = '{value}'\n")
    try:
        load(None, environ={}, cwd=folder, system_file=folder / "none")
    except SettingsInvalid as error:
        assert SECRET not in str(error)
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(("name", "value", "words"), [(name, *row) for name in NAMES for row in WRONG[name]])
def test_an_address_that_cannot_be_one_is_told_with_its_line(tmp_path: Path, name: str, value: str, words: str) -> None:
    [told] = problems(tmp_path, name, value)

    assert told.startswith(f"{name} ({tmp_path}/mo-sync.toml, line 2): ")
    assert words in told


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NAMES for value in GOOD[name]])
def test_an_address_that_can_be_one_is_left_to_those_who_use_it(tmp_path: Path, name: str, value: str) -> None:
    assert problems(tmp_path, name, value) == []


def test_a_wrong_address_is_told_together_with_all_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "mo-sync.toml").write_text("[sync]\nworkers = 0\n")
    environ = {"MO_SYNC_GATEWAY__BASE_URL": "ftp://x"}

    with pytest.raises(SettingsInvalid) as caught:
        load(None, environ=environ, cwd=tmp_path, system_file=tmp_path / "none")

    assert [problem.name for problem in caught.value.problems] == ["sync.workers", "gateway.base_url"]
    assert caught.value.problems[1].place == "MO_SYNC_GATEWAY__BASE_URL"


USES: dict[str, Callable[[str], object]] = {
    "gateway.base_url": base_of,
    "ledger.url": lambda url: connect(Ledger(url=url)).dispose(),
    "store.url": folder_of,
}


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [(name, row[0], False) for name in USES for row in WRONG[name]]
    + [(name, value, True) for name in USES for value in GOOD[name]],
)
def test_the_rooms_that_use_an_address_judge_it_alike(name: str, value: str, good: bool) -> None:
    try:
        USES[name](value)
        taken = True
    except ConfigurationError:
        taken = False

    assert taken is good
