"""Prints ``docs/configuration.md``: ``python -m mo_sync.settings > docs/configuration.md``."""

import sys

from mo_sync.settings.reference import markdown

sys.stdout.write(markdown())
