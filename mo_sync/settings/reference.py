"""The settings as pages for people: ``docs/configuration.md``, and the ``mo-sync.toml`` that ``init`` writes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from mo_sync.settings.changes import reloadable
from mo_sync.settings.keys import ANY_ID, Key, Name, dotted, keys, sections

__all__ = ["markdown", "toml_template"]

_WIDTH = 110
_OPEN: dict[Name, str] = {
    ("gateway", "token_file"): '"token"',
    ("drop", "path"): '"drop"',
    ("ledger", "url"): '"sqlite:///ledger.db"',
    ("store", "url"): '"media"',
}
"""What the shortest useful file says; everything else is a comment in the one that ``init`` writes."""

_INTRODUCTION = """\
# Configuration

Made from `mo_sync/settings/model.py` by `python -m mo_sync.settings`: change it there.

`mo-sync init` writes a commented `mo-sync.toml`. The shortest useful one:

```toml
[gateway]
token_file = "token"          # the application token stands in this file
[drop]
path = "drop"                 # events are taken from here
[ledger]
url = "sqlite:///ledger.db"
[store]
url = "media"                 # the files end up here
```

## Where settings come from

Later ones win:

1. the defaults below;
2. one TOML file: `--config PATH`, else `$MO_SYNC_CONFIG`, else `./mo-sync.toml`, else `/etc/mo-sync/mo-sync.toml`;
3. environment variables, `MO_SYNC_<SECTION>__<KEY>` with two underscores between the parts. An empty one counts as
   not set. A list is written with commas, or as JSON; a table as JSON, or entry by entry
   (`MO_SYNC_LIMITS__SCAN_STATUS__SUSPECT=refuse`);
4. credentials: for each secret, a file in systemd's `$CREDENTIALS_DIRECTORY` named like the setting
   (`gateway__token` or `gateway.token`, `applications__17226__token`). It becomes the secret's `token_file`.

`mo-sync config --show-origin` shows what is in force and where each value came from; secrets are hidden. A mistake
names its file and line, its variable or its credential, and all mistakes are told at once; an unknown key is one.

- **Durations** are texts with a unit (`"500ms"`, `"3s"`, `"15m"`, `"2h"`, `"30d"`, `"1h30m"`), or numbers of seconds.
- **Sizes** are texts with a unit (`"20MB"` is 20,000,000 bytes, `"20MiB"` is 20,971,520), or numbers of bytes.
- **Relative paths** begin at the file that they stand in; in a variable, at the current folder. So do the folder in
  `store.url` and the file in `sqlite:///ledger.db`; with four slashes, `sqlite:////srv/ledger.db`, it is absolute.
- **Secrets** are best kept in a file of their own. A source gives `token` or `token_file`, never both.
- **Entries of a table** are added to those of its default, and replace them by name.

A running daemon takes some changes over when it is told to (`systemctl reload mo-sync`, or SIGHUP); for others it
must be started anew, and says so. Each table tells which. The token inside a `token_file` is read again by itself.
"""

_TEMPLATE_HEAD = """\
# Settings of mo-sync. What is commented out shows its default (or an example, where there is none).
# `mo-sync config` shows what is in force, `mo-sync doctor` checks it. All of it: docs/configuration.md
# Relative paths begin at this file. Durations: "500ms", "3s", "15m", "2h", "30d". Sizes: "20MB", "1MiB", "5GB".
"""


def markdown() -> str:
    """The page ``docs/configuration.md``."""
    parts = [_INTRODUCTION]
    for section, model in sections().items():
        if own := _keys_in(section):
            parts += [f"## `[{dotted(section)}]`\n\n{model.__doc__ or ''}\n", _grid(own)]
    return "\n".join(parts)


def toml_template() -> str:
    """A ``mo-sync.toml`` with every key: the four of the shortest useful file open, all others commented out."""
    parts = [_TEMPLATE_HEAD]
    for section, model in sections().items():
        if own := _keys_in(section):
            parts.append("\n".join([*_comment(model.__doc__ or ""), *_section(section), *_entries(own)]) + "\n")
    return "\n".join(parts)


def _keys_in(section: Name) -> list[Key]:
    return [key for name, key in keys().items() if name[:-1] == section]


def _grid(own: Iterable[Key]) -> str:
    heads = ("key", "what it means", "allowed", "default", "variable", "a change takes effect")
    rows = [
        (
            f"`{key.name[-1]}`",
            key.meaning,
            key.allowed,
            f"`{key.default_text}`" if key.default_text else "",
            f"`{key.variable}`",
            "at a reload" if reloadable(key.name) else "at a restart",
        )
        for key in own
    ]
    return "\n".join(_row(row) for row in (heads, ["---"] * len(heads), *rows)) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section(section: Name) -> list[str]:
    return [f"[{dotted(section)}]"] if ANY_ID not in section else [f"# [{dotted(section).replace(ANY_ID, '17226')}]"]


def _entries(own: Iterable[Key]) -> Iterator[str]:
    for key in own:
        yield from _comment(f"{key.meaning}{_limits(key)}")
        given = _OPEN.get(key.name)
        yield (
            f"{key.name[-1]} = {given}" if given else f"# {key.name[-1]} = {key.default_text or key.shown(key.example)}"
        )


def _limits(key: Key) -> str:
    """What is allowed, where the default does not show it already."""
    told = key.kind in ("choice", "table", "whole") or "at least" in key.allowed
    return f" Allowed: {key.allowed}." if told else ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="## ", subsequent_indent="## ", break_on_hyphens=False)
