"""What the tape costs (MKT-1, EXT-3): a thousand prices a second from the writer to a reader.

`feed_ticks`: 50 instruments quoted 20 times a second in eight shards, written by the feed's own buffer and
read by the reader of an exit watch in another process, on a real Redis. Latency is from the moment a price is
told to the moment the reader has it decoded; CPU is that of both processes, as a share of one core, without
Redis. The baseline is the same 20 flushes a second as one bare XADD of the same bytes and one bare XREAD.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
P99_GOAL_MS: Final = 10.0  # of the 50 ms from tick to order
CPU_GOAL_PCT: Final = 25.0  # of one core, for 1,000 ticks a second


def feed_ticks() -> list[dict[str, Any]]:
    """Measure writer → reader beside bare Redis commands."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._feed_run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the measurement failed: {done.stderr[-2000:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    ours, bare = measured["ours"], measured["bare"]
    return [
        _figure("feed_ticks_p50", ours["p50_ms"], "ms", None, bare["p50_ms"]),
        _figure("feed_ticks_p99", ours["p99_ms"], "ms", P99_GOAL_MS, bare["p99_ms"]),
        _figure("feed_ticks_max", ours["max_ms"], "ms", None, bare["max_ms"]),
        _figure("feed_ticks_cpu", ours["cpu_pct"], "% of a core", CPU_GOAL_PCT, bare["cpu_pct"]),
    ]


def _figure(name: str, value: float, unit: str, goal: float | None, baseline: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": round(baseline, 3),
        "goal": goal,
        "holds": None if goal is None else value <= goal,
    }


FIGURES = {"feed_ticks": feed_ticks}
