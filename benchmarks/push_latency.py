"""From a commit to the pixels: how long until an open page shows what was just committed (VIEW-2).

`push_latency`: the whole site runs on services of its own: four portfolios follow the recorded AI traders or
the wallets, prices move every second, workers decide and fill. One portfolio is open in Chromium, 199 plain
sockets listen to it and to the other three. A decision is stored and committed 250 times at irregular moments
at least 250 ms apart. Counted are first changes: one that follows another of the site's own within 200 ms is
merged with it by design and left out. Measured from the commit to the second animation frame after the page
applied the change.

Baseline, in the same run before the workers start: a bare message over the channel layer to an echoing
consumer on the same server program, from sending to the socket; no database, no view, no page.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
GOAL_MS: Final = 100.0
PATIENCE_S: Final = 600


def push_latency() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    with TemporaryDirectory(prefix="ensemble-push-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._push_run", directory],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"measuring the push latency failed: {done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return [
        {
            "name": f"push_latency_{name}",
            "value": round(measured[name], 1),
            "unit": f"ms, commit to painted, {measured['sockets']:.0f} sockets",
            "baseline": round(measured[f"baseline_{name}"], 1),
            "goal": GOAL_MS,
            "holds": measured[name] < GOAL_MS,
        }
        for name in ("p50", "p99")
    ]


FIGURES: Final = {"push_latency": push_latency}
