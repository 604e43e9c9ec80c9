"""Failures as values: one sentence that names the host and what happened, never a token or an address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mo_sync.errors import ConfigurationError
from mo_sync.gateway import troubles
from mo_sync.gateway.replies import Problem
from mo_sync.gateway.troubles import CAUGHT
from mo_sync.gateway.watch import Stopped, TotalTimeout
from mo_sync.lifecycle import Failed, Interrupted
from mo_sync.verdicts import Ruling, Step, Trouble, elsewhere, judge, judge_trouble

__all__ = ["Asked", "tried"]

Answer = TypeVar("Answer")
_REDIRECTION = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom we asked, for which step. ``foreign`` when it is not the gateway itself, but where it sent us."""

    step: Step
    host: str
    foreign: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def answered(self, status: int, problem: Problem, retry_after_s: float | None = None) -> Failed:
        """The failure that an answer is."""
        ruling = self._for(judge(self.step, status, problem.code, asked_to_wait=retry_after_s is not None))
        # The body of a success without a code is somebody's picture, as far as we know, and no words of the gateway's.
        quotable = problem.description and (problem.code or status >= _REDIRECTION)
        said = f', saying "{problem.description}"' if quotable else ""
        code = f" {problem.code}" if problem.code else ""
        return Failed(
            step=self.step,
            status=status,
            code=problem.code,
            verdict=ruling.verdict,
            reason=f"{self.host} answered {status}{code}: {ruling.reason}{said}",
            retry_after_s=ruling.rest_s if retry_after_s is None else retry_after_s,
        )

    def troubled(self, trouble: Trouble, *, status: int | None = None, detail: str = "", received: int = 0) -> Failed:
        """The failure that has no usable answer. ``detail`` holds no secret; ``received`` counts bytes of the body."""
        ruling = self._for(judge_trouble(trouble))
        remarks = ", ".join(filter(None, (detail, f"after {received:,} bytes" if received else "")))
        said = f" ({remarks})" if remarks else ""
        return Failed(
            step=self.step,
            status=status,
            code=trouble.value,
            verdict=ruling.verdict,
            reason=f"{self.host}: {ruling.reason}{said}",
            retry_after_s=ruling.rest_s,
            received_bytes=received,
        )

    def raised(self, error: BaseException, *, status: int | None = None, received: int = 0) -> Failed:
        """The failure that a library's exception is."""
        trouble = troubles.trouble_of(error)
        count = troubles.received(error, received)
        return self.troubled(trouble, status=status, detail=troubles.detail(error), received=count)

    def without_token(self, error: ConfigurationError) -> Failed:
        """The failure that it is to have no token; the error's item names the setting."""
        return replace(self.troubled(Trouble(error.code)), reason=f"{error.item}: {error.summary}")

    def _for(self, ruling: Ruling) -> Ruling:
        return elsewhere(ruling) if self.foreign else ruling


def tried(
    asked: Asked, action: Callable[[], Answer], *, status: int | None = None, received: int = 0
) -> Answer | Failed | Interrupted:
    """What ``action`` returns, or what its exception means; ``status`` and ``received`` are what came before it."""
    try:
        return action()
    except Stopped:
        return Interrupted("stopped while the gateway was asked")
    except TotalTimeout:
        return asked.troubled(Trouble.TOTAL_TIMEOUT, status=status, received=received)
    except CAUGHT as error:
        return asked.raised(error, status=status, received=received)
