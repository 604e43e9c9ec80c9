"""Prints ``docs/failures.md``: ``python -m mo_sync.verdicts > docs/failures.md``."""

import sys

from mo_sync.verdicts.page import markdown

sys.stdout.write(markdown())
