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

__all__ = ["Credentials", "Refreshable"]

_LARGEST_FILE = 64 * 1024
_CONSUMER = ("consumer_key", "consumer_secret")


@dataclass(frozen=True, slots=True)
class _Read:
    """What a token file held when it had this ``identity`` (device, inode, mtime in ns, size)."""

    identity: tuple[int, int, int, int]
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refreshable:
    """A token that may be exchanged for a new one: the setting and the file it stands in, and who may ask for it."""

    item: str
    path: Path
    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)


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
        section, name = self._section(application_id)
        if _given(section):
            return self._token(section, name)
        raise ConfigurationError(
            Trouble.TOKEN_MISSING,
            f"there is no token for application {application_id!r}",
            item="gateway.token_file",
            hint=f"set gateway.token_file, or token_file in [applications.{application_id}]",
        )

    def refreshable(self, application_id: str) -> Refreshable | None:
        """What it takes to refresh the token of ``application_id``; None when it is not to be refreshed.

        The consumer key and secret are the application's own, else the gateway's, and read anew each time. Raises
        ConfigurationError (``consumer-key-missing`` and the like), as :meth:`token_for` does for tokens.
        """
        section, name = self._section(application_id)
        if not self._gateway.refresh or section.token_file is None:
            return None
        own = any(getattr(section, part) or getattr(section, f"{part}_file") for part in _CONSUMER)
        holder, place = (section, name) if own else (self._gateway, "gateway")
        key, secret = (_consumer(holder, part, place) for part in _CONSUMER)
        return Refreshable(f"{name}.token_file", section.token_file, key, secret)

    def reload(self) -> None:
        """Forget what was read from files: the next one who asks reads them again."""
        self._read = {}

    def _section(self, application_id: str) -> tuple[settings.Gateway | settings.Application, str]:
        """Where the token of an application stands: its own section if that has one, else the gateway's."""
        own = self._applications.get(application_id)
        if own is not None and _given(own):
            return own, f"applications.{application_id}"
        return self._gateway, "gateway"

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
                known = _Read(identity, _checked(_content(path, found.st_mode), f"{item} ({path})"))
                self._read[path] = known
        except OSError as error:
            raise _unread(error, path, item) from error
        return known.token


def _given(section: settings.Gateway | settings.Application) -> bool:
    return section.token is not None or section.token_file is not None


def _consumer(section: settings.Gateway | settings.Application, part: str, place: str) -> str:
    """The consumer key or secret that ``section`` holds or names a file for."""
    noun, file = part.replace("_", " "), getattr(section, f"{part}_file")
    value: SecretStr | None = getattr(section, part)
    if value is not None:
        return _checked(value, f"{place}.{part}", noun)
    if file is None:
        hint = f"set {place}.{part}_file"
        raise ConfigurationError(_code(noun, "missing"), f"there is no {noun}", item=f"{place}.{part}_file", hint=hint)
    try:
        return _checked(_content(file, file.stat().st_mode), f"{place}.{part}_file = {file}", noun)
    except OSError as error:
        raise _unread(error, file, f"{place}.{part}_file", noun) from error


def _content(path: Path, mode: int) -> SecretStr:
    if not stat.S_ISREG(mode):
        raise OSError("it is not a plain file")
    with path.open("rb") as file:
        return SecretStr(file.read(_LARGEST_FILE).decode("latin-1"))


def _code(noun: str, trouble: str) -> str:
    """The code of an error; that of a token is a :class:`Trouble` too."""
    return f"{noun.replace(' ', '-')}-{trouble}"


def _unread(error: OSError, path: Path, item: str, noun: str = "token") -> ConfigurationError:
    where = f"{item} ({path})"
    if isinstance(error, FileNotFoundError):
        hint = f"write the {noun} into it, alone on its first line"
        return ConfigurationError(_code(noun, "missing"), "the file does not exist", item=where, hint=hint)
    summary = f"the file cannot be read ({error.strerror or error})"
    return ConfigurationError(_code(noun, "unreadable"), summary, item=where, hint="let mo-sync read it")


def _checked(secret: SecretStr, item: str, noun: str = "token") -> str:
    """The token without the blanks around it, if a header can carry it."""
    token = secret.get_secret_value().strip()
    if not token:
        raise ConfigurationError(_code(noun, "invalid"), "it is empty", item=item, hint=f"write the {noun} into it")
    # b64token of RFC 6750 is narrower still; Latin-1 without blanks is what http.client can send unharmed.
    if not all("!" <= char <= "~" or "\xa1" <= char <= "\xff" for char in token):
        summary = "it holds a blank, a control character or one that a header cannot carry"
        hint = f"write the {noun} alone into it, without 'Bearer' and on one line"
        raise ConfigurationError(_code(noun, "invalid"), summary, item=item, hint=hint)
    return token
