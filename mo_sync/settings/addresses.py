"""Addresses that the settings give, looked at for what can be told without going there.

The rooms that use an address refuse it too, in words of their own; but only here is it known in which file and line, or
in which variable, it stands. A password may be part of an address, also of one that cannot be read: such parts are not
shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from mo_sync.settings.keys import Name, dotted
from mo_sync.settings.problems import MASK, Given, Problem

__all__ = ["host_and_port", "wrong_addresses"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER = re.compile(r"//.*@")
_LEDGERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
_GATEWAY = "allowed is scheme and host, like https://api.syniverse.com"
_LEDGER = "allowed is sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
_STORE = "allowed is a folder"
_AUTHORITY = "allowed is https://HOST/PATH, or http:// on this machine"
_LISTEN = "allowed is HOST:PORT, like 127.0.0.1:9464"
_CLAMD = "allowed is unix:/PATH or tcp://HOST:PORT, as LocalSocket or TCPSocket in clamd.conf say"


def wrong_addresses(given: Mapping[Name, Given]) -> Iterator[Problem]:
    """What is wrong with the addresses among ``given``. What is no text is left for the validation to refuse."""
    for name, look in _LOOKS.items():
        value = given.get(name)
        if value is not None and isinstance(value.value, str) and (message := look(value.value)):
            yield Problem(dotted(name), str(value.origin), message)


def host_and_port(address: str) -> tuple[str, int]:
    """Where to listen. Raises ValueError when it is no such address.

    >>> host_and_port("127.0.0.1:9464"), host_and_port("[::1]:80")
    (('127.0.0.1', 9464), ('::1', 80))
    """
    parts = urlsplit(f"//{address}")
    if not parts.hostname or not parts.port or parts.netloc != address or "@" in address:
        raise ValueError("no host and port")
    return parts.hostname, parts.port


def _listen(address: str) -> str | None:
    try:
        host_and_port(address)
    except ValueError:
        return f"found {_shown(address)}, {_LISTEN}"
    return None


def _gateway(url: str) -> str | None:
    """``gateway.base_url``: scheme, host and perhaps a path; credentials have settings of their own."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    return None if whole and not set("@?#") & set(url) else f"found {_shown(url)}, {_GATEWAY}"


def _authority(url: str) -> str | None:
    """Keys and verdicts that come over a line that others can write to are worth nothing."""
    try:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        whole = bool(parts.hostname) and parts.port != 0 and (parts.scheme == "https" or local)
    except ValueError:
        whole = False
    return None if whole and not set("@#") & set(url) else f"found {_shown(url)}, {_AUTHORITY}"


def _path(path: str) -> str | None:
    good = path.startswith("/") and path.isascii() and path.isprintable() and not set(" ?#%") & set(path)
    return None if good else f"found {_shown(path)}, allowed is a path like /events"


def _proxy(url: str) -> str | None:
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1].lower() in ("http", "https"):
        return None
    return f"{scheme[1]}:// proxies are not supported, allowed is http:// or https://"


def _ledger(url: str) -> str | None:
    scheme = _SCHEME.match(url)
    if scheme is None:
        meant = f"; did you mean sqlite:///{url}?" if re.fullmatch(r"[\w./-]+", url) else ""
        return f"found {_shown(url)}, {_LEDGER}{meant}"
    if scheme[1] not in _LEDGERS:
        return f"{scheme[1]}:// is not supported, {_LEDGER}"
    return _ledger_file(url[scheme.end() :]) if scheme[1].startswith("sqlite") else None


def _ledger_file(rest: str) -> str | None:
    """What follows ``sqlite://``: a slash, then the file."""
    if rest and not rest.startswith("/"):
        return f"a file comes after three slashes, sqlite:///{rest.partition('?')[0]}; {_LEDGER}"
    in_memory = rest.partition("?")[0] in ("", "/", "/:memory:")
    return f"a ledger in memory would forget, {_LEDGER}" if in_memory else None


def _store(url: str) -> str | None:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return None if url.strip() and "\0" not in url else f"it names no folder, {_STORE}"
    if scheme[1].lower() != "file":
        kind = scheme[1].lower()
        return f"{kind}:// needs an object store, which this version does not have yet; {_STORE}"
    if urlsplit(url).netloc not in ("", "localhost"):
        return f"a file: URL names a folder of this machine, as in file:///srv/media; {_STORE}"
    return None


def _clamd(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        socket = parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/")
        port = parts.scheme == "tcp" and bool(parts.hostname) and bool(parts.port) and parts.path in ("", "/")
    except ValueError:
        socket = port = False
    return None if socket or port else f"found {_shown(url)}, {_CLAMD}"


def _shown(url: str) -> str:
    return json.dumps(_USER.sub(f"//{MASK}@", url) if "//" in url or "@" not in url else MASK, ensure_ascii=False)


_LOOKS: Mapping[Name, Callable[[str], str | None]] = {
    ("gateway", "base_url"): _gateway,
    ("gateway", "proxy"): _proxy,
    ("ledger", "url"): _ledger,
    ("metrics", "listen"): _listen,
    ("oauth", "introspection"): _authority,
    ("oauth", "keys_url"): _authority,
    ("relay", "listen"): _listen,
    ("relay", "path"): _path,
    ("scan", "clamd"): _clamd,
    ("store", "url"): _store,
}
