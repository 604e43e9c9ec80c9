"""Which command helps an attachment that needs a person, ready for a shell's command line."""

from __future__ import annotations

from shlex import quote
from typing import Final

from mo_sync.lifecycle import State

__all__ = ["helps", "shell_word"]

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


def shell_word(found: str) -> str:
    """An id as one word of a shell's command line: ids come from outside.

    >>> shell_word("a b"), shell_word("-x")
    ("'a b'", '-- -x')
    """
    return f"-- {quote(found)}" if found.startswith("-") else quote(found)
