"""What failures mean: two tables, and the functions that look them up.

:data:`TABLE` is for answers, looked up by (step, HTTP status, SCG code) with :func:`judge`; :data:`TROUBLES` is for
what keeps an answer from being had or from being usable, with :func:`judge_trouble`. The facts are those of Syniverse's
public error list (``docs/scg-api.md``); the judgements on what it does not say are ours, each with its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from mo_sync.verdicts.kinds import Step, Trouble, Verdict

__all__ = ["TABLE", "TROUBLES", "Row", "Ruling", "elsewhere", "judge", "judge_trouble", "scg_number"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, what happened as the rest of a sentence, and what an operator can do ("" when nothing is needed).

    ``rest_s`` is how long to rest at least, in seconds, when the gateway did not say.
    """

    verdict: Verdict
    reason: str
    advice: str = ""
    rest_s: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of :data:`TABLE`. None matches anything, ``code`` is a regular expression over the SCG number.

    ``code`` "" matches answers without one. ``asked`` True matches only answers that name a time to come back.
    """

    step: Step | None
    status: str | None
    code: str | None
    ruling: Ruling
    asked: bool = False

    def matches(self, step: Step, status: int, number: str, *, asked: bool) -> bool:
        """Whether this row speaks about such an answer."""
        return (
            self.step in (None, step)
            and (self.status is None or re.fullmatch(self.status, str(status)) is not None)
            and (self.code is None or re.fullmatch(self.code, number) is not None)
            and (asked or not self.asked)
        )


_TOKEN = "see that the application's own token is configured, then run mo-sync doctor"  # noqa: S105  advice
_CREDIT = "settle it with Syniverse; the application's attachments wait meanwhile"
_BETWEEN = "no answer of the API itself; see what stands between (proxy, firewall, base_url)"
_LATER = Ruling(Verdict.SNOOZE, "it is not uploaded yet, or not in a state to be downloaded")
_UNAVAILABLE = Ruling(Verdict.RETRY, "the service is unavailable")
_SLOWER = Ruling(Verdict.THROTTLED, "it asks to slow down")
_BUSY = Ruling(Verdict.THROTTLED, "the service is unavailable and says when to come back")
_NO_SUCH = Ruling(Verdict.ABSENT, "there is no such attachment, or not yet", "retry it if it should exist")
_REFUSED = Ruling(Verdict.HOLD, "the token is missing, wrong or not this application's", _TOKEN)
_NO_CREDIT = Ruling(Verdict.HOLD, "there is no credit, or the quota is used up", _CREDIT, rest_s=3600.0)
_EXPIRED = Ruling(Verdict.REMINT, "the content token expired")
_STALE = Ruling(Verdict.RETRY, "a conflict with another change")
_STORAGE = Ruling(Verdict.RETRY, "a server error that passes")
_FINAL = Ruling(Verdict.PERMANENT, "a server error that it calls non-retriable", "ask Syniverse, naming the code")
_BAD = Ruling(Verdict.PERMANENT, "the request is wrong, which asking again does not mend", "report it with the code")

_NO_LIST = Ruling(Verdict.PERMANENT, "it does not know what mo-sync asks for to try a token", "see gateway.base_url")
_NO_INBOX = Ruling(Verdict.PERMANENT, "it does not know the inbox, or not that message", "see gateway.base_url")
_NO_MESSAGE = Ruling(Verdict.ABSENT, "there is no such message, or not yet")

TABLE: Final[tuple[Row, ...]] = (
    # What asks for no attachment does not find that one is missing.
    Row(Step.PROBE, None, "4031|4040", _NO_LIST),
    Row(Step.INBOX, None, "4031|4040", _NO_INBOX),
    Row(Step.MARK, None, "4031|4040", _NO_MESSAGE),
    # Codes that mean the same whatever the status: older services pair them freely.
    Row(Step.CONTENT, None, "4046", _EXPIRED),
    Row(None, None, "4046", replace(_EXPIRED, verdict=Verdict.RETRY)),
    Row(None, None, "40030", _LATER),
    Row(None, None, "403[27]", _LATER),
    Row(None, None, "4031", _NO_SUCH),
    Row(None, None, "4040", _NO_SUCH),
    Row(None, None, "4010", _REFUSED),
    Row(None, None, "402[01]", _NO_CREDIT),
    Row(None, None, "4030", Ruling(Verdict.PERMANENT, "it is forbidden", "ask Syniverse why, naming the code")),
    Row(None, None, "5001", _FINAL),
    Row(None, None, "5000|5004", _STORAGE),
    Row(None, None, "4090|1001", _STALE),
    Row(None, None, "5030", _BUSY, asked=True),
    Row(None, None, "5030", _UNAVAILABLE),
    # A status with the same number as its code, or the codes of bad requests.
    Row(None, "403", "403", Ruling(Verdict.PERMANENT, "it is forbidden", "ask Syniverse why, naming the code")),
    Row(None, "400", "400[1-7]|1023", _BAD),
    # Statuses, whatever the code.
    Row(None, "401", None, _REFUSED),
    Row(None, "402", None, _NO_CREDIT),
    Row(None, "403", "", Ruling(Verdict.RETRY, "a 403 without a code of Syniverse's, so rather a proxy's", _BETWEEN)),
    Row(Step.PROBE, "404|410", None, _NO_LIST),
    Row(Step.INBOX, "404|410", None, _NO_INBOX),
    Row(Step.MARK, "404|410", None, _NO_MESSAGE),
    Row(None, "404|410", None, _NO_SUCH),
    Row(None, "407", None, Ruling(Verdict.HOLD, "the proxy asks for credentials", "mend gateway.proxy")),
    Row(None, "408|421|423|425", None, Ruling(Verdict.RETRY, "the answer asks for another try")),
    Row(None, "409", None, _STALE),
    Row(None, "429", None, _SLOWER),
    Row(None, "503", None, _BUSY, asked=True),
    Row(None, "50[234]", None, _UNAVAILABLE),
    # The unknown. The API gives a code with every refusal, so a 4xx without one comes from something in between,
    # which may be mended; one with a code that is not listed is the API's own no.
    Row(None, "4..", "", Ruling(Verdict.RETRY, "a refusal without a code of Syniverse's", _BETWEEN)),
    Row(None, "4..", None, Ruling(Verdict.PERMANENT, "a refusal with a code that is not known", "report the code")),
    Row(None, "5..", None, Ruling(Verdict.RETRY, "a server error")),
    Row(None, "2..", None, Ruling(Verdict.RETRY, "a success without what was asked for", _BETWEEN)),
    Row(None, None, None, Ruling(Verdict.RETRY, "an answer that the API does not know", _BETWEEN)),
)
"""What answers mean; the first row that matches rules, so the most specific come first."""

_REACH = "see whether this machine reaches the gateway: mo-sync doctor"
_PROXY = "mend gateway.proxy, or HTTPS_PROXY and NO_PROXY"

TROUBLES: Final[dict[Trouble, Ruling]] = {
    Trouble.CONNECT_FAILED: Ruling(Verdict.THROTTLED, "no connection could be made", _REACH),
    Trouble.CONNECT_TIMEOUT: Ruling(Verdict.THROTTLED, "no connection came about in time", _REACH),
    Trouble.DNS_FAILED: Ruling(Verdict.THROTTLED, "its name could not be resolved", _REACH),
    Trouble.TLS_FAILED: Ruling(Verdict.RETRY, "the TLS handshake failed", _REACH),
    Trouble.CERTIFICATE_REFUSED: Ruling(
        Verdict.HOLD, "its certificate is not to be trusted", "see the clock, gateway.ca_bundle, or who intercepts TLS"
    ),
    Trouble.PROXY_FAILED: Ruling(Verdict.THROTTLED, "the proxy did not connect", _PROXY),
    Trouble.PROXY_REFUSED: Ruling(Verdict.HOLD, "the proxy asks for credentials", _PROXY),
    Trouble.READ_TIMEOUT: Ruling(Verdict.RETRY, "it was silent for longer than gateway.read_timeout"),
    Trouble.TOTAL_TIMEOUT: Ruling(Verdict.RETRY, "it took longer than gateway.total_timeout"),
    Trouble.RESET: Ruling(Verdict.RETRY, "the connection broke"),
    Trouble.TRUNCATED: Ruling(Verdict.RETRY, "the body ended too early"),
    Trouble.LENGTH_MISMATCH: Ruling(Verdict.RETRY, "more came than its Content-Length announced"),
    Trouble.PROTOCOL_ERROR: Ruling(Verdict.RETRY, "what came is not HTTP", _BETWEEN),
    Trouble.REDIRECT_REFUSED: Ruling(Verdict.RETRY, "it redirects where we do not go", "see gateway.base_url"),
    Trouble.TOO_MANY_REDIRECTS: Ruling(Verdict.RETRY, "it redirects without an end", "see gateway.base_url"),
    Trouble.DECODE_FAILED: Ruling(Verdict.RETRY, "the body is not encoded as its Content-Encoding says"),
    Trouble.EMPTY_BODY: Ruling(Verdict.RETRY, "the body is empty"),
    Trouble.NOT_MEDIA: Ruling(Verdict.RETRY, "an error page came instead of the media", _BETWEEN),
    Trouble.REPLY_NOT_UNDERSTOOD: Ruling(Verdict.RETRY, "the answer lacks what was asked for", _BETWEEN),
    Trouble.REPLY_TOO_LARGE: Ruling(Verdict.RETRY, "the answer is larger than such answers are", _BETWEEN),
    Trouble.NO_RESOURCES: Ruling(Verdict.THROTTLED, "this machine ran out of sockets or memory", "lower sync.workers"),
    Trouble.SCAN_FAILED: Ruling(
        Verdict.RETRY, "the virus scanner could not scan it", "see clamd's log; when it is mended, retry it"
    ),
    Trouble.ID_UNUSABLE: Ruling(Verdict.PERMANENT, "the id cannot be part of an address", "see the event it came in"),
    Trouble.TOKEN_MISSING: Ruling(Verdict.HOLD, "no token is configured", _TOKEN),
    Trouble.TOKEN_UNREADABLE: Ruling(Verdict.HOLD, "the token's file cannot be read", _TOKEN),
    Trouble.TOKEN_INVALID: Ruling(Verdict.HOLD, "the token cannot be one", _TOKEN),
}
"""What each trouble means. An outage is nobody's attachment's fault, so it pauses the application, using no attempt."""

_SCG = re.compile(r"\s*(?:SCG_ERROR_)?0*(\d{3,5})\s*", re.IGNORECASE | re.ASCII)


def scg_number(code: str | int | None) -> str:
    """The number of an SCG code in any of its spellings; "" when it is none.

    >>> [scg_number(code) for code in ("SCG_ERROR_4031", "4031", 40030, "gateway-1", None)]
    ['4031', '4031', '40030', '', '']
    """
    match = _SCG.fullmatch("" if code is None else str(code))
    return match[1] if match else ""


def judge(step: Step, status: int, code: str | int | None, *, asked_to_wait: bool = False) -> Ruling:
    """What an answer means: ``status`` is HTTP's, ``code`` SCG's in any spelling or None.

    ``asked_to_wait`` says that the answer named a time to come back (``Retry-After``).

    >>> judge(Step.CONTENT, 404, "SCG_ERROR_4046").verdict.value
    'remint'
    """
    number = scg_number(code)
    return next(row.ruling for row in TABLE if row.matches(step, status, number, asked=asked_to_wait))


def judge_trouble(trouble: Trouble) -> Ruling:
    """What a failure without a usable answer means."""
    return TROUBLES[trouble]


def elsewhere(ruling: Ruling) -> Ruling:
    """The same when another host than the gateway failed: that is never the whole application's trouble."""
    if ruling.verdict in (Verdict.HOLD, Verdict.THROTTLED):
        return replace(ruling, verdict=Verdict.RETRY, rest_s=None)
    return ruling
