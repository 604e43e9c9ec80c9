"""What the daemon does, as numbers for Prometheus."""

from mo_sync.metrics.exposition import Exposition, Seen
from mo_sync.metrics.listening import listening

__all__ = ["Exposition", "Seen", "listening"]
