"""``mo-sync init`` and ``mo-sync config``: what an operator does first. ``mo-sync doctor`` has a file of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mo_sync.cli.context import Context, context_of
from mo_sync.cli.output import Output
from mo_sync.cli.sparing import refuse_any_of
from mo_sync.errors import ConfigurationError, ExitCode, LedgerOutOfReach, UsageError
from mo_sync.settings import Settings
from mo_sync.settings.changes import values_of
from mo_sync.settings.keys import Name, dotted, find
from mo_sync.settings.load import Loaded
from mo_sync.settings.paths import CONFIGURATION, folder_of, ledger_file, own_files
from mo_sync.settings.problems import MASK, without_password
from mo_sync.settings.reference import toml_template
from mo_sync.settings.sources import FILE_NAME
from mo_sync.wholefile import refuse_no_file

__all__ = ["config", "init", "settings_document"]

_FILE_MODE = 0o640
_DROP_MODE = 0o770
_STORE_MODE = 0o750


@dataclass(slots=True)
class _Done:
    """What ``init`` did, and what was there already."""

    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def note(self, what: object, *, made: bool) -> None:
        (self.made if made else self.found).append(str(what))


def init(
    ctx: typer.Context,
    *,
    path: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to write it, by default here.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help=f"Write {FILE_NAME} anew; the old one is kept as {FILE_NAME}.old.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as one JSON document.")] = False,
) -> None:
    """Write a commented mo-sync.toml; make the folders and the ledger that it names.

    What exists is left as it is, so that it may be run again. No token is asked for and none is written: it says where
    to put it.

    Example: mo-sync init --path /srv/mo-sync
    """
    context = context_of(ctx)
    target = _target(context, path)
    done = _Done()
    if force:
        _refuse_what_is_none(context, target)
    _write_configuration(target, done, force=force)
    loaded = replace(context, config=target).loaded()
    _make_folders(loaded.settings, done)
    _make_ledger(loaded.settings, done)
    _tell(context.output(as_json=as_json), target, done, _next_steps(context, loaded))


def config(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Show them as one JSON document.")] = False,
    show_origin: Annotated[bool, typer.Option("--show-origin", help="Show where each value came from.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Show only which file is read.")] = False,
) -> int:
    """Show the settings in force, as TOML. Secrets are hidden.

    Example: mo-sync config --show-origin
    """
    context = context_of(ctx)
    output = context.output(as_json=as_json)
    loaded = context.loaded(required=False)
    if output.as_json:
        output.json(settings_document(loaded))
    elif path:
        output.result(str(loaded.path or "no file"))
    else:
        output.result(_as_toml(loaded, show_origin=show_origin))
    return ExitCode.SETTLED


def _target(context: Context, folder: Path | None) -> Path:
    """The file to write: ``--config`` names it, or ``--path`` its folder."""
    if context.config is not None and folder is not None:
        raise UsageError("usage-wrong", "--config and --path name the same thing", hint="give one of them")
    return context.cwd / (context.config or (folder or Path()) / FILE_NAME)


def _refuse_what_is_none(context: Context, target: Path) -> None:
    """Raises UsageError when what would be replaced, or the name that it is to be kept under, is something else than a
    configuration: one that somebody broke is replaced too, but no database, no token and no device."""
    kept = _kept(target)
    with contextlib.suppress(ConfigurationError):  # of settings that cannot be read, no other file is known
        others = own_files(replace(context, config=None).loaded(required=False))
        others = {path: what for path, what in others.items() if what != CONFIGURATION}
        for path in (target, kept):
            refuse_any_of(others, path)
    try:
        refuse_no_file(target)
        refuse_no_file(kept)
        binary = target.exists() and b"\0" in target.read_bytes()
    except OSError as error:
        raise _cannot_make(target, error) from error
    if binary:
        hint = "name the configuration with --config, or its folder with --path"
        raise UsageError("target-no-configuration", "what is there is no text", item=str(target), hint=hint)


def _kept(target: Path) -> Path:
    return target.with_name(f"{target.name}.old")


def _write_configuration(target: Path, done: _Done, *, force: bool) -> None:
    _make_folder(target.parent, _STORE_MODE)
    try:
        if force and target.exists():
            kept = _kept(target)
            target.replace(kept)
            done.note(kept, made=True)
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(toml_template())
        done.note(target, made=True)
    except FileExistsError:
        done.note(target, made=False)
    except OSError as error:
        raise _cannot_make(target, error) from error


def _make_folders(settings: Settings, done: _Done) -> None:
    folders = [(settings.drop.path, _DROP_MODE), (folder_of(settings.store.url), _STORE_MODE)]
    for folder, mode in folders:
        if folder is None:
            continue
        existed = folder.is_dir()
        _make_folder(folder, mode)
        done.note(f"{folder}/", made=not existed)


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_make(folder, error) from error


def _make_ledger(settings: Settings, done: _Done) -> None:
    from mo_sync.ledger import Ledger

    file = ledger_file(settings)
    existed = file is None or os.path.exists(file)  # noqa: PTH110  without rights Path.exists raises
    older = _is_older(settings)
    with Ledger.open(settings.ledger) as ledger:
        what = str(file or ledger.name)
        done.note(f"{what} (of the newest revision; it was older)" if older else what, made=older or not existed)


def _is_older(settings: Settings) -> bool:
    from mo_sync.ledger import Ledger

    try:
        Ledger.open(settings.ledger, migrate=False).close()
    except LedgerOutOfReach as error:
        return error.code == "ledger-outdated"
    return False


def _cannot_make(path: Path, error: OSError) -> ConfigurationError:
    hint = "let this user write there, or name another place"
    if isinstance(error, FileExistsError | NotADirectoryError):
        blocking = next((one for one in (path, *path.parents) if one.exists()), path)
        hint = "name another place, or move what is there out of the way"
        return ConfigurationError("cannot-make", f"{blocking} is not a folder", item=str(path), hint=hint)
    return ConfigurationError("cannot-make", f"it cannot be made ({error.strerror})", item=str(path), hint=hint)


def _next_steps(context: Context, loaded: Loaded) -> list[str]:
    """What is left to a person: the token, then a look whether all is well."""
    program = context.program
    if loaded.path is not None and (loaded.path != context.cwd / FILE_NAME or context.environ.get("MO_SYNC_CONFIG")):
        program += f" --config {shlex.quote(str(loaded.path))}"
    gateway = loaded.settings.gateway
    steps = []
    if gateway.token_file is not None and not gateway.token_file.exists():
        file = shlex.quote(str(gateway.token_file))
        steps.append(f"install -m 600 /dev/stdin {file}    # paste the application token, then Ctrl-D")
    return [*steps, f"{program} doctor", f"{program} --sync-now    # or: {program} run"]


def _tell(output: Output, target: Path, done: _Done, steps: list[str]) -> None:
    if output.as_json:
        output.json({"configuration": str(target), "made": done.made, "found": done.found, "next": steps})
        return
    for what in done.made:
        output.say(f"made    {what}")
    for what in done.found:
        output.say(f"exists  {what}")
    if not done.made:
        output.say("Everything was there already; nothing was changed.")
    output.say("Next:")
    for number, step in enumerate(steps, start=1):
        output.say(f"  {number}  {step}")


def settings_document(loaded: Loaded) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, value in values_of(loaded.settings).items():
        branch = settings
        for part in name[:-1]:
            branch = branch.setdefault(part, {})
        branch[name[-1]] = _open_value(name, value)
    origins = {name: {"kind": origin.kind, "place": origin.place} for name, origin in loaded.origins.items()}
    return {"path": loaded.path and str(loaded.path), "settings": settings, "origins": origins}


def _as_toml(loaded: Loaded, *, show_origin: bool) -> str:
    """The settings as a TOML file would give them, with what is not set as a comment."""
    lines = [f"# {loaded.path or 'no configuration file'}"]
    section: Name = ()
    for name, value in values_of(loaded.settings).items():
        if name[:-1] != section:
            section = name[:-1]
            lines += ["", f"[{dotted(section)}]"]
        key = find(name)
        text = key.shown(_open_value(name, value)) if key else ""
        line = f"{name[-1]} = {text}" if text else f"# {name[-1]} is not set"
        lines.append(f"{line}    # {loaded.origins[dotted(name)]}" if show_origin and text else line)
    return "\n".join(lines)


def _open_value(name: Name, value: object) -> object:
    """A value as anybody may see it."""
    key = find(name)
    if value is None:
        return None
    if key is None or key.kind == "secret":
        return MASK
    if key.kind == "text":
        return without_password(str(value))
    return str(value) if key.kind == "path" else value
