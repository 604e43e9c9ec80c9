"""Run by test_network.py in a network namespace whose line is bad: a gateway, a site, a daemon; what came of it.

Prints one JSON document on standard output.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from tests.trouble import LIMIT_S, Bed, eventually, secretive


def main() -> None:
    """Drop, let the daemon work until all is stored, stop it, and count."""
    patient = {"gateway": {"read_timeout": "3s", "total_timeout": "60s"}, "retry": {"max_attempts": 30}}
    with secretive() as gateway:
        bed = Bed(Path(sys.argv[1]), gateway, settings=patient | {"sync": {"workers": 4}})
        for number in range(5):
            bed.announce(f"{number}", kind="gif")
        with (bed.site.root / "said").open("w") as log, bed.site.start("run", stdout=log, stderr=log) as process:
            try:
                eventually(lambda: bed.site.states() == {"stored": 5}, limit_s=90.0, what=bed.reasons)
                process.send_signal(signal.SIGTERM)
                process.wait(LIMIT_S)
            finally:
                process.kill()
        states = bed.site.states()
        files = bed.site.files()
        rows = bed.site.query("select id, location from attachment where state = 'stored'")
    damaged = [id_ for id_, key in rows if files.get(key) != bed.truth[id_]]
    print(json.dumps({"wanted": 5, "states": states, "damaged": damaged}))


if __name__ == "__main__":
    main()
