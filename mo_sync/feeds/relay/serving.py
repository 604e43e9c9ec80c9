"""The relay at work: sockets, the server on a thread of its own, and its end.

The server is uvicorn with httptools and uvloop. It runs beside the daemon's main thread, or beside that of ``mo-sync
relay``, which hear the signals.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import uvicorn
import uvloop

from mo_sync.clock import Clock
from mo_sync.errors import ConfigurationError, MoSyncError
from mo_sync.feeds.relay.admission import Admission, Rules
from mo_sync.feeds.relay.app import RelayApp
from mo_sync.feeds.relay.commit import Committer
from mo_sync.feeds.relay.protocol import Bounds, ShortWay
from mo_sync.settings import Relay
from mo_sync.settings.addresses import host_and_port

__all__ = ["RelayServer", "bound"]

_log = structlog.get_logger(__name__)

_KEEP_ALIVE_S: Final = 60
_BACKLOG: Final = 4_096
_START_S: Final = 30.0

MakeCommitter = Callable[[], Committer]


def bound(listen: str) -> socket.socket:
    """A listening socket. Raises ConfigurationError ``relay-not-listening``."""
    host, port = host_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
    except OSError as error:
        summary = f"cannot listen there ({error.strerror or error})"
        hint = "give another address, or end what listens there; in the service's unit, allow it by SocketBindAllow"
        raise ConfigurationError("relay-not-listening", summary, item=listen, hint=hint) from error


class RelayServer:
    """The server on its thread. ``make_committer`` is called there, on the event loop."""

    def __init__(
        self,
        settings: Relay,
        rules: Rules,
        sockets: Sequence[socket.socket],
        clock: Clock,
        make_committer: MakeCommitter,
        *,
        reads: bool,
    ) -> None:
        """``reads`` as for :class:`RelayApp`."""
        self._settings = settings
        self._sockets = list(sockets)
        self._clock = clock
        self._admission = Admission(rules)
        self._make_committer = make_committer
        self._reads = reads
        self._server: uvicorn.Server | None = None
        self._config: uvicorn.Config | None = None
        self._app: RelayApp | None = None
        self._committer: Committer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Listen; when this returns, requests are answered. Raises what kept it from that."""
        self._thread.start()
        if not self._running.wait(_START_S) or self._error is not None:
            raise self._error or ConfigurationError("relay-not-started", f"it did not start within {_START_S:g} s")

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    @property
    def crowded(self) -> bool:
        """Whether more arrived of late than the ledger bears."""
        return self._committer is not None and self._committer.crowded

    def reload(self, rules: Rules) -> None:
        """Admit by ``rules`` from now on, and show the certificate as its file is now. Raises ConfigurationError."""
        if self._config is not None and self._config.ssl is not None and self._settings.certificate is not None:
            _load_certificate(self._config.ssl, self._settings)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._take_over, rules)

    def stop(self, *, grace_s: float) -> bool:
        """Accept no more, answer what was read, end; whether all of it ended in time."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(grace_s + 2.0)
        return not self._thread.is_alive()

    def _take_over(self, rules: Rules) -> None:
        self._admission.rules = rules
        if self._app is not None:
            self._app.look_at_log()

    def _end(self) -> None:
        """Without a committer nobody would get an answer."""
        if self._server is not None:
            self._server.should_exit = True

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except MoSyncError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001  the border of the thread
            self._error = error
            _log.exception("relay.crashed")
        finally:
            self._running.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        committer = self._committer = self._make_committer()
        committing = asyncio.ensure_future(committer.run())
        app = self._app = RelayApp(self._settings, self._admission, committer, self._clock, reads=self._reads)
        bounds = _bounds(self._settings, app.at_once)
        self._config = _config(app, self._settings, bounds)
        self._server = uvicorn.Server(self._config)
        committing.add_done_callback(lambda _: self._end())
        serving = asyncio.ensure_future(self._server.serve(sockets=self._sockets))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.01)
        self._running.set()
        try:
            with bounds.watched(self._loop):
                await serving
        finally:
            committer.close()
            await committing
            committer.shut()


def _bounds(settings: Relay, short_way: ShortWay) -> Bounds:
    return Bounds(settings.header_timeout, settings.body_timeout, 2 * settings.max_connections, short_way)


def _config(app: RelayApp, settings: Relay, bounds: Bounds) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=bounds.protocol(),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.body_timeout),
        backlog=_BACKLOG,
    )
    config.load()
    if settings.certificate is not None:
        config.ssl = _tls(settings)
    return config


def _tls(settings: Relay) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_certificate(context, settings)
    if settings.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(settings.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _no_certificate("relay.client_ca", str(settings.client_ca), error) from error
    return context


def _load_certificate(context: ssl.SSLContext, settings: Relay) -> None:
    certificate = settings.certificate
    if certificate is None:
        return
    try:
        context.load_cert_chain(certificate, settings.certificate_key)
    except (OSError, ssl.SSLError) as error:
        raise _no_certificate("relay.certificate", str(certificate), error) from error


def _no_certificate(setting: str, file: str, error: OSError) -> ConfigurationError:
    summary = f"{file} cannot be used ({error.strerror or error})"
    hint = "give a PEM file, with its key in relay.certificate_key"
    return ConfigurationError("relay-certificate-unusable", summary, item=setting, hint=hint)
