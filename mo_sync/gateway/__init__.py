"""Syniverse's gateway: the only place that speaks HTTP to it."""

from mo_sync.gateway.client import ContentToken, Gateway
from mo_sync.gateway.content import Content, Pumped, too_large
from mo_sync.gateway.credentials import Credentials
from mo_sync.gateway.replies import Metadata

__all__ = ["Content", "ContentToken", "Credentials", "Gateway", "Metadata", "Pumped", "too_large"]
