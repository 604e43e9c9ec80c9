"""From settings to a relay: who may post, where it listens, what it needs; alone or beside the daemon."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr

from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError
from mo_sync.feeds.dropnames import takeable
from mo_sync.feeds.relay.admission import Rules, networks_of, users_of, words_of
from mo_sync.feeds.relay.authorizing import tokens_of
from mo_sync.feeds.relay.commit import Committer
from mo_sync.feeds.relay.serving import RelayServer, bound
from mo_sync.feeds.relay.sinks import LedgerSink, SpoolSink
from mo_sync.feeds.relay.spool import Spool, adopt
from mo_sync.intake import Intake
from mo_sync.settings import Relay, Settings
from mo_sync.settings.addresses import host_and_port

__all__ = ["Listening", "rules_of"]

_log = structlog.get_logger(__name__)

_MOST_WAITING: Final = 64 * 1024 * 1024
_FIRST_HANDED_DOWN: Final = 3
_SWITCH_S: Final = 0.0005


def rules_of(settings: Settings, clock: Clock) -> Rules:
    """Who may post. Raises ConfigurationError for unreadable secrets, and for an open door on a public address."""
    relay, oauth = settings.relay, settings.oauth
    users = _secret(relay.basic, relay.basic_file, "relay.basic")
    tokens = _secret(relay.bearer, relay.bearer_file, "relay.bearer")
    rules = Rules(
        users=users_of(users, "relay.basic") if users is not None else (),
        tokens=words_of(tokens, "relay.bearer") if tokens is not None else (),
        oauth=tokens_of(oauth, clock, _secret(oauth.client_secret, oauth.client_secret_file, "oauth.client_secret")),
        networks=networks_of(relay.networks, "relay.networks"),
        proxies=networks_of(relay.trusted_proxies, "relay.trusted_proxies"),
        anonymous=relay.anonymous,
    )
    closed = rules.users or rules.tokens or rules.oauth or relay.client_ca is not None or relay.anonymous
    if not closed and not _is_local(relay.listen):
        raise ConfigurationError(
            "relay-open-to-all",
            "anybody could post there",
            item=f"relay.listen = {relay.listen}",
            hint="set relay.basic_file, relay.bearer_file, [oauth] or relay.client_ca; or relay.anonymous = true",
        )
    return rules


class Listening:
    """A relay, from its start to its end. ``intake`` is where there is a ledger; without it there are segments only.

    ``environ`` may hold sockets that systemd handed down (sd_listen_fds(3)); else ``relay.listen`` is bound.
    ``recorded`` is called after events were recorded in the ledger, by another thread.
    """

    name = "relay"

    def __init__(
        self,
        settings: Settings,
        worker: str,
        clock: Clock,
        *,
        environ: Mapping[str, str],
        intake: Intake | None = None,
        recorded: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._environ = environ
        self._intake = intake
        self._recorded = recorded
        self._folder = _folder(settings)
        relay = settings.relay
        self._spool = Spool(self._folder, worker, clock, rotate_s=relay.rotate, rotate_bytes=relay.rotate_bytes)
        self._server: RelayServer | None = None

    def start(self) -> None:
        """See that events can be kept, then listen. Raises MoSyncError."""
        relay = self._settings.relay
        rules = rules_of(self._settings, self._clock)
        if self._intake is None:
            self._spool.probe()
        else:
            # Every request waits for the interpreter several times, 5 ms each while somebody else computes: the 99th
            # percentile of the answers is four times as long then as with this.
            sys.setswitchinterval(_SWITCH_S)
        adopt(self._folder, self._clock)
        sockets = _handed_down(self._environ) or [bound(_address(relay))]
        reads = self._intake is not None
        self._server = RelayServer(relay, rules, sockets, self._clock, self._committer, reads=reads)
        self._server.start()
        if relay.anonymous:
            _log.warning("relay.anonymous", hint="relay.anonymous lets anybody post who can reach it")
        _log.info("relay.listening", addresses=[str(one.getsockname()) for one in sockets], alone=self._intake is None)

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._server is not None and self._server.alive

    @property
    def crowded(self) -> bool:
        """Whether so much arrives that what is in the drop folder had better wait a moment."""
        return self._server is not None and self._server.crowded

    def reload(self, settings: Settings) -> None:
        """Take over users, tokens, networks and certificates. Raises ConfigurationError, and then nothing changed."""
        if self._server is not None:
            self._server.reload(rules_of(settings, self._clock))

    def stop(self, *, grace_s: float) -> bool:
        """Accept no more, keep what was read, hand over the segment. Whether all of it ended in time."""
        ended = self._server is None or self._server.stop(grace_s=grace_s)
        if ended:
            self._spool.close()
        return ended

    def _committer(self) -> Committer:
        limits, relay = self._settings.limits, self._settings.relay
        ledger = None
        if self._intake is not None:
            ledger = LedgerSink(self._intake, max_event=limits.max_event, recorded=self._recorded)
        return Committer(
            ledger,
            SpoolSink(self._spool, max_event=limits.max_event),
            self._clock,
            timeout_s=relay.commit_timeout,
            most_waiting=_MOST_WAITING,
        )


def _folder(settings: Settings) -> Path:
    folder = settings.drop.path
    if folder is None:
        hint = "set drop.path: what the ledger does not take in time is kept there, and mo-sync takes it from there"
        raise ConfigurationError("relay-without-drop", "the relay needs the drop folder", item="drop.path", hint=hint)
    if not takeable("relay-20261123T120000-host-1-0-000001.ndjson", settings.drop.pattern):
        hint = "let the pattern match relay-*.ndjson too"
        raise ConfigurationError("relay-not-taken", "its segments would never be taken", item="drop.pattern", hint=hint)
    return folder


def _address(relay: Relay) -> str:
    if relay.listen is None:
        hint = "set relay.listen, as in 127.0.0.1:8080, or start it by mo-sync-relay.socket"
        raise ConfigurationError("relay-listen-missing", "no address is given", item="relay.listen", hint=hint)
    return relay.listen


def _is_local(listen: str | None) -> bool:
    """Sockets that systemd hands down may be anywhere."""
    if listen is None:
        return False
    host, _ = host_and_port(listen)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _handed_down(environ: Mapping[str, str]) -> list[socket.socket]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environ.get("LISTEN_FDS", "0") or "0")
    return [socket.socket(fileno=_FIRST_HANDED_DOWN + number) for number in range(count)]


def _secret(value: SecretStr | None, file: Path | None, item: str) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        summary = f"{file} cannot be read ({why})"
        hint = "let mo-sync's user read it, and nobody else"
        raise ConfigurationError("relay-secret-unreadable", summary, item=f"{item}_file", hint=hint) from None
