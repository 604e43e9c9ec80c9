"""What ``gateway.refresh`` asks of the other settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_sync.settings.load import Loaded, load
from mo_sync.settings.problems import SettingsInvalid

SECRET = "f00dbabe-not-to-be-seen"
CONSUMER = 'consumer_key_file = "key"\nconsumer_secret_file = "secret"\n'


def loaded(folder: Path, text: str, **environ: str) -> Loaded:
    (folder / "mo-sync.toml").write_text(text)
    return load(None, environ=environ, cwd=folder, system_file=folder / "etc/mo-sync.toml")


def problems(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        loaded(folder, text, **environ)
    assert SECRET not in f"{caught.value} {caught.value!r}"
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_by_default_nothing_is_refreshed_and_nothing_asked_for(tmp_path: Path) -> None:
    gateway = loaded(tmp_path, f'[gateway]\ntoken = "{SECRET}"\n').settings.gateway

    assert not gateway.refresh
    assert gateway.refresh_interval == 600.0


def test_a_token_file_with_consumer_key_and_secret_can_be_refreshed(tmp_path: Path) -> None:
    gateway = loaded(tmp_path, f'[gateway]\ntoken_file = "token"\nrefresh = true\n{CONSUMER}').settings.gateway

    assert gateway.refresh
    assert gateway.consumer_key_file == tmp_path / "key"
    assert gateway.consumer_secret_file == tmp_path / "secret"


def test_an_application_with_a_token_file_may_use_the_gateways_consumer_or_one_of_its_own(tmp_path: Path) -> None:
    text = (
        f'[gateway]\ntoken_file = "token"\nrefresh = true\n{CONSUMER}'
        f'[applications.1]\ntoken_file = "1"\n[applications.2]\ntoken_file = "2"\n{CONSUMER}'
    )
    applications = loaded(tmp_path, text).settings.applications

    assert applications["1"].consumer_secret_file is None
    assert applications["2"].consumer_secret_file == tmp_path / "secret"


def test_consumer_key_and_secret_come_from_variables_and_credentials_too(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "gateway__consumer_secret").write_text(SECRET)
    text = '[gateway]\ntoken_file = "token"\n'
    variables = {"MO_SYNC_GATEWAY__REFRESH": "true", "MO_SYNC_GATEWAY__CONSUMER_KEY": SECRET}

    found = loaded(tmp_path, text, CREDENTIALS_DIRECTORY=str(folder), **variables)

    gateway = found.settings.gateway
    assert gateway.refresh
    assert gateway.consumer_key is not None
    assert gateway.consumer_key.get_secret_value() == SECRET
    assert gateway.consumer_secret_file == folder / "gateway__consumer_secret"
    assert SECRET not in f"{found!r}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"[gateway]\nrefresh = true\n{CONSUMER}",
            [
                (
                    "gateway.refresh (mo-sync.toml, line 2): it needs gateway.token_file: "
                    "name a file that mo-sync's user may replace"
                )
            ],
        ),
        (
            f'[gateway]\ntoken = "{SECRET}"\nrefresh = true\n{CONSUMER}[applications.1]\ntoken_file = "1"\n',
            [
                (
                    "gateway.token (mo-sync.toml, line 2): gateway.refresh needs gateway.token_file instead: "
                    "name a file that mo-sync's user may replace"
                )
            ],
        ),
        (
            '[gateway]\ntoken_file = "token"\nrefresh = true\nconsumer_key_file = "key"\n',
            ["gateway.consumer_secret_file (not set): gateway.refresh needs it for gateway.token_file"],
        ),
        (
            (
                f'[gateway]\ntoken_file = "token"\nrefresh = true\n{CONSUMER}'
                '[applications.1]\ntoken_file = "1"\nconsumer_secret_file = "s"\n'
            ),
            ["applications.1.consumer_key_file (not set): gateway.refresh needs it for applications.1.token_file"],
        ),
        (
            (
                f'[gateway]\ntoken_file = "token"\nrefresh = true\n{CONSUMER}'
                f'[applications.1]\nconsumer_secret = "{SECRET}"\n'
            ),
            [
                (
                    "applications.1.consumer_secret (mo-sync.toml, line 7): "
                    "it is of no use without applications.1.token_file"
                )
            ],
        ),
    ],
)
def test_what_keeps_a_token_from_being_refreshed_is_told_with_its_place(
    text: str, told: list[str], tmp_path: Path
) -> None:
    assert problems(tmp_path, text) == told


def test_a_credential_of_systemds_cannot_be_refreshed(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "gateway__token").write_text(SECRET)

    assert problems(tmp_path, f"[gateway]\nrefresh = true\n{CONSUMER}", CREDENTIALS_DIRECTORY=str(folder)) == [
        (
            "gateway.token_file (credential gateway__token): gateway.refresh cannot replace a credential of systemd's, "
            "a read-only copy: name a file that mo-sync's user may replace"
        )
    ]
