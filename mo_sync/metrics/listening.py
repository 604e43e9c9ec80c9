"""The socket that Prometheus asks at: prometheus-client's own small server, on a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from mo_sync.errors import ConfigurationError
from mo_sync.settings import Metrics
from mo_sync.settings.addresses import host_and_port

__all__ = ["listening"]

_log = structlog.get_logger(__name__)
_CLOSE_S = 2.0


@contextlib.contextmanager
def listening(settings: Metrics, collector: Collector) -> Iterator[None]:
    """While the block runs, ``metrics.listen`` answers. Raises ConfigurationError when it cannot listen there."""
    if settings.listen is None:
        yield
        return
    host, port = host_and_port(settings.listen)
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        summary = f"cannot listen there ({error.strerror or error})"
        hint = "give another address, or end what listens there; in the service's unit, allow it by SocketBindAllow"
        raise ConfigurationError("metrics-not-listening", summary, item=settings.listen, hint=hint) from error
    _log.info("metrics.listening", address=settings.listen)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_CLOSE_S)
