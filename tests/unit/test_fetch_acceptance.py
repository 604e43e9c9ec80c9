"""Our own policy: which rule applies to a type, and what it says when it refuses."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.fetch import acceptance
from mo_sync.fetch.acceptance import Allowance, allowance, ceiling, quarantine, refused_status, refused_type
from mo_sync.lifecycle import Refused
from mo_sync.settings import Limits

TYPES = st.sampled_from(["video/mp4", "video/3gpp", "image/png", "image/jpeg", "audio/amr", "application/pdf"])
PATTERNS = st.sampled_from(["*", "*/*", "video/*", "video/mp*", "video/mp4", "image/*", "image/p?g", "audio/*"])


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(acceptance).attempted
    assert doctest.testmod(acceptance).failed == 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("video/mp4", Allowance(40, 'limits.max_bytes_of "video/mp4"')),
        ("video/mpeg", Allowance(30, 'limits.max_bytes_of "video/mp*"')),
        ("video/3gpp", Allowance(20, 'limits.max_bytes_of "video/*"')),
        ("image/png", Allowance(10, 'limits.max_bytes_of "*"')),
    ],
)
def test_the_most_specific_pattern_says_how_large_a_type_may_be(found: str, expected: Allowance) -> None:
    sizes = {"*": 10, "video/*": 20, "video/mp*": 30, "video/mp4": 40}
    for order in (sizes, dict(reversed(sizes.items()))):
        assert allowance(found, Limits(max_bytes=5, max_bytes_of=order)) == expected


def test_a_type_without_a_size_of_its_own_has_that_of_all() -> None:
    assert allowance("image/png", Limits(max_bytes=5, max_bytes_of={"video/*": 9})) == Allowance(5)


@given(TYPES, st.dictionaries(PATTERNS, st.integers(0, 99)), st.integers(1, 99))
def test_no_type_may_be_larger_than_the_ceiling_says(found: str, sizes: dict[str, int], most: int) -> None:
    limits = Limits(max_bytes=most, max_bytes_of=sizes)

    assert allowance(found, limits).max_bytes <= ceiling(limits).max_bytes


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ({}, None),
        ({"deny_types": ("video/*",)}, None),
        ({"allow_types": ("image/*",)}, None),
        ({"deny_types": ("image/gif",)}, ("type-denied", "limits.deny_types refuses (image/gif)")),
        ({"allow_types": ("image/*",), "deny_types": ("*/gif",)}, ("type-denied", "refuses (*/gif)")),
        ({"allow_types": ("video/*",)}, ("type-not-allowed", "none of limits.allow_types")),
    ],
)
def test_a_denial_outweighs_a_permission(limits: Any, refused: tuple[str, str] | None) -> None:
    found = refused_type("image/gif", Limits(**limits))

    if refused is None:
        assert found is None
    else:
        assert found is not None
        assert found.code == refused[0]
        assert found.reason.startswith("its type is image/gif, which ")
        assert found.reason.endswith(refused[1])


@pytest.mark.parametrize("status", ["OK", "ok", " NONE ", None, ""])
def test_what_is_scanned_or_says_nothing_is_fetched(status: str | None) -> None:
    assert refused_status(status, Limits()) is None
    assert quarantine(status, Limits()) is None


@pytest.mark.parametrize("status", ["INFECTED", "odd", "x" * 900])
def test_a_scan_status_that_nobody_named_is_quarantined(status: str) -> None:
    reason = quarantine(status, Limits())

    assert reason == f"its scan status is {status[:40]!r}, which limits.scan_status does not let through"


def test_a_scan_status_may_be_refused_or_let_through() -> None:
    limits = Limits(scan_status={"Infected": "refuse", "ODD": "fetch"})

    assert refused_status("INFECTED", limits) == Refused(
        "scan-status", "its scan status is 'INFECTED', which limits.scan_status refuses"
    )
    assert quarantine("odd", limits) is None
