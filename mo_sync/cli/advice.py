"""What is to be done about attachments: which command helps one, ready for a shell's command line, and which exit code
tells it of many."""

from __future__ import annotations

from collections.abc import Collection
from shlex import quote
from typing import Final

from mo_sync.errors import ExitCode
from mo_sync.lifecycle import State

__all__ = ["exit_code_of", "helps", "shell_word"]

_HELPS: Final = {
    State.FAILED: "retry",
    State.MISSING: "retry",
    State.REFUSED: "retry",
    State.CANCELLED: "retry",
    State.HELD: "release",
    State.QUARANTINED: "show",
}


def helps(state: str, attachment_id: str) -> str | None:
    """The command for an attachment in this state, as ``v_problem`` has it; None where nothing is to be done.

    What is quarantined is looked at first: whether it is let out or erased, a person has to judge.

    >>> helps("failed", "Mno4"), helps("stored", "Mno4")
    ('mo-sync ledger retry Mno4', None)
    """
    verb = _HELPS.get(State(state))
    return f"mo-sync ledger {verb} {shell_word(attachment_id)}" if verb else None


def exit_code_of(states: Collection[str], *, problems: bool = False) -> ExitCode:
    """What a command exits with that says nothing (``--quiet``) about attachments in these states, as a pass would.

    ``problems`` says whether there are others, which are no attachments.

    >>> exit_code_of(["stored", "failed"]).value, exit_code_of(["failed", "pending"]).value, exit_code_of([]).value
    (5, 4, 0)
    """
    if State.PENDING in states or State.FETCHING in states:
        return ExitCode.WORK_REMAINS
    needs_a_person = problems or not {State.FAILED, State.MISSING, State.REFUSED, State.QUARANTINED}.isdisjoint(states)
    return ExitCode.NEEDS_A_PERSON if needs_a_person else ExitCode.SETTLED


def shell_word(found: str) -> str:
    """An id as one word of a shell's command line: ids come from outside.

    >>> shell_word("a b"), shell_word("-x")
    ("'a b'", '-- -x')
    """
    return f"-- {quote(found)}" if found.startswith("-") else quote(found)
