"""How soon all who follow a trader have decided anew after it changed.

`replan_10k_portfolios`: 10,000 portfolios follow the same five traders; one of them opens a position. On
services of its own, with the workers of the Procfile, from the commit of that trader's new snapshot to each
portfolio's decision, its order stored: p50, p99, and the last. REPLAN_PORTFOLIOS takes another number.
Its baseline, in the same run: so many decisions one after the other in one process, divided by the two
processes that plan. `replan_told`: until the workers know whom it concerns.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory

PATIENCE_S: Final = 3000
TOLD_GOAL_S: Final = 5.0


def replan() -> list[dict[str, Any]]:
    """Measure in a process of its own, with services and a database of its own."""
    told = measured_in_a_directory("_replan_run", what="replanning", patience_s=PATIENCE_S)
    count = f"{told['portfolios']:,.0f} portfolios"
    return [
        figure(
            name="replan_10k_portfolios", value=told["total"], digits=1, baseline=told["alone_s"],
            unit=f"s, {count}, the last; p50 {told['p50']:.1f}, p99 {told['p99']:.1f}",
            goal=None, holds=None,
        ),
        figure(
            name="replan_told", value=told["told_s"], digits=2, baseline=None,
            unit=f"s, snapshot kept → {count} woken", goal=f"< {TOLD_GOAL_S:g}",
            holds=told["told_s"] < TOLD_GOAL_S,
        ),
    ]  # fmt: skip


FIGURES: Final = {"replan_10k_portfolios": replan}
