"""ClamAV, where one is configured."""

from mo_sync.scan.answers import Answer, Clean, Found, NotScanned, ScannerOut, TooLarge
from mo_sync.scan.scanner import Scanner

__all__ = ["Answer", "Clean", "Found", "NotScanned", "Scanner", "ScannerOut", "TooLarge"]
