"""What ``mo-sync doctor`` says of secrets: who may read them, be they in files of their own or in the configuration."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mo_sync.cli.checks import Check, Examined
from mo_sync.settings.changes import values_of
from mo_sync.settings.keys import Name, dotted, find
from mo_sync.settings.load import Loaded
from mo_sync.settings.problems import without_password
from mo_sync.settings.secrets import twin

__all__ = ["configuration", "secret_files"]

_TOLD_ELSEWHERE = "token_file"


def configuration(examined: Examined) -> Iterator[Check]:
    """The settings were read; this is about the file they came from."""
    path = examined.loaded.path
    if path is None:
        yield Check("configuration", "ok", "there is no file; all of it comes from variables, credentials and defaults")
        return
    names = _secrets_in_file(examined.loaded)
    if names and (mode := stat.S_IMODE(path.stat().st_mode)) & stat.S_IROTH:
        summary = f"{path} holds a secret ({', '.join(names)}), and anyone on this machine may read it ({mode:04o})"
        yield Check("configuration", "warning", summary, f"chmod o-rwx {path}")
        return
    yield Check("configuration", "ok", str(path))


def secret_files(examined: Examined) -> Iterator[Check]:
    """Each file that holds a secret, but for the tokens', is there and is not for everybody."""
    found = {name: value for name, value in values_of(examined.settings).items() if _is_secret_file(name, value)}
    checks = [check for name, path in found.items() if (check := _of_file(name, path))]
    yield from checks
    if found and not checks:
        yield Check("secrets", "ok", ", ".join(f"{dotted(name)} ({_mode(path):04o})" for name, path in found.items()))


def _secrets_in_file(loaded: Loaded) -> list[str]:
    """The names of what stands in the file and is nobody else's business, an address with a password too."""
    return [
        dotted(name)
        for name, value in values_of(loaded.settings).items()
        if value is not None and loaded.origins[dotted(name)].kind == "file" and _tells(name, value)
    ]


def _tells(name: Name, value: object) -> bool:
    key = find(name)
    if key is not None and key.kind == "secret":
        return True
    return isinstance(value, str) and without_password(value) != value


def _is_secret_file(name: Name, value: object) -> bool:
    """A private key has no twin, since nobody would write it among the settings."""
    kept_in_file = twin(name) is not None or name[-1] == "certificate_key"
    return isinstance(value, Path) and kept_in_file and name[-1] != _TOLD_ELSEWHERE


def _of_file(name: Name, path: Path) -> Check | None:
    check = f"secret {dotted(name)}"
    try:
        mode = _mode(path)
    except OSError as error:
        return Check(check, "failed", f"{path} cannot be read ({error.strerror})", "see whether it is there")
    if not os.access(path, os.R_OK):
        return Check(check, "failed", f"{path} cannot be read ({mode:04o})", "let mo-sync's user read it")
    if mode & stat.S_IROTH:
        return Check(check, "warning", f"anyone on this machine may read {path} ({mode:04o})", f"chmod o-rwx {path}")
    return None


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
