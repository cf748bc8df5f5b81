"""How long it takes until a person's wish is accepted, while the site is busy (VIEW-3).

`command_accept`: the whole site runs on services of its own: four portfolios follow the recorded traders,
prices move every second, every trader is read again ten times a second, workers decide and fill. Four
clients, one per portfolio, send 200 commands together over HTTP, each command a row and an audit entry
committed before the answer; it wakes its portfolio's copy cycle. From sending a request to its whole answer.

Baseline, in the same run and between the commands: an authenticated GET of an empty list on the same server.

`command_done`: from accepted to carried out, by the worker of the queue `commands`.
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


def command_accept() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    with TemporaryDirectory(prefix="ensemble-commands-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._commands_run", directory],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"measuring commands failed: {done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    unit = f"ms, request to answer, {measured['commands']} commands of 4 clients"
    return [
        _figure("command_accept_p50", measured["accept"][0], unit, measured["empty"][0], None),
        _figure("command_accept_p99", measured["accept"][1], unit, measured["empty"][1], GOAL_MS),
        _figure("command_done_p50", measured["done"][0], "ms, accepted to carried out", None, None),
        _figure("command_done_p99", measured["done"][1], "ms, accepted to carried out", None, None),
    ]


def _figure(name: str, value: float, unit: str, baseline: float | None, goal: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 1),
        "goal": goal,
        "holds": None if goal is None else value < goal,
    }


FIGURES: Final = {"command_accept": command_accept}
