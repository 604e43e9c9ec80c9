"""One claim in, one outcome out: ask the policy, mint a content token, stream the bytes, look at what came.

A fetch ends with a :class:`Fetched`, whose file is whole, hashed and still under a temporary name, or with an outcome
that says why not; then nothing of it is left on the disk. Making it durable and visible is done for many at once, by
the reconciler's finisher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from mo_sync import naming, sniff
from mo_sync.backoff import Policy
from mo_sync.clock import Clock
from mo_sync.fetch import acceptance
from mo_sync.fetch.inspection import Inspection
from mo_sync.fetch.reception import Reception
from mo_sync.fetch.room import Room
from mo_sync.fetch.troubles import disk_trouble, troubled
from mo_sync.gateway import Content, ContentToken, Metadata
from mo_sync.lifecycle import Claim, Failed, Interrupted, Outcome, Stored
from mo_sync.settings import Limits
from mo_sync.store import Staged, Store
from mo_sync.verdicts import Trouble, Verdict

__all__ = ["Fetched", "Fetcher", "Source"]

_log = structlog.get_logger(__name__)


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

    def in_quarantine(self, reason: str) -> Fetched:
        """The same file where it is not shown, with one more reason for it."""
        if self.quarantine is not None:
            return replace(self, quarantine=f"{self.quarantine}; {reason}")
        return replace(self, quarantine=reason, key=naming.quarantine_key(self.key))


class Fetcher:
    """Fetches claims, any number at once: :meth:`fetch` may be called by any thread.

    ``inspection`` is what a scanner has to say; without one nothing is scanned here.
    """

    def __init__(
        self,
        gateway: Source,
        store: Store,
        limits: Limits,
        policy: Policy,
        clock: Clock,
        *,
        inspection: Inspection | None = None,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._room = Room(store)
        self._clock = clock
        self._rules = (limits, policy)
        self._inspection = inspection

    def adopt(self, limits: Limits, policy: Policy) -> None:
        """From now on fetch by these (after a reload); what is being fetched keeps to the old ones."""
        self._rules = (limits, policy)

    def fetch(self, claim: Claim, *, stop: Callable[[], bool]) -> Fetched | Outcome:
        """Fetch one attachment. ``stop`` is asked again and again; once it says yes the fetch is broken off.

        An expired content token is replaced at once, ``policy.remint_limit`` times. What a bug raises is raised.
        """
        limits, policy = self._rules
        if refused := acceptance.refused_status(claim.av_status, limits):
            return refused
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
        """A temporary file first: where none can be made, or nothing can be scanned, the gateway is not even asked.

        Whatever else comes of it than a Fetched, an exception too, the file is removed.
        """
        if stop():
            return Interrupted()
        if self._inspection is not None and (trouble := self._inspection.trouble()):
            return trouble
        try:
            staged = self._store.stage(claim.lease)
        except OSError as error:
            return disk_trouble(error)
        product: Fetched | Outcome | None = None
        try:
            product = self._receive(claim, staged, limits, stop)
            if isinstance(product, Fetched) and self._inspection is not None:
                product = self._inspected(product, claim, stop)
            return product
        finally:
            if not isinstance(product, Fetched):
                staged.discard()

    def _receive(self, claim: Claim, staged: Staged, limits: Limits, stop: Callable[[], bool]) -> Fetched | Outcome:
        token = self._gateway.mint(claim.attachment_id, claim.application_id)
        if isinstance(token, Failed | Interrupted):
            return token
        if stop():
            return Interrupted()
        content = self._gateway.open_content(token, claim.application_id, declared_type=claim.declared_type)
        if isinstance(content, Failed | Interrupted):
            return content
        with content:
            reception = Reception(claim, content, staged, limits, self._room)
            return (
                reception.receive(stop)
                or self._cut_off(claim, content, staged)
                or _fetched(claim, content, staged, reception.content_type, limits)
            )

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
        return troubled(Trouble.TRUNCATED, f"{staged.size:,} bytes came, its metadata says {known.size:,}", staged)

    def _inspected(self, fetched: Fetched, claim: Claim, stop: Callable[[], bool]) -> Fetched | Failed | Interrupted:
        """The same, or in quarantine, or why it could not be scanned."""
        if self._inspection is None:
            return fetched
        suspicion = self._inspection.suspicion(claim.attachment_id, fetched.staged, stop)
        return fetched.in_quarantine(suspicion) if isinstance(suspicion, str) else suspicion or fetched


def _fetched(claim: Claim, content: Content, staged: Staged, found: str, limits: Limits) -> Fetched:
    fetched = Fetched(
        staged=staged,
        key=naming.key(
            filed_at=claim.filed_at,
            message_id=claim.message_id,
            position=claim.position,
            attachment_id=claim.attachment_id,
            extension=sniff.extension(found),
        ),
        size=staged.size,
        sha256=staged.sha256,
        content_type=found,
        header_type=content.content_type,
        filename=naming.original_name(_as_meant(content.disposition)),
        declared_type=claim.declared_type,
    )
    reason = acceptance.quarantine(claim.av_status, limits)
    return fetched if reason is None else fetched.in_quarantine(reason)


def _as_meant(header: str | None) -> str | None:
    """Header bytes arrive as Latin-1; where they are UTF-8, that is what was meant."""
    try:
        return header and header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header
