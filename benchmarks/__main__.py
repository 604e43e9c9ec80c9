"""``make bench``: every benchmark, one after the other. Each prints ratios against a peer measured in the same run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

BENCHMARKS = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))

if __name__ == "__main__":
    wanted = sys.argv[1:] or BENCHMARKS
    sys.argv = sys.argv[:1]
    for name in wanted:
        print(f"== {name}", flush=True)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
