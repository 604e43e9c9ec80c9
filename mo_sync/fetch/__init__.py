"""One claim in, one outcome out: ask the policy, mint a content token, stream the bytes, look at what came."""

from mo_sync.fetch.fetcher import Fetched, Fetcher, Source
from mo_sync.fetch.inspection import Inspection
from mo_sync.fetch.troubles import disk_trouble

__all__ = ["Fetched", "Fetcher", "Inspection", "Source", "disk_trouble"]
