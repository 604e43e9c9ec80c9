"""Whether a text mentions a name: as a word of its own, and not as a part of a longer one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

__all__ = ["Names", "words_of"]

_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")


def words_of(text: str) -> list[str]:
    """What ids and numbers are mostly made of.

    >>> words_of('{"id": "Mno4-X", "to": "+1408"}')
    ['id', 'Mno4-X', 'to', '1408']
    """
    return _WORD.findall(text)


@dataclass(frozen=True, slots=True)
class Names:
    """What is looked for: ``words``, and ``odd`` ones, which have other characters in them."""

    words: frozenset[str]
    odd: tuple[str, ...]

    @classmethod
    def of(cls, names: Collection[str]) -> Names:
        """However many; empty ones are none."""
        words = frozenset(name for name in names if _WORD.fullmatch(name))
        return cls(words, tuple(name for name in names if name and name not in words))

    def __bool__(self) -> bool:
        return bool(self.words or self.odd)

    def are_in(self, text: str, words: Collection[str] | None = None) -> bool:
        """Whether one of them stands in ``text``; ``words``, if they are known, are those of it.

        >>> names = Names.of(["M1", "odd/id"])
        >>> names.are_in('"M1"'), names.are_in("xM1"), names.are_in("an odd/id."), names.are_in("odd/ids")
        (True, False, True, False)
        """
        found = words_of(text) if words is None else words
        return not self.words.isdisjoint(found) or any(name in text and _alone(name, text) for name in self.odd)


def _alone(name: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])", text) is not None
