"""What the gateway says: an answer as a value, and the ways SCG words an error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

__all__ = ["JSON", "NO_CONTENT", "WORDINGS", "Answer", "Refusal", "as_json", "layer_error", "scg_error", "worded"]

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, and how it goes over the wire.

    ``wire`` names a row of :data:`mo_sync.sandbox.wire.WIRES`; the three numbers after it are that row's: how long it
    dawdles, how much of the body (0 to 1) it sends before it misbehaves, and how long a padded body grows. ``delay_s``
    passes before the first byte.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    wire: str = "whole"
    seconds: float = 0.0
    share: float = 0.5
    size_bytes: int = 0
    delay_s: float = 0.0


NO_CONTENT: Final = Answer(204)


class Refusal(Exception):
    """The call ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def as_json(value: object, status: int = 200) -> Answer:
    """A value as a JSON answer."""
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), JSON)


MEANINGS: Final = {
    "1023": "Invalid parameter value",
    "4001": "Bad request",
    "4010": "Unauthorized: the access token is missing, wrong or of another application",
    "4020": "Not enough credit",
    "4021": "Quota exceeded",
    "4030": "Forbidden",
    "4031": "Attachment was not found in cache or database",
    "4032": "The attachment is in the wrong state",
    "4037": "The attachment is in the wrong state",
    "4040": "The resource does not exist",
    "4046": "Access token is expired",
    "4090": "The resource was changed by someone else",
    "1001": "Conflict",
    "5000": "Internal server error",
    "5001": "Internal server error, not retriable",
    "5004": "Storage error",
    "5030": "Service is temporarily unavailable",
    "40030": "Only UPLOADED attachments can be downloaded",
}


def scg_error(status: int, code: str, description: str = "") -> Answer:
    """An error of the messaging API: ``SCG_ERROR_<code>`` and a sentence.

    >>> scg_error(404, "4046").body
    b'{"error_code":"SCG_ERROR_4046","error_description":"Access token is expired"}'
    """
    return worded("scg", status, code, description)


def layer_error(status: int, user_message: str) -> Answer:
    """An error of the layer in front, where application tokens are refreshed."""
    return as_json({"errorCode": 1, "moreInfo": "", "userMsg": user_message}, status)


def worded(wording: str, status: int, code: str, description: str = "") -> Answer:
    """The same error in one of the wordings seen: see :data:`WORDINGS`."""
    sentence = description or MEANINGS.get(code, "Error")
    content_type, template = WORDINGS[wording]
    body = template.replace("CODE", code).replace("STATUS", str(status)).replace("SENTENCE", sentence)
    return Answer(status, body.encode(), content_type)


WORDINGS: Final[dict[str, tuple[str, str]]] = {
    "scg": (JSON, '{"error_code":"SCG_ERROR_CODE","error_description":"SENTENCE"}'),
    "number": (JSON, '"CODE"'),
    "text": ("text/plain", "STATUS SENTENCE"),
    "html": ("text/html", "<html><head><title>STATUS</title></head><body><h1>SENTENCE</h1></body></html>"),
    "layer": (JSON, '{"errorCode":1,"moreInfo":"CODE","userMsg":"SENTENCE"}'),
}
"""How an error can be worded: SCG's own way, older services' bare number, a proxy's text or page, the layer before."""
