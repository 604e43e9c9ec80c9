"""One claim in, one outcome out: ask the policy, mint a content token, stream the bytes, look at what came.

A fetch ends with a :class:`Fetched`, whose file is whole, hashed and still under a temporary name, or with an outcome
that says why not; then nothing of it is left on the disk. Making it durable and visible is done for many at once, by
the reconciler's finisher.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Literal, Protocol

import structlog

from mo_sync import naming, sniff
from mo_sync.backoff import Policy
from mo_sync.clock import Clock
from mo_sync.gateway import Content, ContentToken, Metadata, Pumped
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome, Refused, Stored
from mo_sync.settings import Limits
from mo_sync.store import Staged, Store
from mo_sync.verdicts import Step, Trouble, Verdict, judge_trouble

__all__ = ["Fetched", "Fetcher", "Source", "disk_trouble"]

_log = structlog.get_logger(__name__)

_UNKNOWN_TYPE: Final = "application/octet-stream"
_SAYS_NOTHING: Final = frozenset({_UNKNOWN_TYPE, "binary/octet-stream", "*/*"})
_DISK_REST_S: Final = 60.0
_IN_THE_WAY: Final = frozenset(
    {
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.EFBIG,
    }
)
"""Errors that are about one name or one file; every other one is the whole store's trouble."""

Treatment = Literal["fetch", "quarantine", "refuse"]


class Source(Protocol):
    """What a fetch needs of the gateway."""

    def mint(self, attachment_id: str, application_id: str) -> ContentToken | Failed | Interrupted:
        """A token that opens the attachment's bytes for a while."""

    def open_content(
        self, token: ContentToken, application_id: str, *, declared_type: str | None = None
    ) -> Content | Failed | Interrupted:
        """The bytes that the token opens."""

    def metadata(self, attachment_id: str, application_id: str) -> Metadata | Failed | Interrupted:
        """What is known about the attachment, its size above all."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file under a temporary name, and where it shall rest. ``quarantine`` says why it must not be shown."""

    staged: Staged
    key: str
    size: int
    sha256: str
    content_type: str
    header_type: str | None = None
    filename: str | None = None
    declared_type: str | None = None
    quarantine: str | None = None

    def stored(self) -> Stored:
        """The outcome, once the file is in its place."""
        return Stored(
            key=self.key,
            size=self.size,
            sha256=self.sha256,
            content_type=self.content_type,
            header_type=self.header_type,
            filename=self.filename,
            declared_type=self.declared_type,
            quarantined=self.quarantine is not None,
            reason=self.quarantine,
        )


class Fetcher:
    """Fetches claims, any number at once: :meth:`fetch` may be called by any thread."""

    def __init__(self, gateway: Source, store: Store, limits: Limits, policy: Policy, clock: Clock) -> None:
        self._gateway = gateway
        self._store = store
        self._clock = clock
        self._rules = (limits, policy)

    def adopt(self, limits: Limits, policy: Policy) -> None:
        """From now on fetch by these (after a reload); what is being fetched keeps to the old ones."""
        self._rules = (limits, policy)

    def fetch(self, claim: Claim, *, stop: Callable[[], bool]) -> Fetched | Outcome:
        """Fetch one attachment. ``stop`` is asked again and again; once it says yes the fetch is broken off.

        An expired content token is replaced at once, ``policy.remint_limit`` times. What a bug raises is raised.
        """
        limits, policy = self._rules
        if _treatment(claim, limits) == "refuse":
            return Refused("scan-status", f"{_scan_status(claim)}, which limits.scan_status refuses")
        began = self._clock.monotonic()
        product = self._try(claim, limits, stop)
        for _ in range(policy.remint_limit):
            if not (isinstance(product, Failed) and product.verdict is Verdict.REMINT):
                break
            product = self._try(claim, limits, stop)
        if isinstance(product, Failed) and product.code == Trouble.NOT_MEDIA and claim.declared_type is None:
            product = self._as_declared(claim, limits, stop, product)
        took_s = self._clock.monotonic() - began
        _log.debug("fetch.ended", attachment=claim.attachment_id, kind=type(product).__name__, took_s=round(took_s, 3))
        return product

    def _as_declared(self, claim: Claim, limits: Limits, stop: Callable[[], bool], failed: Failed) -> Fetched | Outcome:
        """Customers do send web pages and JSON: what looks like an error is one unless its metadata call it a page."""
        known = self._gateway.metadata(claim.attachment_id, claim.application_id)
        if isinstance(known, Interrupted):
            return known
        if isinstance(known, Failed) or not sniff.may_be_page(known.type):
            return failed
        product = self._try(replace(claim, declared_type=known.type), limits, stop)
        if isinstance(product, Fetched) and known.size not in (None, product.size):
            product.staged.discard()
            return failed
        return product

    def _try(self, claim: Claim, limits: Limits, stop: Callable[[], bool]) -> Fetched | Outcome:
        if stop():
            return Interrupted()
        token = self._gateway.mint(claim.attachment_id, claim.application_id)
        if isinstance(token, Failed | Interrupted):
            return token
        if stop():
            return Interrupted()
        content = self._gateway.open_content(token, claim.application_id, declared_type=claim.declared_type)
        if isinstance(content, Failed | Interrupted):
            return content
        with content:
            return self._receive(claim, content, limits, stop)

    def _receive(
        self, claim: Claim, content: Content, limits: Limits, stop: Callable[[], bool]
    ) -> Fetched | Failed | Refused | Interrupted:
        """The body in a temporary file; whatever else comes of it, an exception too, the file is removed."""
        try:
            staged = self._store.stage(claim.lease)
        except OSError as error:
            return disk_trouble(error)
        fetched: Fetched | Failed | Refused | Interrupted | None = None
        try:
            fetched = (
                _fill(staged, content, limits, stop)
                or self._cut_off(claim, content, staged)
                or _judge(claim, content, staged, limits)
            )
            return fetched
        finally:
            if not isinstance(fetched, Fetched):
                staged.discard()

    def _cut_off(self, claim: Claim, content: Content, staged: Staged) -> Failed | Interrupted | None:
        """Where only the end of the connection ended the body, a cut looks like the end: the known size decides.

        When no size is known there is nothing to hold it against, and it is taken as it came.
        """
        if content.delimited:
            return None
        known = self._gateway.metadata(claim.attachment_id, claim.application_id)
        if isinstance(known, Interrupted):
            return known
        if isinstance(known, Failed) or known.size in (None, staged.size):
            return None
        return _troubled(Trouble.TRUNCATED, f"{staged.size:,} bytes came, its metadata says {known.size:,}", staged)


