"""Which token speaks for an application."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from mo_sync.errors import ConfigurationError
from mo_sync.gateway.credentials import Credentials
from mo_sync.settings import Application, Gateway

SECRET = "s3cret-token"


def credentials(gateway: Gateway | None = None, **applications: Application) -> Credentials:
    return Credentials(gateway or Gateway(), {name.strip("_"): section for name, section in applications.items()})


def code_of(found: Credentials, application_id: str = "17226") -> str:
    with pytest.raises(ConfigurationError) as caught:
        found.token_for(application_id)
    assert SECRET not in f"{caught.value!r} {caught.value}"
    return caught.value.code


def test_an_applications_own_token_goes_before_the_gateways() -> None:
    found = credentials(Gateway(token=SecretStr("common")), _17226=Application(token=SecretStr("own")))

    assert found.token_for("17226") == "own"
    assert found.token_for("99") == "common"


def test_an_application_without_a_token_of_its_own_uses_the_gateways() -> None:
    assert credentials(Gateway(token=SecretStr("common")), _17226=Application()).token_for("17226") == "common"


def test_no_token_at_all_is_an_error_that_names_the_application() -> None:
    with pytest.raises(ConfigurationError, match=r"token-missing.*17226.*gateway\.token_file"):
        credentials().token_for("17226")


def test_a_file_is_read_without_the_blanks_around_its_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"\n {SECRET} \r\n")

    assert credentials(Gateway(token_file=file)).token_for("17226") == SECRET


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    found = credentials(Gateway(token_file=file))
    found.token_for("17226")
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("read again"))

    assert found.token_for("17226") == "first"


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    file, new = tmp_path / "token", tmp_path / "new"
    file.write_text("first")
    found = credentials(Gateway(token_file=file))
    found.token_for("17226")
    new.write_text("other")
    new.rename(file)

    assert found.token_for("17226") == "other"


def test_a_rewritten_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    found = credentials(Gateway(token_file=file))
    found.token_for("17226")
    file.write_text("other")
    os.utime(file, ns=(1, 1))

    assert found.token_for("17226") == "other"


def test_a_reload_reads_even_what_looks_the_same(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    os.utime(file, ns=(1, 1))
    found = credentials(Gateway(token_file=file))
    found.token_for("17226")
    file.write_text("other")
    os.utime(file, ns=(1, 1))
    found.reload()

    assert found.token_for("17226") == "other"


@pytest.mark.parametrize(
    "token", ["", "  \n", f"{SECRET}\n{SECRET}", f"Bearer {SECRET}", f"{SECRET}\x00", f"{SECRET}\x85x", f"{SECRET}€"]
)
def test_what_a_header_cannot_carry_is_refused(token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")

    assert code_of(credentials(Gateway(token=SecretStr(token)))) == "token-invalid"
    assert code_of(credentials(Gateway(token_file=file))) == "token-invalid"


def test_a_missing_file_is_a_missing_token_until_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "token"
    found = credentials(Gateway(token_file=file))
    missing = code_of(found)
    file.write_text(SECRET)

    assert missing == "token-missing"
    assert found.token_for("17226") == SECRET


def test_a_folder_or_a_pipe_is_unreadable_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert code_of(credentials(Gateway(token_file=tmp_path))) == "token-unreadable"
    assert code_of(credentials(Gateway(token_file=tmp_path / "pipe"))) == "token-unreadable"


def test_no_token_is_in_a_repr(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    found = credentials(Gateway(token_file=file), _1=Application(token=SecretStr(SECRET)))
    found.token_for("17226")

    assert SECRET not in f"{found!r} {vars(found)!r}"
