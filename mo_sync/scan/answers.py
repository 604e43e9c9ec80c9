"""What a virus scanner may have to say about one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Answer", "Clean", "Found", "NotScanned", "ScannerOut", "TooLarge"]


@dataclass(frozen=True, slots=True)
class Clean:
    """Nothing was found in it."""


@dataclass(frozen=True, slots=True)
class Found:
    """It is infected; ``signature`` is the name that the scanner gives to what it found."""

    signature: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """It is larger than what is scanned, or than what the scanner takes; ``reason`` has the numbers."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotScanned:
    """The scanner answers, but could not scan this file."""

    reason: str


@dataclass(frozen=True, slots=True)
class ScannerOut:
    """The scanner is out of reach: nothing can be scanned now. ``stopped`` when it was we who hung up."""

    reason: str
    stopped: bool = False


Answer: TypeAlias = Clean | Found | TooLarge | NotScanned | ScannerOut
