"""How long from pressing the emergency stop until nothing is open (RSK-3): 50 positions on the paper venue.

`emergency_flat`: the workers of `make run` work beside it on services of their own, prices of 50 instruments
move every half second. Fifty positions are opened, the stop is pressed in this process, and the time until no
position and no order is open is taken, 12 times over. The venue's 250 ms and the wait for a price that came
after the order are in it.

Baseline, in the same run: the drill, which reads, decides and builds all the orders and sends nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
GOAL_S: Final = 10.0
PATIENCE_S: Final = 900


def emergency_flat() -> list[dict[str, Any]]:
    """Measure in a process of its own, with services and a database of its own."""
    with TemporaryDirectory(prefix="ensemble-stop-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._emergency_run", name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"measuring the emergency stop failed: {done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return [
        {
            "name": "emergency_flat",
            "value": round(measured["p95"], 2),
            "unit": f"s, press to flat, p95 of {measured['presses']:.0f} with 50 positions",
            "baseline": round(measured["drill_p95"], 3),
            "goal": f"<= {GOAL_S:.0f}",
            "holds": measured["p95"] <= GOAL_S,
        }
    ]


FIGURES: Final = {"emergency_flat": emergency_flat}
