"""The words of a failure: where it happened, what kind it is, what is done about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["MEANINGS", "OUT_OF_REACH", "UNANSWERED", "Step", "Trouble", "Verdict"]


class Step(StrEnum):
    """At which call something happened; the first ones are those of a fetch."""

    MINT = "mint"
    CONTENT = "content"
    SCAN = "scan"
    STORE = "store"
    METADATA = "metadata"
    PROBE = "probe"
    """A look whether the gateway and a token work; no part of a fetch."""
    INBOX = "inbox"
    """A look at the messages that the gateway keeps; no part of a fetch."""
    MARK = "mark"
    """Telling the gateway that a message was taken care of; no part of a fetch."""


class Verdict(StrEnum):
    """What to do about a failure; :data:`MEANINGS` says it in words."""

    RETRY = "retry"
    SNOOZE = "snooze"
    REMINT = "remint"
    ABSENT = "absent"
    HOLD = "hold"
    THROTTLED = "throttled"
    PERMANENT = "permanent"


MEANINGS: Final[dict[Verdict, str]] = {
    Verdict.RETRY: "Passing trouble: again after a backoff; uses up an attempt.",
    Verdict.SNOOZE: "Not ready yet: again after `retry.snooze`; uses up no attempt, bounded by the deadline.",
    Verdict.REMINT: "The content token expired: a new one at once, within the same attempt; when used up, as retry.",
    Verdict.ABSENT: (
        "Said not to exist: often a race right after the event, so believed only when repeated; then `missing`."
    ),
    Verdict.HOLD: (
        "Trouble of the whole application (credentials, credit): its claims rest, and one attachment tries it again, "
        "each time after a longer rest, until it is mended; uses up no attempt, and no deadline ends it: a person is "
        "told."
    ),
    Verdict.THROTTLED: (
        "The gateway takes no more now, or is out of reach: the application goes slower, and rests when it was told "
        "for how long, when nobody answers, or when nothing but such answers come; uses up no attempt before the "
        "deadline, and is as retry after it."
    ),
    Verdict.PERMANENT: "Trying again cannot help: `failed`.",
}
"""What each verdict does, for people."""


class Trouble(StrEnum):
    """A kind of failure without an answer, or with an answer that is no use; the words are ``Failed.code``."""

    CONNECT_FAILED = "connect-failed"
    CONNECT_TIMEOUT = "connect-timeout"
    DNS_FAILED = "dns-failed"
    TLS_FAILED = "tls-failed"
    CERTIFICATE_REFUSED = "certificate-refused"
    PROXY_FAILED = "proxy-failed"
    PROXY_REFUSED = "proxy-refused"
    READ_TIMEOUT = "read-timeout"
    TOTAL_TIMEOUT = "total-timeout"
    RESET = "reset"
    TRUNCATED = "truncated"
    LENGTH_MISMATCH = "length-mismatch"
    PROTOCOL_ERROR = "protocol-error"
    REDIRECT_REFUSED = "redirect-refused"
    TOO_MANY_REDIRECTS = "too-many-redirects"
    DECODE_FAILED = "decode-failed"
    EMPTY_BODY = "empty-body"
    NOT_MEDIA = "not-media"
    REPLY_NOT_UNDERSTOOD = "reply-not-understood"
    REPLY_TOO_LARGE = "reply-too-large"
    NO_RESOURCES = "no-resources"
    SCAN_FAILED = "scan-failed"
    ID_UNUSABLE = "id-unusable"
    TOKEN_MISSING = "token-missing"  # noqa: S105  the name of an error, not a token
    TOKEN_UNREADABLE = "token-unreadable"  # noqa: S105  the name of an error, not a token
    TOKEN_INVALID = "token-invalid"  # noqa: S105  the name of an error, not a token


OUT_OF_REACH: Final[frozenset[Trouble]] = frozenset(
    {
        Trouble.CONNECT_FAILED,
        Trouble.CONNECT_TIMEOUT,
        Trouble.DNS_FAILED,
        Trouble.TLS_FAILED,
        Trouble.CERTIFICATE_REFUSED,
        Trouble.PROXY_FAILED,
        Trouble.PROXY_REFUSED,
    }
)
"""The troubles in which the gateway was not even spoken to."""

UNANSWERED: Final[frozenset[Trouble]] = OUT_OF_REACH | {
    Trouble.READ_TIMEOUT,
    Trouble.TOTAL_TIMEOUT,
    Trouble.RESET,
    Trouble.PROTOCOL_ERROR,
}
"""The troubles in which nothing of use was heard from the gateway."""
