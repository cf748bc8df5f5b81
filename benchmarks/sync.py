"""How fast traders are read (SYN-1, SYN-3): ten side by side, a thousand under the venue's request budget.

Both run the real sync on a real PostgreSQL and Redis, against Hyperliquid's recorded answers from a loopback
process that takes its time over each.

`sync_10_traders`: wall time from claim to stored snapshots, divided by the slowest single round trip in it,
with answers that take 200 ms; and the wall time itself. Facts that change seldom were asked for before.

`sync_1000_traders`: perpetual and spot state of a thousand wallets weigh 4,000; the venue allows 1,200 a
minute, so 200 s is the floor whatever the program. It is measured with a refill twenty times as fast and the
same burst, so that the floor is 10 s and the run shows the program, not the waiting. In earnest the wall time
is the venue's; CPU time per trader says how much of it the program needs.

`sync_sharing`: the requests of one sync while a hundred users follow the same ten traders, beside what they
would be if each user's were read apart.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured

RATIO_GOAL: Final = 1.25
WALL_GOAL_S: Final = 2.0
FLOOR_S: Final = 200.0
BUDGET_TIMES: Final = 20
FLOOR_RATIO_GOAL: Final = 1.25
CPU_GOAL_MS: Final = 100.0  # half of one core over the 200 s
PATIENCE_S: Final = 300
REQUESTS_EACH: Final = 2  # perpetual and spot state


def sync_10_traders() -> list[dict[str, Any]]:
    """Measure ten traders whose answers take 200 ms."""
    told = _measure("ten")
    return [
        _at_most(
            "sync_10_traders",
            told["ratio"],
            "x slowest round trip",
            RATIO_GOAL,
            baseline=told["slowest_s"],
        ),
        _at_most("sync_10_traders_wall", told["wall_s"], "s", WALL_GOAL_S, baseline=told["slowest_s"]),
    ]


def sync_1000_traders() -> list[dict[str, Any]]:
    """Measure a thousand traders under twenty times the real budget."""
    told = _measure("thousand")
    floor_s = FLOOR_S / BUDGET_TIMES
    return [
        _at_most(
            "sync_1000_traders",
            told["wall_s"] / floor_s,
            "x floor of the budget",
            FLOOR_RATIO_GOAL,
            baseline=1,
        ),
        _at_most("sync_1000_traders_wall", told["wall_s"], "s at 20 x budget", floor_s * 2, baseline=floor_s),
        _at_most("sync_1000_traders_cpu", told["cpu_ms"], "ms CPU per trader", CPU_GOAL_MS, baseline=None),
    ]


def sync_sharing() -> list[dict[str, Any]]:
    """Measure what a hundred users cost who follow the same ten traders."""
    told = _measure("sharing")
    each = told["requests"] / told["synced"]
    return [
        _at_most(
            "sync_sharing",
            told["requests"],
            "requests per sync, 100 users x 10 traders",
            10 * REQUESTS_EACH,
            baseline=told["follows"] * each,
        )
    ]


def _at_most(name: str, value: float, unit: str, goal: float, *, baseline: float | None) -> dict[str, Any]:
    """Return one figure whose goal is the largest value that holds."""
    return figure(
        name=name, value=value, unit=unit, baseline=baseline, goal=goal, holds=value <= goal, digits=4
    )


def _measure(what: str) -> dict[str, Any]:
    """Run one measurement in a process of its own, with settings, services and a database of its own."""
    return measured("_sync_run", what, what=f"the sync ({what})", patience_s=PATIENCE_S)


FIGURES: Final = {
    "sync_10_traders": sync_10_traders,
    "sync_1000_traders": sync_1000_traders,
    "sync_sharing": sync_sharing,
}
