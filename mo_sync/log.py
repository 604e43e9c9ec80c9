"""Logging: one line an event, ``noun.verb`` with fields, JSON or for a terminal; nothing secret in it.

    _log = structlog.get_logger(__name__)
    _log.info("attachment.stored", attachment=..., size=...)

What other libraries log through :mod:`logging` takes the same way. Every line passes :func:`redact` last, whatever its
author took care of: keys that sound like secrets are masked, what people wrote is left out, telephone numbers keep
their last four digits, and bearer words, content tokens and passwords inside longer texts are masked.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from structlog.typing import Processor

__all__ = ["Choices", "Stream", "configure", "is_journal", "mask_number", "redact", "redact_text"]

MASK = "**********"

_SECRET_KEY = re.compile(
    r"token|secret|passw|passphrase|authorization|bearer|credential|cookie|api_?key|consumer_?key|private_?key",
    re.IGNORECASE,
)
_NO_SECRET_KEY = re.compile(r"(_file|_path|_count|_s)$", re.IGNORECASE)
_WRITTEN_KEY = re.compile(r"^(message_)?(body|payload|subject)$", re.IGNORECASE)
_NUMBER_KEY = re.compile(r"(from|to|sender)_?(address|number)$|phone|msisdn|^number$", re.IGNORECASE)

_NAMED_SO = "token|secret|password|consumer_?key|api_?key"
_IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',;]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(basic\s+)[A-Za-z0-9+/_-]{8,}=*"), rf"\1{MASK}"),
    # A content token stands in the path that it opens: /scg-attachment/api/v1/messaging/attachments/<token>/content
    (re.compile(r"(?i)(/attachments/)[^/\s\"']+(/content)"), rf"\1{MASK}\2"),
    (re.compile(rf"(?i)\b(\w*(?:{_NAMED_SO})[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}}]+"), rf"\1{MASK}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), rf"\1{MASK}"),
)
_NUMBER = re.compile(
    # Ten digits in a row are a number, whatever word stands beside them: so our own sentences write sizes with commas.
    # A UUID and a moment written as fourteen digits look like numbers in part: they are matched first and kept.
    r"(?P<kept>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|(?<![0-9A-Za-z])20[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])[0-9]{6}(?![0-9A-Za-z]))"
    r"|(?<![0-9A-Za-z])\+[0-9](?:[ ().-]{0,2}[0-9]){7,14}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])[0-9]{10,15}(?![0-9A-Za-z])"
)
_SUSPECT = re.compile(
    rf"{_NAMED_SO}|authorization|bearer|basic|/attachments/|://|[0-9]{{10}}|\+[0-9][0-9 ().-]{{7}}", re.IGNORECASE
)
"""What every text that must be masked somewhere holds: most texts hold none of it, and one look is enough."""
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_CHATTY = ("apscheduler", "urllib3", "alembic", "watchfiles", "uvicorn")
_TELLTALES = ("sqlalchemy",)
"""At their most talkative they show rows, and so the words and numbers of messages, under no name that tells."""
_HANDLER = "mo-sync"


class Choices(Protocol):
    """What an operator chooses, see ``[log]`` in the settings."""

    @property
    def level(self) -> str:
        """The least that is logged: debug, info, warning or error."""

    @property
    def format(self) -> str:
        """json, console, or auto: console on a terminal."""


class Stream(Protocol):
    """Where lines are written to."""

    def write(self, text: str, /) -> object:
        """Take a whole line."""

    def flush(self) -> object:
        """Let go of what was written."""


def configure(choices: Choices, *, stream: Stream, terminal: bool, journal: bool = False) -> None:
    """Send what is logged from now on to ``stream``. Calling it again changes level and format at once.

    ``terminal`` says whether a person looks at the stream, ``journal`` that systemd's journal reads it: then each line
    begins with its priority as sd-daemon(3) has it, which the journal takes off again.
    """
    import structlog

    level = logging.getLevelName(choices.level.upper())
    console = choices.format == "console" or (choices.format == "auto" and terminal)
    line = _rendering(console=console, colors=terminal and _coloured(os.environ), journal=journal)
    writer = _Writer(stream)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_describing(), *line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: writer,
        cache_logger_on_first_use=False,
    )
    _route_logging(level, line, writer)


def _coloured(environ: Mapping[str, str]) -> bool:
    """Whether a terminal takes colours, and its user wants them (no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM", "").lower() not in ("dumb", "unknown")


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` goes to systemd's journal: ``$JOURNAL_STREAM`` is its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def mask_number(number: str | None) -> str:
    """A telephone number as it may be shown: its last four characters; nothing of one with fewer than eight.

    >>> mask_number("+14086080000"), mask_number("12345"), mask_number(None)
    ('********0000', '*****', '')
    """
    if not number:
        return ""
    kept = number[-4:] if len(number) >= 8 else ""
    return "*" * (len(number) - len(kept)) + kept


def redact_text(text: str) -> str:
    """``text`` without the secrets and full numbers that can be told by their looks.

    >>> redact_text("Authorization: Bearer abc.def for +14086080000")
    'Authorization: ********** for ********0000'
    """
    if _SUSPECT.search(text) is None:
        return text
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return _NUMBER.sub(lambda found: found["kept"] or mask_number(found[0]), text)


def redact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` as they may be logged, made of what JSON knows. What people wrote is left out.

    >>> redact({"token": "abc", "body": "Hello", "to_address": "18322222222", "size": 7})
    {'token': '**********', 'to_address': '*******2222', 'size': 7}
    """
    told: dict[str, Any] = {}
    for key, value in fields.items():
        match _sounds_like(str(key)):
            case "written":
                continue
            case "secret" if value is not None and not isinstance(value, bool):
                told[str(key)] = MASK
            case "number" if isinstance(value, str | int) and not isinstance(value, bool):
                told[str(key)] = mask_number(str(value))
            case _:
                told[str(key)] = _value(value)
    return told


@lru_cache(maxsize=1024)
def _sounds_like(key: str) -> Literal["written", "secret", "number", "plain"]:
    """What a field's name says about its value. The same few names come again and again."""
    if _WRITTEN_KEY.search(key):
        return "written"
    if _SECRET_KEY.search(key) and not _NO_SECRET_KEY.search(key):
        return "secret"
    return "number" if _NUMBER_KEY.search(key) else "plain"


def _value(value: object) -> object:  # noqa: PLR0911  a table of kinds, one line each
    """Anything as JSON's own kinds. What is none of them is shown by its ``repr``: a secret's is masked by its type."""
    match value:
        case None | bool() | int() | float() if not isinstance(value, Enum):
            return value
        case Enum():
            return _value(value.value)
        case str() | PurePath():
            return redact_text(str(value))
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Mapping():
            return redact(value)
        case list() | tuple() | set() | frozenset():
            return [_value(item) for item in value]
        case _:
            return redact_text(repr(value))


def _describing() -> list[Processor]:
    import structlog

    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # plain text: a trace that shows local variables would show secrets
    ]


