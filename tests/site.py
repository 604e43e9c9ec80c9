"""An installation of mo-sync in a folder of its own, driven as an operator drives it: files, processes, sqlite3."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.forks import Forked

__all__ = ["Site"]

_STREAMS = frozenset({"stdin", "stdout", "stderr"})
_PROGRAM = [sys.executable, "-m", "mo_sync"]


class Site:
    """``root`` holds mo-sync.toml, token, drop/, media/ and ledger.db. ``changes`` are more lines of configuration."""

    def __init__(self, root: Path, base_url: str, *, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.root = root
        self.drop_folder = root / "drop"
        self.media = root / "media"
        self.drop_folder.mkdir(parents=True)
        (root / "token").write_text("sandbox-token\n")
        (root / "token").chmod(0o600)
        tables: dict[str, dict[str, Any]] = {
            "gateway": {"base_url": base_url, "token_file": "token"},
            "drop": {"path": "drop", "settle": "20ms"},
            "ledger": {"url": "sqlite:///ledger.db"},
            "store": {"url": "media"},
            "sync": {"workers": 16, "interval": "200ms", "lease": "30s"},
            "retry": {"base": "50ms", "max_delay": "200ms", "snooze": "100ms", "hold": "200ms"},
            "limits": {"min_free": 0},
            "inbox": {"enabled": False},
        }
        for name, keys in (settings or {}).items():
            tables.setdefault(name, {}).update(keys)
        self.configure(tables)

    def configure(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Write mo-sync.toml anew."""
        lines: list[str] = []
        for name, keys in tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        self.tables = {name: dict(keys) for name, keys in tables.items()}
        (self.root / "mo-sync.toml").write_text("\n".join(lines) + "\n")

    def environment(self, **more: str) -> dict[str, str]:
        """What the processes of this site see: nothing of this machine's own mo-sync or proxies."""
        foreign = ("MO_SYNC", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not (k.lower().endswith("_proxy") or k.startswith(foreign))}
        return {**kept, "NO_COLOR": "1", "PYTHONPATH": os.getcwd(), **more}

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Start ``mo-sync ARGUMENTS`` here."""
        environ = more.pop("environ", {})
        environment = self.environment(**environ)
        plain = _STREAMS.issuperset(more) and not any(name.startswith("PYTHON") for name in environ)
        return (Forked if plain else subprocess.Popen)(
            [*([] if plain else _PROGRAM), *arguments],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=more.pop("stderr", subprocess.PIPE),
            stdin=more.pop("stdin", subprocess.DEVNULL),
            **more,
        )

    def run(self, *arguments: str, timeout_s: float = 100, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run ``mo-sync ARGUMENTS`` here to its end."""
        with self.start(*arguments, **more) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def sync_until_settled(self, *, passes: int = 60) -> subprocess.CompletedProcess[str]:
        """Repeat ``--sync-now`` while it says that work remains (exit code 4)."""
        for _ in range(passes):
            done = self.run("--sync-now")
            if done.returncode != 4:
                return done
        raise AssertionError(f"still unsettled after {passes} passes:\n{done.stdout}\n{done.stderr}")

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file as a careful program does: under another name first, then renamed."""
        temporary = self.drop_folder / f".{name}.tmp"
        temporary.write_bytes(content)
        temporary.rename(self.drop_folder / name)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the ledger as a person does, with plain sqlite3."""
        ledger = sqlite3.connect(f"file:{self.root / 'ledger.db'}?mode=ro", uri=True, timeout=10)
        try:
            return ledger.execute(sql, values).fetchall()
        finally:
            ledger.close()

    def states(self) -> dict[str, int]:
        """How many attachments are in each state."""
        return dict(self.query("select state, count(*) from attachment group by state"))

    def files(self) -> dict[str, bytes]:
        """Every file below the store, by its key: nothing may lie there that the ledger does not know."""
        return {
            str(path.relative_to(self.media)): path.read_bytes()
            for path in sorted(self.media.rglob("*"))
            if path.is_file()
        }

    def check_store(self, truth: Mapping[str, bytes]) -> None:
        """Fail unless store, ledger and ``truth`` (attachment id -> bytes) agree to the byte, with nothing besides."""
        stored = self.query("select id, location, size, sha256 from attachment where state in ('stored','quarantined')")
        files = self.files()
        damaged = [
            attachment
            for attachment, key, size, sha256 in stored
            if files.get(key) != truth[attachment]
            or len(truth[attachment]) != size
            or hashlib.sha256(truth[attachment]).hexdigest() != sha256
        ]
        strangers = set(files) - {key for _, key, _, _ in stored}

        assert damaged == []
        assert strangers == set()
