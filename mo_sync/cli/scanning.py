"""What ``mo-sync doctor`` says about the virus scanner, where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from mo_sync.cli.checks import Check, Examined
from mo_sync.scan import Scanner
from mo_sync.scan.checkup import check_up

__all__ = ["scanning"]


def scanning(examined: Examined) -> Iterator[Check]:
    """The scanner answers, knows recent signatures, and finds the test file."""
    settings = examined.settings.scan
    if settings.clamd is None:
        return
    scanner = Scanner(settings.clamd, timeout_s=settings.timeout, max_bytes=settings.max_bytes)
    for finding in check_up(scanner, now=examined.clock.now()):
        failed = finding.level == "failed"
        yield Check(f"scanner {finding.subject}", finding.level, finding.detail, finding.hint, out_of_reach=failed)
