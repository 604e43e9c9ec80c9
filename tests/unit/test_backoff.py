"""How long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.backoff import Policy, bound, delay

policies = st.builds(
    Policy,
    base_s=st.floats(0.001, 1e4),
    max_delay_s=st.floats(0.001, 1e6),
)
rolls = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "expected"), [(0, 10.0), (1, 10.0), (2, 20.0), (4, 80.0), (9, 2560.0), (10, 3600.0)]
)
def test_the_bound_doubles_up_to_the_longest_delay(failures: int, expected: float) -> None:
    assert bound(failures, Policy()) == expected


@given(policies, st.integers(-5, 10**9), rolls)
def test_a_delay_is_between_nothing_and_the_bound(policy: Policy, failures: int, roll: float) -> None:
    assert 0 <= delay(failures, roll, policy) <= bound(failures, policy) <= policy.max_delay_s


@given(policies, st.integers(1, 10_000))
def test_the_bound_never_shrinks(policy: Policy, failures: int) -> None:
    assert bound(failures, policy) <= bound(failures + 1, policy)
