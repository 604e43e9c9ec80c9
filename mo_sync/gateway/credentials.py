"""Which token speaks for an application, and where it is kept."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from mo_sync import settings
from mo_sync.errors import ConfigurationError
from mo_sync.verdicts import Trouble

__all__ = ["Credentials"]

_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Read:
    """What a token file held when it had this ``identity`` (device, inode, mtime in ns, size)."""

    identity: tuple[int, int, int, int]
    token: str = field(repr=False)


class Credentials:
    """The tokens of all applications: an application's own, else the gateway's.

    A token file is read when first asked for and again when it was written or replaced, or after :meth:`reload`, so
    that a token can be exchanged under a running daemon. Safe to use from many threads: the only thing shared is a
    dictionary of frozen values, and reading a file twice does no harm.
    """

    def __init__(self, gateway: settings.Gateway, applications: Mapping[str, settings.Application]) -> None:
        self._gateway = gateway
        self._applications = dict(applications)
        self._read: dict[Path, _Read] = {}

    def __repr__(self) -> str:
        return f"Credentials({len(self._applications)} applications with tokens of their own)"

    def token_for(self, application_id: str) -> str:
        """The token that speaks for ``application_id``.

        Raises ConfigurationError ``token-missing`` (none is configured, or its file is gone), ``token-unreadable`` or
        ``token-invalid`` (empty, or with characters that a header cannot carry). No error holds the token.
        """
        own = self._applications.get(application_id)
        if own is not None and _given(own):
            return self._token(own, f"applications.{application_id}")
        if _given(self._gateway):
            return self._token(self._gateway, "gateway")
        raise ConfigurationError(
            Trouble.TOKEN_MISSING,
            f"there is no token for application {application_id!r}",
            item="gateway.token_file",
            hint=f"set gateway.token_file, or token_file in [applications.{application_id}]",
        )

    def reload(self) -> None:
        """Forget what was read from files: the next one who asks reads them again."""
        self._read = {}

    def _token(self, section: settings.Gateway | settings.Application, name: str) -> str:
        if section.token is not None:
            return _checked(section.token, f"{name}.token")
        assert section.token_file is not None  # noqa: S101  one of the two is given, or we were not called
        return self._from_file(section.token_file, f"{name}.token_file")

    def _from_file(self, path: Path, item: str) -> str:
        try:
            found = path.stat()
            identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._read.get(path)
            if known is None or known.identity != identity:
                known = _Read(identity, _checked(_content(path, found.st_mode), f"{item} = {path}"))
                self._read[path] = known
        except OSError as error:
            raise _unread(error, path, item) from error
        return known.token


def _given(section: settings.Gateway | settings.Application) -> bool:
    return section.token is not None or section.token_file is not None


def _content(path: Path, mode: int) -> SecretStr:
    if not stat.S_ISREG(mode):
        raise OSError("it is not a plain file")
    with path.open("rb") as file:
        return SecretStr(file.read(_LARGEST_FILE).decode("latin-1"))


def _unread(error: OSError, path: Path, item: str) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        hint = "write the token into it, alone on its first line"
        return ConfigurationError(Trouble.TOKEN_MISSING, "the file does not exist", item=f"{item} = {path}", hint=hint)
    summary = f"the file cannot be read ({error.strerror or error})"
    return ConfigurationError(Trouble.TOKEN_UNREADABLE, summary, item=f"{item} = {path}", hint="let mo-sync read it")


def _checked(secret: SecretStr, item: str) -> str:
    """The token without the blanks around it, if a header can carry it."""
    token = secret.get_secret_value().strip()
    if not token:
        raise ConfigurationError(Trouble.TOKEN_INVALID, "it is empty", item=item, hint="write the token into it")
    # b64token of RFC 6750 is narrower still; Latin-1 without blanks is what http.client can send unharmed.
    if not all("!" <= char <= "~" or "\xa1" <= char <= "\xff" for char in token):
        summary = "it holds a blank, a control character or one that a header cannot carry"
        hint = "write the token alone into it, without 'Bearer' and on one line"
        raise ConfigurationError(Trouble.TOKEN_INVALID, summary, item=item, hint=hint)
    return token
