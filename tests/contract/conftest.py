"""The ledger's tests run twice: on a SQLite file and on a real PostgreSQL, each time on a fresh ledger."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mo_sync.errors import LedgerOutOfReach
from mo_sync.ledger import Ledger
from mo_sync.ledger.totals import counted, totals
from mo_sync.settings import Ledger as LedgerSettings
from mo_sync.store import LocalStore
from tests.commands import Called, call
from tests.postgres import Server

on_postgresql = pytest.mark.parametrize("house", ["postgresql"], indirect=True)
"""For a test of what SQLite has not: it is not run there at all."""
on_sqlite = pytest.mark.parametrize("house", ["sqlite"], indirect=True)

Ask = Callable[..., Called]


@dataclass(frozen=True, slots=True)
class House:
    """Where a test's ledger is. ``kind`` is ``sqlite`` or ``postgresql``."""

    kind: str
    url: str

    def open(self, *, busy_timeout: float = 10.0, make: bool = True, migrate: bool = True) -> Ledger:
        """Open it, as another process would."""
        return Ledger.open(LedgerSettings(url=self.url, busy_timeout=busy_timeout), make=make, migrate=migrate)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL a session (with pytest-xdist one a worker)."""
    running = Server()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def template_database(server: Server) -> str:
    """A migrated ledger in PostgreSQL, to copy."""
    url = server.database()
    Ledger.open(LedgerSettings(url=url)).close()
    return url


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated ledger in SQLite, to copy."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    Ledger.open(LedgerSettings(url=f"sqlite:///{path}")).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Where no ledger is yet."""
    if request.param == "sqlite":
        yield House("sqlite", f"sqlite:///{tmp_path / 'ledger.db'}")
        return
    server: Server = request.getfixturevalue("server")
    url = server.database()
    yield House("postgresql", url)
    server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Where a fresh ledger is, at the newest revision."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("template_file"), path)
        yield House("sqlite", f"sqlite:///{path}")
        return
    server: Server = request.getfixturevalue("server")
    url = server.database(like=request.getfixturevalue("template_database"))
    yield House("postgresql", url)
    server.drop(url)


@pytest.fixture
def pages(house: House, request: pytest.FixtureRequest) -> Callable[[], bytes]:
    """All that is in the files of the fresh ledger."""
    if house.kind == "postgresql":
        server: Server = request.getfixturevalue("server")
        return lambda: server.pages(house.url)
    file = Path(house.url.removeprefix("sqlite:///"))
    return lambda: b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))


@pytest.fixture
def ledger(house: House) -> Iterator[Ledger]:
    """A fresh ledger, open."""
    with house.open() as opened:
        yield opened
        with contextlib.suppress(LedgerOutOfReach), opened.read() as connection:  # some tests leave none to be read
            kept = {name: one for name, one in totals(connection).items() if one.count}
            assert kept == {name: one for name, one in counted(connection).items() if one.count}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    opened = LocalStore(tmp_path / "media", "worker-1")
    yield opened
    opened.close()


@pytest.fixture
def asked(house: House, tmp_path: Path) -> Ask:
    """Call ``mo-sync ledger …`` on the test's ledger, within this process."""

    def ask(*words: str) -> Called:
        return call(house.url, tmp_path, "ledger", *words)

    return ask
