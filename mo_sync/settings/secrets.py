"""Secrets come from files of their own, so that no configuration, environment or process list need hold them.

A secret ``token`` has a twin ``token_file``, a path. systemd hands a service its credentials as files in a folder of
its own (``$CREDENTIALS_DIRECTORY``, systemd.exec(5)); one named ``gateway__token`` or ``gateway.token`` becomes
``gateway.token_file``. What is in such a file is read by whoever uses the secret, at the moment of use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mo_sync.settings.keys import Name, dotted, find, is_section, nearest
from mo_sync.settings.problems import Given, Origin, Problem

__all__ = ["credentials", "said_twice", "twin"]

_FILE = "_file"


def twin(name: Name) -> Name | None:
    """The other way to give the same secret: ``token`` for ``token_file``, and the reverse. None for what is no secret.

    >>> twin(("gateway", "token")), twin(("gateway", "ca_bundle"))
    (('gateway', 'token_file'), None)
    """
    last = name[-1]
    other = (*name[:-1], last.removesuffix(_FILE) if last.endswith(_FILE) else last + _FILE)
    pair = [key.kind for key in (find(name), find(other)) if key]
    return other if sorted(pair) == ["path", "secret"] else None


def said_twice(given: Mapping[Name, Given]) -> list[Problem]:
    """A problem for each secret that one source gives both as it is and as a file."""
    return [
        Problem(dotted(name), str(value.origin), f"{dotted(other)} is given too ({given[other].origin}); keep only one")
        for name, value in given.items()
        if not name[-1].endswith(_FILE) and (other := twin(name)) and other in given
    ]


def credentials(environ: Mapping[str, str]) -> tuple[dict[Name, Given], list[Problem]]:
    """What systemd handed over, as paths, and what is wrong with it.

    Only files whose names look like settings of ours are meant for us: a service may be given others too.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}, []
    try:
        files = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError as error:
        return {}, [Problem("", "$CREDENTIALS_DIRECTORY", f"the folder cannot be read ({error.strerror})")]
    given: dict[Name, Given] = {}
    problems: list[Problem] = []
    for file in files:
        name = _name(file)
        if name is None:
            continue
        value = Given(str(Path(folder) / file), Origin("credential", f"credential {file}"), Path(folder))
        path = _as_path(name)
        if path is None:
            problems.append(_no_secret(name, value))
        elif path in given:
            problems.append(Problem(dotted(path), str(value.origin), f"{given[path].origin} is given too; keep one"))
        else:
            given[path] = value
    return given, problems


def _name(file: str) -> Name | None:
    """The setting that a credential's file name means, or None when it means something else."""
    if "__" in file:
        return _folded(file.split("__"))
    parts = file.split(".")
    return _folded(parts) if len(parts) > 1 and is_section((parts[0].lower(),)) else None


def _folded(parts: list[str]) -> Name:
    """Letter case tells nothing in our own names; an application's id stays as it is written."""
    own = parts[0].lower() == "applications"
    return tuple(part if own and place == 1 else part.lower() for place, part in enumerate(parts))


def _as_path(name: Name) -> Name | None:
    """The ``_file`` key that a credential called ``name`` (or itself ``…_file``) stands for."""
    key = find(name)
    other = twin(name)
    if key is None or other is None:
        return None
    return other if key.kind == "secret" else name


def _no_secret(name: Name, given: Given) -> Problem:
    if find(name):
        return Problem(dotted(name), str(given.origin), "this is no secret; set it in the file or the environment")
    known = nearest(name)
    meant = f"; did you mean {known.replace('.', '__')}?" if known else ""
    return Problem(dotted(name), str(given.origin), f"there is no such secret{meant}")
