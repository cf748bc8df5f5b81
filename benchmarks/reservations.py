"""How many requests for capital one portfolio answers (CAP-2): 16 processes ask 1,000 times each at once.

Capital is there for 15,000 of the 16,000. The run fails unless exactly those are granted, the others
denied, each with a row, and free + reserved is what was paid in. The baseline is measured in the same run:
the same conditional UPDATE in plain psycopg from as many processes, which stores no reservation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
RATIO_GOAL: Final = 0.4
PATIENCE_S: Final = 600


def reservations_per_s() -> list[dict[str, Any]]:
    """Measure our service beside the bare statement."""
    with TemporaryDirectory(prefix="ensemble-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._reservations_run", name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the measurement of reservations failed: {done.stderr[-2000:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return [
        {
            "name": "reservations_per_s",
            "value": round(measured["value"], 1),
            "unit": "1/s",
            "baseline": round(measured["baseline"], 1),
            "goal": f">= {RATIO_GOAL:g} x baseline",
            "holds": measured["value"] >= RATIO_GOAL * measured["baseline"],
        }
    ]


FIGURES: Final = {"reservations_per_s": reservations_per_s}
