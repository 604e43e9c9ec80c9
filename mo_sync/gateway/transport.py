"""Requests on their way: a session a thread, proxies, certificates, time limits. Nothing here knows the API."""

from __future__ import annotations

import errno
import logging
import ssl
import threading
import weakref
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy, should_bypass_proxies
from urllib3.util.ssl_ import create_urllib3_context

from mo_sync import settings
from mo_sync.errors import ConfigurationError, shortage
from mo_sync.gateway.origins import is_loopback
from mo_sync.gateway.troubles import trouble_of
from mo_sync.gateway.watch import POOL_CLASSES, Watch
from mo_sync.verdicts import Trouble

__all__ = ["Proxies", "Transport"]

_POOLS: Final = 4
"""Hosts that a thread stays connected to: the gateway, a store that it redirects to, and two to spare."""


class Proxies:
    """Which proxy leads to an address: the configured one, else the environment's, read once.

    The environment's are never asked for this machine's own loopback addresses, which they could not reach.
    """

    def __init__(self, configured: str | None) -> None:
        """Raises ConfigurationError ``proxy-invalid`` for a proxy that does not speak HTTP."""
        self._configured = configured
        self._environment = {} if configured else getproxies()
        if configured:
            _must_speak_http(configured, "gateway.proxy")
        for scheme, proxy in self._environment.items():
            if scheme in ("http", "https", "all"):
                _must_speak_http(proxy, f"{scheme}_proxy (environment)")
        self._known: dict[str, dict[str, str]] = {}

    def __repr__(self) -> str:
        return f"Proxies(configured={self._configured is not None})"

    def towards(self, url: str) -> dict[str, str]:
        """What ``requests`` calls proxies, for the origin of ``url``."""
        parts = urlsplit(url)
        known = self._known.get(parts.netloc)
        if known is None:
            proxy = self._choose(url)
            known = {"http": proxy, "https": proxy} if proxy else {}
            self._known[parts.netloc] = known
        return known

    def _choose(self, url: str) -> str | None:
        if self._configured or not self._environment:
            return self._configured
        bypassed = is_loopback(url) or should_bypass_proxies(url, no_proxy=None)
        return None if bypassed else select_proxy(url, self._environment)


def _must_speak_http(proxy: str, item: str) -> None:
    # The environment's may come without a scheme ("proxy:3128"), which everybody takes for http.
    scheme = proxy.partition("://")[0].lower() if "://" in proxy else "http"
    if scheme not in ("http", "https"):
        hint = "give an http:// or https:// proxy, or set gateway.proxy"
        raise ConfigurationError("proxy-invalid", f"{scheme} proxies are not supported", item=item, hint=hint)


class Transport:
    """Sends prepared requests. Safe to use from many threads: each has a session, and so connections, of its own."""

    def __init__(self, gateway: settings.Gateway) -> None:
        """Raises ConfigurationError for a proxy or a CA bundle that is no use."""
        # urllib3's debug and warning lines hold addresses, and a content address is a secret.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._connect_timeout_s = gateway.connect_timeout
        self._proxies = Proxies(gateway.proxy)
        self._context = _trusting(gateway.ca_bundle)
        self._of_this_thread = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._sessions_lock = threading.Lock()

    def send(self, prepared: requests.PreparedRequest, watch: Watch) -> requests.Response:
        """The answer to ``prepared``: its head, the body still to be read. Redirects are not followed.

        A connection that was kept from an earlier call may end in the moment it is used again: then, once, a new one
        is made. So what is asked must be harmless when asked twice, as minting a token and reading are.
        Raises what :data:`mo_sync.gateway.troubles.CAUGHT` lists, and Stopped or TotalTimeout of ``watch``.
        """
        watch.connected = False
        try:
            return self._send(prepared, watch)
        except requests.ConnectionError as error:
            if watch.connected or trouble_of(error) is not Trouble.RESET:
                raise
        return self._send(prepared, watch)

    def close(self) -> None:
        """Close the connections that lie idle; those in use close when their answers are read."""
        with self._sessions_lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.close()

    def _send(self, prepared: requests.PreparedRequest, watch: Watch) -> requests.Response:
        left_s = watch.check()
        timeouts = (min(self._connect_timeout_s, left_s), watch.idle_s)
        proxies = self._proxies.towards(prepared.url or "")
        with watch.on_this_thread():
            return self._session().send(
                prepared, stream=True, timeout=timeouts, proxies=proxies, allow_redirects=False, verify=True
            )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._of_this_thread, "session", None)
        if session is None:
            session = self._of_this_thread.session = _session(self._context)
            with self._sessions_lock:
                self._sessions.add(session)
        return session


class _Session(requests.Session):
    """A session that never looks at redirects: even unfollowed, requests would read their whole body for us."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  requests names it
        return None


class _Adapter(HTTPAdapter):
    """Connections that wait under a watch and share one TLS context (loading certificates costs 10 ms a time)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=_POOLS, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **more)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        more |= {"ssl_context": self._context, "proxy_ssl_context": self._context}
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = POOL_CLASSES
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context does it, and always; requests would load the bundle again for each connection."""


def _session(context: ssl.SSLContext) -> requests.Session:
    session = _Session()
    session.trust_env = False
    # What we send never takes cookies from the jar: let nothing gather in it.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(context)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _trusting(ca_bundle: Path | None) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    bundle = ca_bundle or Path(DEFAULT_CA_BUNDLE_PATH)
    try:
        if bundle.is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError as error:
        if error.errno == errno.ENOMEM and (short := shortage(MemoryError())):
            raise short from error
        summary = f"the certificates cannot be read ({error.strerror or 'not PEM'})"
        hint = "give a PEM file, or a folder made by c_rehash"
        item = f"gateway.ca_bundle = {bundle}"
        raise ConfigurationError("ca-bundle-invalid", summary, item=item, hint=hint) from error
    return context
