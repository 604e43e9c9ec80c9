"""What a scanner's answer means for what was fetched: a clean file goes on, everything else has a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, assert_never

from mo_sync.fetch.troubles import disk_trouble, troubled
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.scan import Clean, Found, NotScanned, Scanner, ScannerOut, TooLarge
from mo_sync.store import Staged
from mo_sync.verdicts import Step, Trouble

__all__ = ["Inspection"]

_SCANNER_REST_S: Final = 10.0


class Inspection:
    """Asks ``scanner``. ``too_large`` is what becomes of files that are larger than what it takes."""

    def __init__(self, scanner: Scanner, *, too_large: Literal["store", "quarantine"]) -> None:
        self._scanner = scanner
        self._too_large = too_large

    def trouble(self) -> Interrupted | None:
        """Why nothing need be fetched now: what cannot be scanned may not be let through."""
        out = self._scanner.trouble()
        return None if out is None else _out(out)

    def suspicion(self, name: str, staged: Staged, stop: Callable[[], bool]) -> str | Failed | Interrupted | None:
        """None when the file may be shown. A reason to quarantine it, as text; or why it could not be scanned.

        A scanner out of reach is nobody's failure: nothing is let through, and no attempt is used up.
        """
        try:
            with staged.open() as file:
                verdict = self._scanner.scan(name, file, staged.size, stop=stop)
        except OSError as error:
            return disk_trouble(error)
        match verdict:
            case Clean():
                return None
            case Found(signature):
                return f"ClamAV found {signature}"
            case TooLarge(reason):
                return reason if self._too_large == "quarantine" else None
            case NotScanned(reason):
                return troubled(Trouble.SCAN_FAILED, reason, staged, step=Step.SCAN)
            case ScannerOut():
                return _out(verdict)
            case _:
                assert_never(verdict)


def _out(out: ScannerOut) -> Interrupted:
    return Interrupted() if out.stopped else Interrupted(out.reason, delay_s=_SCANNER_REST_S, everybody=True)
