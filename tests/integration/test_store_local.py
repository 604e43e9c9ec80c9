"""The folder store on a real file system: links, modes, other processes, and people who meddle with it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mo_sync import settings
from mo_sync.errors import ConfigurationError, StoreOutOfReach
from mo_sync.settings.paths import folder_of
from mo_sync.store import LocalStore, Placed, Placement, Staged, open_store
from tests.stores import put_in_place

KEY = "2026/11/20/WGqCwdXm2szqkIGq2Xmy06/0-Mno4Xayql1oVOYAvP7Iy25.jpg"
STAGE = """
import sys
from pathlib import Path
from mo_sync.store import LocalStore, Placement
store = LocalStore(Path(sys.argv[1]), sys.argv[2])
staged = store.stage("lease")
staged.write(b"half")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def store(root: Path) -> Iterator[LocalStore]:
    with closing(LocalStore(root, "worker-1")) as store:
        yield store


def stage(store: LocalStore, content: bytes = b"picture", lease: str = "lease") -> Staged:
    staged = store.stage(lease)
    staged.write(content)
    staged.finish()
    return staged


def put(store: LocalStore, content: bytes = b"picture", key: str = KEY, lease: str = "lease") -> Placed | OSError:
    return put_in_place(store, Placement(stage(store, content, lease), key))


def parts(root: Path) -> list[Path]:
    return list(root.rglob("*.part"))


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in (root, *root.rglob("*"))}


# modes


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o640, 0o750), (0o077, 0o600, 0o700), (0, 0o640, 0o750)])
def test_files_are_0640_and_folders_0750_less_the_umask(tmp_path: Path, mask: int, file: int, folder: int) -> None:
    with umask(mask), closing(LocalStore(tmp_path / "var" / "media", "worker-1")) as store:
        stage(store, lease="staged")
        put(store)
        found = modes(tmp_path / "var")
    wanted = {name: file if name.endswith((".jpg", ".part")) else folder for name in found}
    wanted["media/.incoming/worker-1/.lock"] = 0o600

    assert len(found) == 11
    assert found == wanted


# links


@pytest.mark.parametrize("planted", ["2026", "2026/11", "2026/11/20", "2026/11/20/WGqCwdXm2szqkIGq2Xmy06"])
def test_a_link_planted_as_a_folder_leads_nowhere(store: LocalStore, root: Path, tmp_path: Path, planted: str) -> None:
    outside = tmp_path / "outside"
    below = outside.joinpath(*KEY.split("/")[len(planted.split("/")) : -1])
    below.mkdir(parents=True)
    (below / "0-Mno4Xayql1oVOYAvP7Iy25.jpg").write_bytes(b"secret")
    (root / planted).parent.mkdir(parents=True, exist_ok=True)
    (root / planted).symlink_to(outside)
    answer = put(store)
    for ask in (store.open, store.size, store.remove):
        with pytest.raises(OSError, match="not a folder"):
            ask(KEY)

    assert isinstance(answer, OSError)
    assert "not a folder" in str(answer)
    assert [path.read_bytes() for path in outside.rglob("*") if path.is_file()] == [b"secret"]


def test_a_link_under_the_final_name_is_neither_followed_nor_replaced(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"picture")
    (root / KEY).parent.mkdir(parents=True)
    (root / KEY).symlink_to(outside)
    answer = put(store)

    assert isinstance(answer, OSError)
    assert "a link" in str(answer)
    assert outside.read_bytes() == b"picture"
    assert (root / KEY).is_symlink()
    with pytest.raises(OSError, match=r".+"):
        store.open(KEY)


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"caf\xe9/a.jpg", b"2026/a\nb.jpg", b"2026/.nfs0001"])
def test_whatever_a_stranger_put_there_can_be_moved_away(store: LocalStore, root: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"nobody's")

    [resting] = store.resting()
    there = store.set_aside(resting.key)

    assert os.fsencode(there) == b"lost+found/" + name
    assert (root / there).read_bytes() == b"nobody's"
    assert list(store.resting()) == []


