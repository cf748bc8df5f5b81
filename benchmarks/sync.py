"""How fast traders are read (SYN-1, SYN-3): ten side by side, a thousand under the venue's request budget.

Both run the real sync on a real PostgreSQL and Redis, against Hyperliquid's recorded answers from a loopback
process that takes its time over each.

`sync_10_traders`: wall time from claim to stored snapshots, divided by the slowest single round trip in it,
with answers that take 200 ms; and the wall time itself. Facts that change seldom were asked for before.

`sync_1000_traders`: perpetual and spot state of a thousand wallets weigh 4,000; the venue allows 1,200 a
minute, so 200 s is the floor whatever the program. It is measured with a refill twenty times as fast and the
same burst, so that the floor is 10 s and the run shows the program, not the waiting. In earnest the wall time
is the venue's; CPU time per trader says how much of it the program needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
RATIO_GOAL: Final = 1.25
WALL_GOAL_S: Final = 2.0
FLOOR_S: Final = 200.0
BUDGET_TIMES: Final = 20
FLOOR_RATIO_GOAL: Final = 1.25
CPU_GOAL_MS: Final = 100.0  # half of one core over the 200 s
PATIENCE_S: Final = 300


def sync_10_traders() -> list[dict[str, Any]]:
    """Measure ten traders whose answers take 200 ms."""
    measured = _measure("ten")
    return [
        figure(
            "sync_10_traders",
            measured["ratio"],
            "x slowest round trip",
            RATIO_GOAL,
            baseline=measured["slowest_s"],
        ),
        figure("sync_10_traders_wall", measured["wall_s"], "s", WALL_GOAL_S, baseline=measured["slowest_s"]),
    ]


def sync_1000_traders() -> list[dict[str, Any]]:
    """Measure a thousand traders under twenty times the real budget."""
    measured = _measure("thousand")
    floor_s = FLOOR_S / BUDGET_TIMES
    return [
        figure(
            "sync_1000_traders",
            measured["wall_s"] / floor_s,
            "x floor of the budget",
            FLOOR_RATIO_GOAL,
            baseline=1,
        ),
        figure(
            "sync_1000_traders_wall", measured["wall_s"], "s at 20 x budget", floor_s * 2, baseline=floor_s
        ),
        figure("sync_1000_traders_cpu", measured["cpu_ms"], "ms CPU per trader", CPU_GOAL_MS, baseline=None),
    ]


def figure(name: str, value: float, unit: str, goal: float, *, baseline: float | None) -> dict[str, Any]:
    """Return one figure as it is printed; ``goal`` is the largest value that holds."""
    return {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 4),
        "goal": goal,
        "holds": value <= goal,
    }


def _measure(what: str) -> dict[str, float]:
    """Run one measurement in a process of its own, with settings, services and a database of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._sync_run", what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the measurement of {what} traders failed: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


FIGURES: Final = {"sync_10_traders": sync_10_traders, "sync_1000_traders": sync_1000_traders}
