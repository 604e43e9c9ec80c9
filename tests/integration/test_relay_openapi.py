"""What the relay answers is what its description says: schemathesis posts, a real relay answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.relays import USER, Relay, running

pytestmark = pytest.mark.timeout(240)

DESCRIPTION = Path(__file__).parents[2] / "docs" / "relay.openapi.yaml"
KEEPS, REFUSES = "negative_data_rejection", "positive_data_acceptance"
"""What is no event is kept and acknowledged with a note, so that nobody repeats it for ever; or refused, though its
shape is that of one (XML has no schema here)."""


@pytest.mark.parametrize(
    ("alone", "unreadable", "not_asked"), [(True, "keep", KEEPS), (False, "refuse", f"{KEEPS},{REFUSES}")]
)
def test_the_relay_answers_as_it_is_described(tmp_path: Path, alone: bool, unreadable: str, not_asked: str) -> None:
    relay = Relay(tmp_path / "site", alone=alone, relay={"unreadable": unreadable})
    with running(relay):
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(DESCRIPTION)),
            *("--url", relay.url.removesuffix("/events"), "--auth", ":".join(USER)),
            *("--checks", "all", "--exclude-checks", not_asked, "--max-examples", "40", "--seed", "7", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--max-failures", "5"),
        ]
        asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)

    assert asked.returncode == 0, asked.stdout[-6000:] + asked.stderr[-2000:]
    assert " passed" in asked.stdout
