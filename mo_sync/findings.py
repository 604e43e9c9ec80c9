"""What a check-up of a ledger or a store comes to, line by line; for ``mo-sync doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "nothing_ever_lay_there"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check-up: what was looked at, how it stands, and what to do when it is not ok."""

    level: Literal["ok", "warning", "failed"]
    subject: str
    detail: str
    hint: str = ""


def nothing_ever_lay_there(count: int) -> str:
    """Why nothing is fetched into a store where the ledger knows of ``count`` files, and none is nor was."""
    advice = "see store.url, and whether its disk is mounted; if its files are really gone: mo-sync ledger verify"
    return f"the ledger knows of {count:,} files, and nothing ever lay in this store: {advice} --repair --force"
