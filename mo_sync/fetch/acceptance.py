"""Our own policy (``[limits]``): what is refused, what is quarantined, and how large a file of a type may be.

Pure: an attachment's type and scan status in, a rule out. Whatever is refused names the rule and the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from mo_sync import sniff
from mo_sync.lifecycle import Refused
from mo_sync.settings import Limits

__all__ = [
    "Allowance",
    "Treatment",
    "allowance",
    "ceiling",
    "content_type",
    "quarantine",
    "refused_status",
    "refused_type",
    "treatment",
]

_UNKNOWN_TYPE: Final = "application/octet-stream"
_SAYS_NOTHING: Final = frozenset({_UNKNOWN_TYPE, "binary/octet-stream", "*/*"})
_WILD: Final = "*?["

Treatment = Literal["fetch", "quarantine", "refuse"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many bytes a file may have, and the setting that says so."""

    max_bytes: int
    rule: str = "limits.max_bytes"


def content_type(head: bytes, header_type: str | None, declared_type: str | None) -> str:
    """By the first bytes, else by the gateway's header, else as declared; a type that says nothing does not count.

    >>> content_type(b"GIF89a", "image/png", None), content_type(b"", "*/*", "Image/PNG"), content_type(b"", None, None)
    ('image/gif', 'image/png', 'application/octet-stream')
    """
    said = (sniff.essence(kind) for kind in (header_type, declared_type))
    telling = (kind for kind in said if kind and kind not in _SAYS_NOTHING)
    return sniff.sniff(head) or next(telling, _UNKNOWN_TYPE)


def refused_type(found: str, limits: Limits) -> Refused | None:
    """The rule that a file of the type ``found`` breaks, if any. A denial outweighs a permission."""
    denied = next((rule for rule in limits.deny_types if fnmatchcase(found, rule)), None)
    if denied is not None:
        return Refused("type-denied", f"its type is {found}, which limits.deny_types refuses ({denied})")
    if limits.allow_types and not any(fnmatchcase(found, rule) for rule in limits.allow_types):
        return Refused("type-not-allowed", f"its type is {found}, which is none of limits.allow_types")
    return None


def allowance(found: str, limits: Limits) -> Allowance:
    """How large a file of the type ``found`` may be: the most specific pattern counts, else the rule for all.

    >>> limits = Limits(max_bytes=9, max_bytes_of={"video/*": 50, "video/mp4": 99})
    >>> [allowance(found, limits).max_bytes for found in ("video/mp4", "video/3gpp", "image/png")]
    [99, 50, 9]
    """
    matching = [pattern for pattern in limits.max_bytes_of if fnmatchcase(found, pattern)]
    if not matching:
        return Allowance(limits.max_bytes)
    best = max(matching, key=_specific)
    return Allowance(limits.max_bytes_of[best], _entry(best))


def ceiling(limits: Limits) -> Allowance:
    """What no file may exceed, whatever its type turns out to be."""
    entries = [Allowance(size, _entry(pattern)) for pattern, size in limits.max_bytes_of.items()]
    return max([Allowance(limits.max_bytes), *entries], key=lambda one: one.max_bytes)


def treatment(av_status: str | None, limits: Limits) -> Treatment:
    """What the policy says about a scan status: none at all is fetched, one that it does not name is quarantined."""
    status = (av_status or "").strip().upper()
    rules = {name.strip().upper(): ruling for name, ruling in limits.scan_status.items()}
    return rules.get(status, "quarantine" if status else "fetch")


def refused_status(av_status: str | None, limits: Limits) -> Refused | None:
    """The refusal of a scan status that the policy does not even want to fetch."""
    if treatment(av_status, limits) != "refuse":
        return None
    return Refused("scan-status", f"{_status(av_status)}, which limits.scan_status refuses")


def quarantine(av_status: str | None, limits: Limits) -> str | None:
    """Why a file with this scan status must not be shown, or None."""
    if treatment(av_status, limits) != "quarantine":
        return None
    return f"{_status(av_status)}, which limits.scan_status does not let through"


def _status(av_status: str | None) -> str:
    return f"its scan status is {(av_status or '').strip()[:40]!r}"


def _specific(pattern: str) -> tuple[bool, int, str]:
    """A type in full beats a pattern, a longer one a shorter; the rest is only to be the same each time."""
    wild = any(char in pattern for char in _WILD)
    return not wild, sum(char not in _WILD for char in pattern), pattern


def _entry(pattern: str) -> str:
    return f'limits.max_bytes_of "{pattern}"'