def _rendering(*, console: bool, colors: bool, journal: bool) -> list[Processor]:
    """Redaction, then the line: what runs after :func:`redact` adds nothing."""
    import structlog
    from structlog.dev import plain_traceback

    renderer: Processor
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)
    else:
        renderer = structlog.processors.JSONRenderer(sort_keys=True)
    return [_redacting, _with_priority(renderer) if journal else renderer]


def _redacting(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return redact(fields)


def _with_priority(renderer: Processor) -> Processor:
    def prefixed(logger: object, method: str, fields: MutableMapping[str, Any]) -> str:
        prefix = f"<{_PRIORITY.get(str(fields.get('level')), 6)}>"
        # The journal takes each line for an entry of its own, so that each needs the prefix.
        return "\n".join(prefix + line for line in str(renderer(logger, method, fields)).split("\n"))

    return prefixed


def _route_logging(level: int, line: list[Processor], writer: _Writer) -> None:
    """Give what libraries log through ``logging`` the same form, and let the chatty ones speak from warnings on."""
    import structlog

    handler = _Handler(writer)
    handler.set_name(_HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *_describing()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *line],
        )
    )
    root = logging.getLogger()
    for old in [known for known in root.handlers if known.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
    for name in _TELLTALES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)


class _Writer:
    """Whole lines from any thread. A log that cannot be written never stops the work: the ledger is the truth."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(f"{line}\n")
                self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Handler(logging.Handler):
    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._write: Callable[[str], None] = writer.msg

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record))
