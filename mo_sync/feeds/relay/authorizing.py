"""From ``[oauth]`` to the check of bearer tokens, or to what is missing for it."""

from __future__ import annotations

from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError
from mo_sync.feeds.relay.authority import Introspection, Keys, TokenCheck
from mo_sync.feeds.relay.tokens import Tokens
from mo_sync.settings import OAuth

__all__ = ["tokens_of"]


def tokens_of(oauth: OAuth, clock: Clock, secret: str | None) -> Tokens | None:
    """None when nothing is set. ``secret`` is the client's. Raises ConfigurationError for half of a way."""
    with_keys = oauth.keys_url is not None or oauth.keys_file is not None
    if oauth == OAuth():
        return None
    if with_keys and oauth.introspection is not None:
        raise _unfit("oauth.introspection", "keys are given too", "give one way to check tokens, keys or introspection")
    if oauth.keys_url is not None and oauth.keys_file is not None:
        raise _unfit("oauth.keys_file", "oauth.keys_url is given too", "keep only one")
    if not with_keys and oauth.introspection is None:
        raise _unfit("oauth", "it says no way to check a token", "set keys_url, keys_file or introspection")
    return Tokens(_by_keys(oauth, clock) if with_keys else _by_asking(oauth, clock, secret), clock)


def _by_keys(oauth: OAuth, clock: Clock) -> TokenCheck:
    for name in ("issuer", "audience"):
        if not getattr(oauth, name):
            hint = "without it, a token that was given out for another service would do"
            raise _unfit(f"oauth.{name}", "signed tokens are checked for it, and it is not set", hint)
    return Keys(oauth, clock)


def _by_asking(oauth: OAuth, clock: Clock, secret: str | None) -> TokenCheck:
    if not oauth.client_id or not secret:
        hint = "set oauth.client_id and oauth.client_secret_file, as the authorization server knows mo-sync"
        raise _unfit("oauth.client_id", "introspection needs a client's id and secret", hint)
    return Introspection(oauth, clock, secret.strip())


def _unfit(item: str, summary: str, hint: str) -> ConfigurationError:
    return ConfigurationError("oauth-incomplete", summary, item=item, hint=hint)
