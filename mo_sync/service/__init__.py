"""The composition root: settings in, a wired whole out; and one pass over everything."""

from mo_sync.service.chosen import furthest_s, policy_of
from mo_sync.service.passes import Summary
from mo_sync.service.service import Service

__all__ = ["Service", "Summary", "furthest_s", "policy_of"]
