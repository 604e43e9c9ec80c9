"""What ``mo-sync doctor`` wants to know about a scanner: is it there, is it up to date, does it find anything."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import Final, assert_never

from mo_sync.findings import Finding
from mo_sync.scan.answers import Clean, Found, NotScanned, ScannerOut, TooLarge
from mo_sync.scan.scanner import Scanner

__all__ = ["check_up", "signatures"]

# Put together here, so that no scanner takes this file for infected (eicar.org).
_TEST_FILE: Final = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*").encode()
_OLD: Final = timedelta(days=7)
_FRESHCLAM: Final = "see that freshclam runs on the scanner's machine"


def check_up(scanner: Scanner, *, now: datetime) -> list[Finding]:
    """Ask for its version, and have it scan the harmless test file that every scanner knows. ``now`` is UTC."""
    try:
        version = scanner.version()
    except OSError as error:
        hint = "see that clamd runs (systemctl status clamav-daemon), and scan.clamd; nothing is fetched meanwhile"
        return [Finding("failed", "reach", str(error), hint)]
    return [signatures(version, now=now), _finds(scanner)]


def signatures(version: str, *, now: datetime) -> Finding:
    """How old its signatures are, from what it calls itself.

    >>> signatures("ClamAV 1.4.3/27800/Mon Nov 23 09:00:00 2026", now=datetime(2026, 11, 23)).level
    'ok'
    """
    name, _, rest = version.partition("/")
    number, _, date = rest.partition("/")
    try:
        made = datetime.strptime(date.strip(), "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007  the scanner's own time, no zone
    except ValueError:
        return Finding("warning", "signatures", f"{name} names none of ClamAV's own", _FRESHCLAM)
    age = now.replace(tzinfo=None) - made
    if age > _OLD:
        return Finding("warning", "signatures", f"{name}, number {number} is {age.days} days old", _FRESHCLAM)
    return Finding("ok", "signatures", f"{name}, number {number} of {made:%Y-%m-%d}")


def _finds(scanner: Scanner) -> Finding:
    answer = scanner.scan("doctor", io.BytesIO(_TEST_FILE), len(_TEST_FILE), stop=lambda: False)
    match answer:
        case Found(signature):
            return Finding("ok", "test file", f"is found as {signature}")
        case Clean():
            return Finding("warning", "test file", "EICAR's test file is not found", _FRESHCLAM)
        case TooLarge(reason) | NotScanned(reason) | ScannerOut(reason):
            return Finding("failed", "test file", reason, "see clamd's log; nothing is fetched meanwhile")
        case _:
            assert_never(answer)