def _fill(
    staged: Staged, content: Content, limits: Limits, stop: Callable[[], bool]
) -> Failed | Refused | Interrupted | None:
    """None when the whole body was written. The gateway's troubles come as values, so an OSError is the disk's."""
    try:
        pumped = content.pump(staged.write, max_bytes=limits.max_bytes, stop=stop)
        if not isinstance(pumped, Pumped):
            return pumped
        staged.finish()
    except OSError as error:
        return disk_trouble(error)
    return None


def _judge(claim: Claim, content: Content, staged: Staged, limits: Limits) -> Fetched | Failed | Refused:
    """What the bytes are, and whether they may be kept."""
    page = sniff.error_page(staged.head, content.content_type, claim.declared_type)
    if page is not None:
        return _troubled(Trouble.NOT_MEDIA, page, staged)
    found = _content_type(claim, content, staged)
    refused = _type_refused(found, limits)
    if refused is not None:
        return Refused(*refused, received_bytes=staged.size)
    key = naming.key(
        filed_at=claim.filed_at,
        message_id=claim.message_id,
        position=claim.position,
        attachment_id=claim.attachment_id,
        extension=sniff.extension(found),
    )
    quarantine = _quarantine(claim, limits)
    return Fetched(
        staged=staged,
        key=key if quarantine is None else naming.quarantine_key(key),
        size=staged.size,
        sha256=staged.sha256,
        content_type=found,
        header_type=content.content_type,
        filename=naming.original_name(_as_meant(content.disposition)),
        declared_type=claim.declared_type,
        quarantine=quarantine,
    )


def _troubled(trouble: Trouble, detail: str, staged: Staged) -> Failed:
    ruling = judge_trouble(trouble)
    return Failed(
        step=Step.CONTENT,
        status=200,
        code=trouble.value,
        verdict=ruling.verdict,
        reason=f"{ruling.reason}: {detail}",
        received_bytes=staged.size,
    )


def _as_meant(header: str | None) -> str | None:
    """Header bytes arrive as Latin-1; where they are UTF-8, that is what was meant."""
    try:
        return header and header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _content_type(claim: Claim, content: Content, staged: Staged) -> str:
    """By the bytes, else by the gateway's header, else as declared; a type that says nothing does not count."""
    said = (sniff.essence(kind) for kind in (content.content_type, claim.declared_type))
    telling = (kind for kind in said if kind and kind not in _SAYS_NOTHING)
    return sniff.sniff(staged.head) or next(telling, _UNKNOWN_TYPE)


def _type_refused(found: str, limits: Limits) -> tuple[str, str] | None:
    """The code and the sentence of the rule that ``found`` breaks, if any. A denial outweighs a permission."""
    denied = _matching(found, limits.deny_types)
    if denied is not None:
        return "type-denied", f"its type is {found}, which limits.deny_types refuses ({denied})"
    if limits.allow_types and _matching(found, limits.allow_types) is None:
        return "type-not-allowed", f"its type is {found}, which is none of limits.allow_types"
    return None


def _matching(found: str, rules: tuple[str, ...]) -> str | None:
    return next((rule for rule in rules if fnmatchcase(found, rule.strip().lower())), None)


def _treatment(claim: Claim, limits: Limits) -> Treatment:
    """What the policy says about the scan status: none at all is fetched, one that it does not name is quarantined."""
    status = (claim.av_status or "").strip().upper()
    rules = {name.strip().upper(): treatment for name, treatment in limits.scan_status.items()}
    return rules.get(status, "quarantine" if status else "fetch")


def _quarantine(claim: Claim, limits: Limits) -> str | None:
    if _treatment(claim, limits) == "quarantine":
        return f"{_scan_status(claim)}, which limits.scan_status does not let through"
    return None


def _scan_status(claim: Claim) -> str:
    return f"its scan status is {(claim.av_status or '').strip()[:40]!r}"


def disk_trouble(error: OSError) -> Failed | Interrupted:
    """What an error of the store means for the attachment that met it.

    A full, broken or read-only disk is not the attachment's failure: it waits a minute and uses up no attempt, however
    long that goes on. Something in the way of its own name is: that is retried, then told to a person.
    """
    name = errno.errorcode.get(error.errno or 0, "unknown").lower()
    reason = f"the store: {error.strerror or type(error).__name__} ({name})"
    if error.errno in _IN_THE_WAY:
        return Failed(Step.STORE, None, name, Verdict.RETRY, reason)
    return Interrupted(reason, delay_s=_DISK_REST_S, everybody=True)
