"""Much at once: memory and descriptors stay bounded."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from tests.drops import Drops, event, forked, repeated

MIB = 1024 * 1024


@pytest.mark.timeout(300)
def test_a_file_of_30_megabytes_is_streamed(tmp_path: Path) -> None:
    """The second of two passes meets the large file; its peak is held against that of the first."""
    drops = Drops(tmp_path / "site")
    large = drops.put("large.ndjson", repeated(26_000, size=850))
    large.rename(tmp_path / "large")
    grown = tmp_path / "grown"

    def work() -> None:
        drops.put("small.ndjson", repeated(2_000, size=850, first=100_000))
        drops.ingest()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (tmp_path / "large").rename(drops.folder / "large.ndjson")
        drops.ingest()
        grown.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))

    assert forked(work) == 0

    assert drops.read("done/*/large.ndjson").count(b"\n") == 26_000
    assert (drops.folder / "done").stat().st_size > 0
    assert drops.events() == {"accepted": 28_000}
    assert int(grown.read_text()) * 1024 < 12 * MIB


def test_a_thousand_files_need_a_handful_of_descriptors(tmp_path: Path) -> None:
    drops = Drops(tmp_path / "site")
    for number in range(1_000):
        drops.put(f"{number}.json", event(number))

    def work() -> None:
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 24, used + 24))
        drops.ingest()

    assert forked(work) == 0
    assert drops.events() == {"accepted": 1_000}