def test_a_pipe_under_the_final_name_hangs_nobody(store: LocalStore, root: Path) -> None:
    (root / KEY).parent.mkdir(parents=True)
    os.mkfifo(root / KEY)
    answer = put(store)

    assert isinstance(answer, OSError)
    with pytest.raises(OSError, match="not a file"):
        store.open(KEY)


def test_a_link_as_the_folder_for_temporary_files_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root.mkdir()
    (root / ".incoming").symlink_to(tmp_path / "outside")

    with pytest.raises(StoreOutOfReach, match="store-not-writable"):
        LocalStore(root, "worker-1")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_planted_as_a_temporary_file_is_not_written_through(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (root / ".incoming" / "worker-1" / "lease.part").symlink_to(tmp_path / "outside")

    with pytest.raises(FileExistsError):
        store.stage("lease")
    assert (tmp_path / "outside").read_bytes() == b"secret"


def test_the_store_itself_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "media").symlink_to(tmp_path / "big-disk")
    with closing(LocalStore(tmp_path / "media", "worker-1")) as store:
        assert put(store) == Placed()
        assert (tmp_path / "big-disk" / KEY).read_bytes() == b"picture"


# the dead and the living


def test_what_a_killed_process_left_is_swept_and_its_name_told(store: LocalStore, root: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, root, "worker-2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        living = (store.sweep(), store.neighbours(), [path.name for path in parts(root)])
        process.kill()
    own = stage(store, lease="own")
    dead = (store.sweep(), store.sweep(), store.neighbours())

    assert living == ([], ["worker-2"], ["lease.part"])
    assert dead == (["worker-2"], [], [])
    assert parts(root) == [root / ".incoming" / "worker-1" / "own.part"]
    assert store.place([Placement(own, KEY)]) == [Placed()]


def test_a_stray_temporary_file_is_swept_but_nothing_else(store: LocalStore, root: Path) -> None:
    (root / ".incoming" / "stray.part").touch()
    (root / ".incoming" / "README").touch()
    (root / "2026").mkdir()
    (root / "2026" / "not-ours.part").touch()
    swept = store.sweep()

    assert swept == []
    assert parts(root) == [root / "2026" / "not-ours.part"]
    assert (root / ".incoming" / "README").exists()


def test_closing_leaves_no_temporary_file_and_no_folder_of_its_own(root: Path) -> None:
    store = LocalStore(root, "worker-1")
    staged = stage(store)
    store.close()
    staged.discard()

    assert list((root / ".incoming").iterdir()) == []


def test_descriptors_are_given_back(store: LocalStore) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))

    put(store, b"first")
    before = held()
    for n in range(20):
        put(store, b"%d" % n, lease=f"lease{n}")
        stage(store, lease=f"discarded{n}").discard()
        store.size(KEY)
        put(store, b"x", "../bad", lease=f"bad{n}") if n == 0 else None
    store.sweep()
    store.neighbours()

    assert held() == before + 1  # the one file that was neither placed nor discarded


# people who meddle


def test_a_store_that_was_emptied_while_it_runs_is_entered_again(store: LocalStore, root: Path) -> None:
    subprocess.run(["rm", "-rf", root / ".incoming", root / "2026"], check=True)
    answers: list[Placed | OSError] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(put(store, key=f"a/{n}", lease=f"l{n}"))) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [Placed()] * 8
    assert store.sweep() == []


def test_a_worker_whose_lock_was_removed_keeps_its_files_and_makes_the_lock_anew(store: LocalStore, root: Path) -> None:
    staged = stage(store, lease="own")
    with closing(LocalStore(root, "worker-2")) as neighbour:
        (root / ".incoming" / "worker-1" / ".lock").unlink()
        swept = neighbour.sweep()
        (root / ".incoming" / "worker-1" / ".lock").touch()  # by hand, say
        swept += store.sweep() + neighbour.sweep()
        living = neighbour.neighbours()
        (root / ".incoming" / "worker-1" / ".lock").unlink()
        stage(store, lease="next").discard()

        assert (swept, living, neighbour.neighbours()) == ([], ["worker-1"], ["worker-1"])
    assert store.place([Placement(staged, KEY)]) == [Placed()]


