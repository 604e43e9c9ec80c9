"""What many of these tests begin with; a test that needs another gateway makes its own under the same name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mo_sync.sandbox import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as one:
        yield one
