"""Which command helps, and what is told by an exit code alone."""

from __future__ import annotations

import doctest

import pytest

from mo_sync.cli import advice
from mo_sync.cli.advice import exit_code_of, helps
from mo_sync.ledger.queries import PROBLEMS
from mo_sync.lifecycle import State


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(advice).attempted
    assert doctest.testmod(advice).failed == 0


@pytest.mark.parametrize("state", list(State))
def test_what_needs_a_person_has_a_command_and_an_exit_code(state: State) -> None:
    assert (exit_code_of([state]) == 5) is (state in PROBLEMS)
    assert state not in PROBLEMS or helps(state, "A1")