def test_a_store_that_is_gone_is_told_and_not_made_again_behind_the_operators_back(
    store: LocalStore, root: Path
) -> None:
    staged = stage(store)
    subprocess.run(["mv", root, f"{root}.moved"], check=True)
    [answer] = store.place([Placement(staged, KEY)])

    assert isinstance(answer, OSError)
    assert answer.errno == errno.ENOENT
    with pytest.raises(StoreOutOfReach, match="store-gone"):
        store.free_bytes()
    assert {finding.level for finding in store.check()} == {"failed"}
    assert not root.exists()


def test_a_file_that_cannot_be_read_any_more_is_replaced(store: LocalStore, root: Path) -> None:
    put(store, b"picture")
    (root / KEY).chmod(0)
    answer = put(store, b"Picture", lease="another")

    assert answer == Placed(adopted=False)
    assert (root / KEY).read_bytes() == b"Picture"


def test_removing_the_last_file_of_a_message_removes_its_folder(store: LocalStore, root: Path) -> None:
    put(store)
    put(store, key=f"{KEY}2", lease="another")
    store.remove(KEY)
    one_left = (root / KEY).parent.exists()
    store.remove(f"{KEY}2")

    assert one_left
    assert not (root / KEY).parent.exists()
    assert (root / KEY).parent.parent.exists()


# opening


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("media", "media"),
        ("/srv/media", "/srv/media"),
        ("file:///srv/my%20media", "/srv/my media"),
        ("file://localhost/srv/media", "/srv/media"),
        ("file:/srv/media", "/srv/media"),
        ("12:30", "12:30"),
        ("a:b", "a:b"),
    ],
)
def test_a_folder_or_a_file_url_names_a_folder(url: str, path: str) -> None:
    assert folder_of(url) == Path(path)


@pytest.mark.parametrize(
    "url", ["s3://bucket/prefix", "gs://bucket", "", " ", "file://elsewhere/media", "file:", "a\0b"]
)
def test_any_other_address_is_a_configuration_error_that_says_so(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"store-url-invalid: store\.url"):
        open_store(settings.Store(url=url), worker="worker-1")


def test_an_object_store_is_said_to_be_missing_yet() -> None:
    with pytest.raises(ConfigurationError, match="s3:// needs an object store, which this version does not have yet"):
        open_store(settings.Store(url="s3://bucket/prefix"), worker="worker-1")


def test_opening_makes_the_folder(root: Path) -> None:
    with closing(open_store(settings.Store(url=str(root / "deep" / "er")), worker="worker-1")):
        assert (root / "deep" / "er" / ".incoming" / "worker-1").is_dir()


def test_a_root_that_is_a_file_is_out_of_reach(root: Path) -> None:
    root.touch()

    with pytest.raises(StoreOutOfReach, match=r"store-not-writable: the store /.*media: .*doctor"):
        LocalStore(root, "worker-1")


@pytest.mark.parametrize(("mode", "level"), [(0o750, "ok"), (0o755, "warning"), (0o777, "failed")])
def test_the_check_up_looks_at_the_modes(store: LocalStore, root: Path, mode: int, level: str) -> None:
    root.chmod(mode)
    findings = {finding.subject: finding for finding in store.check()}

    assert findings["modes"].level == level
    assert findings["writing"].level == "ok"
    assert [path.name for path in root.iterdir()] == [".incoming"]


@pytest.mark.root
def test_the_check_up_warns_who_is_not_the_owner(store: LocalStore, root: Path) -> None:
    os.chown(root, 65534, 65534)
    [finding] = [finding for finding in store.check() if finding.subject == "modes"]

    assert finding.level == "warning"
    assert "65534" in finding.detail


def test_the_check_up_finds_links(store: LocalStore, root: Path, tmp_path: Path) -> None:
    (root / "2026").symlink_to(tmp_path)
    findings = {finding.subject: finding for finding in store.check()}

    assert findings["file system"].level == "failed"
    assert "2026 is a link" in findings["file system"].detail
