"""Bearer tokens that an authorization server gives out, and what that server says of them.

Two ways, as it offers them: a signed token (a JWT, RFC 7519 and 9068) is checked with the server's public keys (a
JWKS, RFC 7517); any other is asked about at its introspection endpoint (RFC 7662). Both block: they belong on a thread.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

import requests

from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError, how_to_install
from mo_sync.settings import OAuth

__all__ = ["AuthoritySilent", "Introspection", "Keys", "TokenCheck"]

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only with public keys: with one that both sides know (HS256), a public key could be taken for the secret."""
_LARGEST_ANSWER: Final = 256 * 1024
_CHUNK: Final = 16 * 1024
_LEEWAY_S: Final = 60
_KEYS_GOOD_FOR_S: Final = 3600.0
_ASK_FOR_KEYS_AGAIN_S: Final = 30.0


class AuthoritySilent(Exception):
    """The authorization server did not tell; whoever has the token shall try again."""


class TokenCheck(Protocol):
    """One of the two ways."""

    def good_until(self, token: str) -> float | None:
        """When ``token`` expires (seconds since 1970), or None when it is not good. Raises AuthoritySilent."""


class Keys:
    """Checks signatures, with keys from a URL or a file. Safe to use from many threads.

    Keys of a URL are asked for again after an hour, and when a token names one that is not known; the old ones stay in
    force while the server is silent. Raises ConfigurationError when made without the libraries that it needs, or with a
    file that holds no keys.
    """

    def __init__(self, settings: OAuth, clock: Clock) -> None:
        try:
            import jwt
        except ModuleNotFoundError as error:
            raise _no_library(error) from error
        self._jwt = jwt
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Mapping[str | None, Any] = {}
        self._read_at: float | None = None
        if settings.keys_file is not None:
            self._known = self._keys_in(settings.keys_file)

    def good_until(self, token: str) -> float | None:
        """As :class:`TokenCheck` has it."""
        try:
            header = self._jwt.get_unverified_header(token)
            key = self._key(header.get("kid"))
            if key is None:
                return None
            said = self._jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return float(said["exp"]) + _LEEWAY_S if _has_scope(said, self._settings.scope) else None

    def _key(self, kid: str | None) -> Any:
        if self._settings.keys_file is not None:
            return self._known.get(kid)
        now_s = self._clock.monotonic()
        with self._lock:
            age_s = float("inf") if self._read_at is None else now_s - self._read_at
            if age_s > _KEYS_GOOD_FOR_S or (kid not in self._known and age_s > _ASK_FOR_KEYS_AGAIN_S):
                self._refresh(now_s)
            return self._known.get(kid)

    def _refresh(self, now_s: float) -> None:
        """Raises AuthoritySilent only while there are no keys at all."""
        url = str(self._settings.keys_url)
        try:
            found = self._keys_told(_answer("GET", url, self._settings))
        except AuthoritySilent:
            if not self._known:
                raise
        else:
            self._known = found
        self._read_at = now_s

    def _keys_in(self, file: Path) -> Mapping[str | None, Any]:
        """Raises ConfigurationError at the start; a file that is broken later leaves its old keys in force."""
        found = self._keys_of(_told_by(file))
        if not found:
            hint = 'give a JSON Web Key Set: {"keys": […]}'
            raise ConfigurationError("oauth-keys-invalid", f"{file} holds no keys", item="oauth.keys_file", hint=hint)
        return found

    def _keys_told(self, told: Any) -> Mapping[str | None, Any]:
        found = self._keys_of(told)
        if not found:
            raise AuthoritySilent("it tells no keys")
        return found

    def _keys_of(self, told: Any) -> Mapping[str | None, Any]:
        """By their ids; where there is one only, tokens need not name it."""
        try:
            keys = self._jwt.PyJWKSet.from_dict(told).keys
        except (self._jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError):
            return {}
        usable = {key.key_id: key for key in keys if key.public_key_use in (None, "sig")}
        return usable | {None: next(iter(usable.values()))} if len(usable) == 1 else usable


class Introspection:
    """Asks the server about each token, as ``oauth.client_id`` with ``secret``."""

    def __init__(self, settings: OAuth, clock: Clock, secret: str) -> None:
        self._settings = settings
        self._clock = clock
        self._secret = secret

    def good_until(self, token: str) -> float | None:
        """As :class:`TokenCheck` has it. Without an expiry in the answer it is good for this question."""
        settings = self._settings
        asked = {"token": token, "token_type_hint": "access_token"}
        # As RFC 6749, 2.3.1, has it: both encoded as values of a form.
        who = quote_plus(settings.client_id or ""), quote_plus(self._secret)
        url = str(settings.introspection)
        said = _answer("POST", url, settings, data=asked, auth=who)
        if not isinstance(said, dict) or not isinstance(said.get("active"), bool):
            raise AuthoritySilent("its answer is none")
        now_s = self._clock.now().timestamp()
        expires = said.get("exp", now_s)
        if not said["active"] or not isinstance(expires, int | float) or expires + _LEEWAY_S < now_s:
            return None
        if settings.issuer is not None and said.get("iss", settings.issuer) != settings.issuer:
            return None
        if settings.audience is not None and settings.audience not in _several(said.get("aud", settings.audience)):
            return None
        return float(expires) if _has_scope(said, settings.scope) else None


def _has_scope(said: Mapping[str, Any], wanted: str | None) -> bool:
    """``scope`` is the standard's, ``scp`` what others write."""
    if wanted is None:
        return True
    return wanted in [*_several(said.get("scope")), *_several(said.get("scp"))]


def _several(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split(" ")
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _answer(method: str, url: str, settings: OAuth, **more: Any) -> Any:
    """The JSON that the server answers. Raises AuthoritySilent for all else, without a word of what was asked."""
    accepting = {"Accept": "application/json"}
    try:
        with requests.request(
            method, url, headers=accepting, timeout=settings.timeout, allow_redirects=False, stream=True, **more
        ) as response:
            if response.status_code != 200:
                raise AuthoritySilent(f"status {response.status_code}")
            body = b""
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > _LARGEST_ANSWER:
                    raise AuthoritySilent("its answer is too large")
        return json.loads(body)
    except (requests.RequestException, ValueError, RecursionError) as error:
        raise AuthoritySilent(type(error).__name__) from None


def _told_by(file: Path) -> Any:
    hint = "give a JSON Web Key Set that mo-sync's user can read"
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        summary = f"{file} cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        summary = f"{file} is no JSON"
    raise ConfigurationError("oauth-keys-invalid", summary, item="oauth.keys_file", hint=hint)


def _no_library(error: ModuleNotFoundError) -> ConfigurationError:
    summary = f"a library for signed tokens is not installed ({error.name})"
    return ConfigurationError("oauth-library-missing", summary, item="oauth", hint=how_to_install("pyjwt[crypto]"))
