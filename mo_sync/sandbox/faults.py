"""Faults on demand, as data: what can go wrong with one answer, and which answers it befalls."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from mo_sync.sandbox.answers import WORDINGS, Answer, worded
from mo_sync.sandbox.clock import toss

__all__ = ["EVERYTHING", "FAULTS", "TRANSIENT", "Fault", "FaultPlan", "Step", "applied", "for_application", "named"]

Step = Literal["mint", "content", "metadata", "upload", "messages", "refresh", "other", "any"]
STEPS: Final = get_args(Step)

EVERYTHING: Final = "*"
"""The target that means every attachment and every call."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, ``times`` times in a row (None: for ever) at one step of a call.

    With a ``status`` the true answer is replaced, worded as ``wording`` says (or by ``body``); without one the true
    answer stands, dressed by the fields that are set. ``wire`` and the numbers after it are those of ``Answer``.
    """

    name: str
    step: Step = "content"
    times: int | None = 1
    status: int | None = None
    code: str = ""
    wording: str = "scg"
    body: bytes | None = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: str | None = None
    wire: str = "whole"
    seconds: float = 0.0
    share: float = 0.5
    size_bytes: int = 0


def applied(fault: Fault, truth: Answer, path: str) -> Answer:
    """The answer that the fault makes of the true one. ``{path}`` in a header's value becomes the request's path."""
    base = truth if fault.status is None else worded(fault.wording, fault.status, fault.code)
    headers = tuple((name, value.replace("{path}", path)) for name, value in fault.headers)
    if fault.retry_after is not None:
        headers += (("Retry-After", fault.retry_after),)
    return replace(
        base,
        body=base.body if fault.body is None else fault.body,
        content_type=fault.content_type or base.content_type,
        headers=base.headers + headers,
        wire=fault.wire,
        seconds=fault.seconds,
        share=fault.share,
        size_bytes=fault.size_bytes,
    )


_PAGE: Final = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
_ERROR: Final = b'{"error_code":"SCG_ERROR_5000","error_description":"Internal server error"}'

FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        # answers of the API itself
        Fault("bad-request", status=400, code="4001"),
        Fault("not-ready", status=400, code="40030"),
        Fault("wrong-token", step="mint", status=401, code="4010"),
        Fault("no-credit", step="mint", status=402, code="4020"),
        Fault("quota", step="mint", status=402, code="4021"),
        Fault("forbidden", step="mint", status=403, code="4030"),
        Fault("not-in-cache", step="mint", status=403, code="4031"),
        Fault("wrong-state", status=403, code="4032"),
        Fault("not-found", step="mint", status=404, code="4040"),
        Fault("token-expired", status=404, code="4046"),
        Fault("stale", step="mint", status=409, code="4090"),
        Fault("throttled", step="mint", status=429, wording="text", retry_after="1"),
        Fault("throttled-silently", step="mint", status=429, wording="text"),
        Fault("server-error", status=500, code="5000"),
        Fault("storage-error", status=500, code="5004"),
        Fault("not-retriable", status=500, code="5001"),
        Fault("bad-gateway", status=502, wording="html"),
        Fault("unavailable", status=503, code="5030"),
        Fault("gateway-timeout", status=504, wording="text"),
        # the same in other words
        Fault("bare-number", step="mint", status=403, code="4031", wording="number"),
        Fault("plain-text", status=503, code="5030", wording="text"),
        Fault("html-error", status=503, code="5030", wording="html"),
        Fault("layer-error", step="mint", status=401, code="4010", wording="layer"),
        # a 200 that is none
        Fault("html-200", body=_PAGE, content_type="text/html"),
        Fault("json-200", body=_ERROR, content_type="application/json"),
        Fault("html-200-as-media", body=_PAGE),
        Fault("empty", body=b""),
        Fault("broken-json", step="mint", body=b'{"id": "abc'),
        Fault("no-id", step="mint", body=b"{}"),
        # headers that lie
        Fault("wrong-type", content_type="application/x-unknown"),
        Fault("gzip-lie", headers=(("Content-Encoding", "gzip"),)),
        Fault("redirect", status=302, wording="text", headers=(("Location", "http://elsewhere.invalid{path}"),)),
        Fault("redirect-loop", status=307, wording="text", headers=(("Location", "{path}"),), times=None),
        # lengths that lie
        Fault("short", wire="short"),
        Fault("announces-too-much", wire="short", share=1.0, size_bytes=10**12),
        Fault("chunked-cut", wire="chunked-cut"),
        Fault("too-long", wire="padded", size_bytes=64 * 1024 * 1024),
        Fault("too-long-chunked", wire="padded-chunked", size_bytes=64 * 1024 * 1024),
        # the connection
        Fault("reset", wire="reset"),
        Fault("reset-body", wire="reset-body"),
        Fault("hang-up", wire="hang-up"),
        Fault("garbage", wire="garbage"),
        Fault("stall-head", wire="stall-head", seconds=30.0),
        Fault("stall-body", wire="stall-body", seconds=30.0),
        Fault("dribble", wire="dribble", seconds=3.0),
        # no fault, but other than usual
        Fault("chunked", wire="chunked"),
        Fault("until-close", wire="until-close"),
    )
}
"""Every fault by its name; ``dataclasses.replace`` (or :func:`named`) makes variants."""

TRANSIENT: Final[tuple[Fault, ...]] = tuple(
    FAULTS[name]
    for name in (
        "server-error", "storage-error", "unavailable", "bad-gateway", "html-200", "empty", "short",
        "chunked-cut", "reset", "reset-body", "not-ready", "token-expired", "not-in-cache", "bare-number",
    )
)  # fmt: skip
"""What passes when asked again: the menu of the random fault rate and of sample traffic."""


def named(name: str, **changes: Any) -> Fault:
    """A fault of the table, changed: ``named("short", step="mint", times=3)``.

    KeyError: there is no such fault; ValueError: it cannot be changed so.
    """
    fault = replace(FAULTS[name], **changes)
    for field, value, allowed in (("step", fault.step, STEPS), ("wording", fault.wording, tuple(WORDINGS))):
        if value not in allowed:
            raise ValueError(f"{field} is {value!r}; allowed are {', '.join(allowed)}")
    if fault.times is not None and fault.times < 1:
        raise ValueError(f"times is {fault.times}; it must be 1 or more, or null for ever")
    if not 0 <= fault.share <= 1:
        raise ValueError(f"share is {fault.share}; it must lie between 0 and 1")
    return fault


def for_application(application_id: str | int) -> str:
    """The target that means every call of one application."""
    return f"application:{application_id}"


class FaultPlan:
    """Which answers are spoilt. A target is an attachment id, :func:`for_application` or :data:`EVERYTHING`.

    The faults of a target and step are used up in the order in which they were added. Apart from these,
    ``rate`` spoils that share of all answers to ``mint`` and ``content`` with faults of ``menu``; whether the n-th
    such call for an attachment is spoilt depends on ``seed`` alone, not on the order of threads.
    """

    def __init__(self, *, rate: float = 0.0, seed: int = 0, menu: Iterable[Fault] = TRANSIENT) -> None:
        self._rate = rate
        self._seed = seed
        self._menu = tuple(menu)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._queues: dict[str, deque[Fault]] = {}
        self._lock = threading.Lock()

    def add(self, target: str, *faults: Fault) -> None:
        with self._lock:
            self._queues.setdefault(target, deque()).extend(faults)

    def clear(self, target: str | None = None) -> None:
        """Forget the faults of a target, or all, the random ones too."""
        with self._lock:
            if target is not None:
                self._queues.pop(target, None)
                return
            self._queues.clear()
            self._rate = 0.0

    def waiting(self) -> Mapping[str, tuple[Fault, ...]]:
        """What has not happened yet, by target."""
        with self._lock:
            return {target: tuple(queue) for target, queue in self._queues.items() if queue}

    def take(self, step: Step, attachment_id: str, application_id: str) -> Fault | None:
        """The fault of this call, used up by one; None: let it be answered truly."""
        with self._lock:
            for target in (attachment_id, for_application(application_id), EVERYTHING):
                fault = self._next(self._queues.get(target, deque()), step)
                if fault is not None:
                    return fault
            return self._by_chance(step, attachment_id)

    @staticmethod
    def _next(queue: deque[Fault], step: Step) -> Fault | None:
        for position, fault in enumerate(queue):
            if fault.step not in (step, "any"):
                continue
            if fault.times is not None:
                del queue[position]
                if fault.times > 1:
                    queue.insert(position, replace(fault, times=fault.times - 1))
            return fault
        return None

    def _by_chance(self, step: Step, attachment_id: str) -> Fault | None:
        if not self._rate:
            return None
        self._calls[attachment_id, step] += 1
        call = (self._seed, attachment_id, step, self._calls[attachment_id, step])
        fitting = [fault for fault in self._menu if fault.step == step]
        if not fitting or toss("spoilt", *call) >= self._rate:
            return None
        return fitting[int(toss("which", *call) * len(fitting))]
