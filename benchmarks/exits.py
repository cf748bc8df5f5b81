"""How fast an exit follows its price (EXT-3): 1,000 prices a second of 50 instruments on 2 cores.

`exit_tick_to_order`: a process writes 1,000 prices a second to the tape, 20 of which go through a stop each.
The watch runs in the measuring process; taken is the time from a price's arrival to the commit of its trigger
and order, with 1,000, 10,000 and 100,000 open positions. Sending the orders is not in it. `exit_burst`: one
price through all the stops of one instrument, to the commit of the last order. `exit_quiet`: the share of one
core while no price triggers anything. `exit_memory`: what the watch's process grows by. `exit_recovery`: one
of two watches is killed, to the moment at which the other has caught up on all of its shards, worst of five.

Baseline of the first three, in the same run: every position of the instrument looked at in turn, in Python,
at 1,000 prices a second, as a share of one core (above 1 it falls behind without end).
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory

PATIENCE_S: Final = 1800
P99_GOAL_S: Final = 0.05
MAX_GOAL_S: Final = 0.5
BURST_GOAL_S: Final = 2.0
RECOVERY_GOAL_S: Final = 2.0
PRICES_PER_S: Final = 1000


def exits() -> list[dict[str, Any]]:
    """Measure everything in a process of its own, with services and a database of its own."""
    told = measured_in_a_directory("_exits_run", what="exits", patience_s=PATIENCE_S)
    return [line for count, of in told.items() for line in _size_figures(int(count), of)]


def _size_figures(count: int, of: dict[str, float]) -> list[dict[str, Any]]:
    straight = of["baseline_us"] * PRICES_PER_S / 1e6
    shown = f"{count:,} positions"
    return [
        figure(
            name="exit_tick_to_order", value=of["p99"] * 1000, digits=1, baseline=straight,
            unit=f"ms, p99, {shown}; p50 {of['p50'] * 1000:.1f}, max {of['max'] * 1000:.0f}",
            goal=f"p99 < {P99_GOAL_S * 1000:g}, max < {MAX_GOAL_S * 1000:g}",
            holds=of["p99"] < P99_GOAL_S and of["max"] < MAX_GOAL_S,
        ),
        figure(
            name="exit_burst", value=of["burst_s"], unit=f"s, {of['burst']:.0f} on one tick, {shown}",
            baseline=straight, goal=f"< {BURST_GOAL_S:g}", holds=of["burst_s"] < BURST_GOAL_S, digits=2,
        ),
        figure(
            name="exit_quiet", value=of["quiet_cpu"], unit=f"of one core, nothing triggers, {shown}",
            baseline=straight, goal=None, holds=None, digits=3,
        ),
        figure(
            name="exit_memory", value=of["kb_per_1000"], unit=f"KiB per 1,000 positions, {shown}",
            baseline=None, goal=None, holds=None, digits=0,
        ),
        figure(
            name="exit_recovery", value=of["recovery_s"], digits=2, baseline=None,
            unit=f"s, SIGKILL to all shards caught up, worst of 5, {shown}",
            goal=f"<= {RECOVERY_GOAL_S:g}", holds=of["recovery_s"] <= RECOVERY_GOAL_S,
        ),
    ]  # fmt: skip


FIGURES: Final = {"exits": exits}
