"""What tracking positions costs in memory: everything one decision and one valuation hold of ten of them.

`tracked_positions_memory`: ten positions are opened on the paper venue of a real database; then the books at
their marks and the inputs of a copy decision are read and kept, as a worker keeps them while it decides.
Counted is what Python allocated for them and still holds. Baseline: the same rows as plain dictionaries.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
GOAL_KIB: Final = 1024.0
PATIENCE_S: Final = 120


def tracked_positions_memory() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._tracking_run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"measuring tracked positions failed: {done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return [
        {
            "name": "tracked_positions_memory",
            "value": round(measured["kib"], 1),
            "unit": f"KiB for {measured['positions']:.0f} positions",
            "baseline": round(measured["baseline_kib"], 1),
            "goal": GOAL_KIB,
            "holds": measured["kib"] < GOAL_KIB,
        }
    ]


FIGURES: Final = {"tracked_positions_memory": tracked_positions_memory}
