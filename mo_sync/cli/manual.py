"""Prints ``docs/mo-sync.1``, the manual page, from the help of the commands: ``python -m mo_sync.cli.manual``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from mo_sync.cli.main import app

__all__ = ["manual"]

_NAME = "mo\\-sync"
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_FILES = {
    "/etc/mo-sync/mo-sync.toml": "The configuration, where neither --config nor MO_SYNC_CONFIG nor ./mo-sync.toml is.",
    "/var/lib/mo-sync/ledger.db": "The ledger of the service.",
    "/var/lib/mo-sync/media": "Its files.",
    "/var/lib/mo-sync/drop": "Where events are dropped.",
}
_ENVIRONMENT = {
    "MO_SYNC_CONFIG": "The configuration file.",
    "MO_SYNC_SECTION__KEY": "A setting: MO_SYNC_GATEWAY__BASE_URL is base_url of [gateway].",
    "MO_SYNC_DEBUG": "1 shows where an unexpected error happened.",
    "NO_COLOR": "No colours.",
}


def manual() -> str:
    """The page, in the language of man(7)."""
    root = typer.main.get_command(app)
    return "\n".join([*_head(root), *_commands(root), *_tail(root)]) + "\n"


def _head(root: Any) -> Iterator[str]:
    yield f'.TH MO\\-SYNC 1 "" "{_NAME}" "User Commands"'
    yield ".SH NAME"
    yield f"{_NAME} \\- files that customers send through Syniverse, fetched, verified and kept"
    yield ".SH SYNOPSIS"
    yield f".B {_NAME}\n[\\fIOPTION\\fR]... \\fB\\-\\-sync\\-now\\fR"
    yield ".br"
    yield f".B {_NAME}\n[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]..."
    yield ".SH DESCRIPTION"
    yield from _prose(root.help)
    yield ".SH OPTIONS"
    yield from _options(root)


def _commands(root: Any) -> Iterator[str]:
    yield ".SH COMMANDS"
    for words, command in _each(root, ()):
        arguments = "".join(f" {_plain(_argument(one))}" for one in command.params if one.param_type_name == "argument")
        yield f".SS {_NAME} {_plain(' '.join(words))}{arguments}"
        yield from _prose(command.help)
        yield from _options(command)


def _argument(one: Any) -> str:
    name = (one.metavar or one.name) + ("..." if one.nargs == -1 else "")
    return name if one.required else f"[{name}]"


def _each(group: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from _each(command, (*above, name))
        else:
            yield (*above, name), command


def _tail(root: Any) -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for line in root.epilog.splitlines():
        if found := re.match(r"\s+(\d+)\s+(.*)", line):
            yield f".TP\n.B {found[1]}\n{_plain(found[2])}"
    for title, facts in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        yield f".SH {title}"
        for name, meaning in facts.items():
            yield f".TP\n.I {_plain(name)}\n{_plain(meaning)}"
    yield ".SH SEE ALSO"
    yield ".BR sqlite3 (1),\n.BR systemctl (1),\n.BR journalctl (1)"


def _prose(text: str | None) -> Iterator[str]:
    for paragraph in _PARAGRAPHS.split((text or "").strip()):
        words = " ".join(paragraph.split())
        if words.startswith("Example: "):
            yield f".PP\nExample:\n.PP\n.RS 4\n.EX\n{_plain(words.removeprefix('Example: '))}\n.EE\n.RE"
        else:
            yield f".PP\n{_plain(words)}"


def _options(command: Any) -> Iterator[str]:
    for one in command.params:
        if one.param_type_name != "option" or getattr(one, "hidden", False) or "completion" in one.name:
            continue
        names = ", ".join(f"\\fB{_plain(name)}\\fR" for name in (*one.opts, *one.secondary_opts))
        value = f" \\fI{_plain(_value(command, one))}\\fR" if _value(command, one) else ""
        yield f".TP\n{names}{value}\n{_plain((one.help or '') + _default(one))}"


def _value(command: Any, one: Any) -> str:
    """What stands behind the option: its metavar, or the words to choose from; nothing for a flag."""
    if one.is_flag:
        return ""
    return str(one.metavar or one.display_type(typer.Context(command))).strip("<>")


def _default(one: Any) -> str:
    given = one.default
    if one.is_flag or given is None or callable(given) or given == ():
        return ""
    return f" Default: {getattr(given, 'value', given)}."


def _plain(text: str) -> str:
    """Text that means nothing to the formatter."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = _FOREIGN.sub(lambda found: f"\\[u{ord(found[0]):04X}]", escaped)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    sys.stdout.write(manual())
