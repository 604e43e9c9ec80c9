"""What a check-up of a ledger or a store comes to, line by line; for ``mo-sync doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check-up: what was looked at, how it stands, and what to do when it is not ok."""

    level: Literal["ok", "warning", "failed"]
    subject: str
    detail: str
    hint: str = ""
