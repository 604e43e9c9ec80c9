"""What a crash may not leave behind, counted: lost, double and damaged things, and leftovers."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.site import Site

__all__ = ["Damage", "Truth", "Watcher", "count"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What was dropped: for each file the ids of its messages, for each attachment its bytes."""

    files: Mapping[str, frozenset[str]]
    content: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Damage:
    """What broke. ``evidence`` are the first few sentences about it."""

    lost: int = 0
    double: int = 0
    damaged: int = 0
    leftovers: int = 0
    evidence: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Whether every promise held."""
        return not (self.lost or self.double or self.damaged or self.leftovers)

    def __add__(self, other: Damage) -> Damage:
        return Damage(
            self.lost + other.lost,
            self.double + other.double,
            self.damaged + other.damaged,
            self.leftovers + other.leftovers,
            (self.evidence + other.evidence)[:6],
        )


class Watcher:
    """Looks at a site right after a kill, before anything is mended: what it shows must be true at every moment.

    P1: the events of a file in done/ are in the ledger. P5: what is stored has its bytes. P6: what can be seen is
    whole. Files that were seen well once and did not change since are not read again.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._well: dict[Path, tuple[int, int]] = {}
        self._acknowledged: set[Path] = set()
        self._stored: set[str] = set()

    def look(self, truth: Truth) -> Damage:
        """What is wrong already."""
        if not (self._site.root / "ledger.db").exists() or not self._tables():
            return Damage()
        lost = self._unrecorded(truth)
        damaged = self._not_whole(truth) + self._not_there(truth)
        evidence = [f"right after the kill: {sentence}" for sentence in lost + damaged]
        return Damage(lost=len(lost), damaged=len(damaged), evidence=tuple(evidence[:6]))

    def _tables(self) -> bool:
        return bool(self._site.query("select 1 from sqlite_master where name = 'alembic_version'"))

    def _unrecorded(self, truth: Truth) -> list[str]:
        new = set(self._site.drop_folder.glob("done/*/*")) - self._acknowledged
        if not new:
            return []
        recorded = {row[0] for row in self._site.query("select id from message")}
        lost = [path for path in new if not truth.files[path.name] <= recorded]
        self._acknowledged |= new
        return [f"{path.name} was filed away, its events are not recorded" for path in lost]

    def _not_whole(self, truth: Truth) -> list[str]:
        sentences = []
        for path in _visible(self._site.media):
            found = path.stat()
            if self._well.get(path) == (found.st_ino, found.st_mtime_ns):
                continue
            if path.read_bytes() != truth.content.get(_attachment_of(path)):
                sentences.append(f"{path.name} can be seen and is not what was sent")
            self._well[path] = (found.st_ino, found.st_mtime_ns)
        return sentences

    def _not_there(self, truth: Truth) -> list[str]:
        rows = self._site.query("select id, location from attachment where state = 'stored'")
        new = [row for row in rows if row[0] not in self._stored]
        self._stored |= {row[0] for row in new}
        return [f"{id_} is called stored, its file is not there" for id_, key in new if not self._holds(key)]

    def _holds(self, key: str) -> bool:
        return (self._site.media / key).is_file()


def count(site: Site, truth: Truth) -> Damage:
    """What is wrong when all is settled and nobody is at work."""
    try:
        findings = [_lost(site, truth), _double(site, truth), _damaged(site, truth), _leftovers(site)]
    except sqlite3.Error as error:
        return Damage(lost=len(truth.content), evidence=(f"the ledger cannot be read: {error}",))
    counts = [len(finding) for finding in findings]
    return replace(Damage(*counts), evidence=tuple(sentence for finding in findings for sentence in finding)[:6])


def _lost(site: Site, truth: Truth) -> list[str]:
    states = dict(site.query("select id, state from attachment"))
    messages = {row[0] for row in site.query("select id from message")}
    filed = {path.name for path in site.drop_folder.glob("done/*/*")}
    wanted = frozenset[str]().union(*truth.files.values())
    return (
        [f"{id_} is {states.get(id_, 'not in the ledger')}" for id_ in truth.content if states.get(id_) != "stored"]
        + [f"message {id_} is not in the ledger" for id_ in wanted - messages]
        + [f"{name} is not in done/" for name in truth.files.keys() - filed]
    )


def _double(site: Site, truth: Truth) -> list[str]:
    known = {row[0] for row in site.query("select location from attachment")}
    strangers = [path for path in _visible(site.media) if str(path.relative_to(site.media)) not in known]
    filed = Counter(path.name for path in site.drop_folder.glob("done/*/*"))
    twice = "select attachment_id from attempt where outcome = 'stored' group by attachment_id having count(*) > 1"
    return (
        [f"{path.name} is in the store, the ledger knows another" for path in strangers]
        + [f"{name} is {times} times in done/" for name, times in filed.items() if times > 1 or name not in truth.files]
        + [f"{row[0]} was stored twice" for row in site.query(twice)]
        + [f"{row[0]} is in the ledger, nobody sent it" for row in _strange_rows(site, truth)]
    )


def _strange_rows(site: Site, truth: Truth) -> list[tuple[str]]:
    return [row for row in site.query("select id from attachment") if row[0] not in truth.content]


def _damaged(site: Site, truth: Truth) -> list[str]:
    rows = site.query("select id, location, size, sha256 from attachment where state = 'stored'")
    return [f"{row[0]} is damaged" for row in rows if row[0] in truth.content and not _is_true(site, truth, *row)]


def _is_true(site: Site, truth: Truth, attachment: str, key: str, size: int, sha256: str) -> bool:
    path, content = site.media / key, truth.content[attachment]
    said = (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return said and path.is_file() and path.read_bytes() == content


def _leftovers(site: Site) -> list[str]:
    kept = (site.drop_folder / "done", site.drop_folder / "rejected" / "nothing")
    dropped = [path for path in site.drop_folder.rglob("*") if path.is_file() and not path.is_relative_to(kept[0])]
    incoming = [path for path in (site.media / ".incoming").rglob("*") if path.name != ".lock"]
    leased = site.query("select id from attachment where lease is not null or state = 'fetching'")
    return (
        [f"{path.relative_to(site.root)} was left" for path in [*dropped, *incoming]]
        + [f"{row[0]} is still lent" for row in leased]
        + [f"the ledger is not sound: {row[0]}" for row in site.query("pragma integrity_check") if row[0] != "ok"]
    )


def _visible(media: Path) -> list[Path]:
    """What a reader of the store sees: files that are not hidden, in folders that are not."""
    return [
        path
        for path in media.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(media).parts)
    ]


def _attachment_of(path: Path) -> str:
    """Keys end in ``<position>-<attachment id>.<extension>``."""
    return path.name.partition("-")[2].partition(".")[0]
