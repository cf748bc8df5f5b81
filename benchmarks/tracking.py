"""What tracking positions costs in memory: everything one decision and one valuation hold of ten of them.

`tracked_positions_memory`: ten positions are opened on the paper venue of a real database; then the books at
their marks and the inputs of a copy decision are read and kept, as a worker keeps them while it decides.
Counted is what Python allocated for them and still holds. Baseline: the same rows as plain dictionaries.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured

GOAL_KIB: Final = 1024.0
PATIENCE_S: Final = 120


def tracked_positions_memory() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    told = measured("_tracking_run", what="tracked positions", patience_s=PATIENCE_S)
    return [
        figure(
            name="tracked_positions_memory",
            value=told["kib"],
            unit=f"KiB for {told['positions']:.0f} positions",
            baseline=told["baseline_kib"],
            goal=GOAL_KIB,
            holds=told["kib"] < GOAL_KIB,
        )
    ]


FIGURES: Final = {"tracked_positions_memory": tracked_positions_memory}
