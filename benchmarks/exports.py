"""What an export costs: rows a second, and the memory it holds while it is written (DAT-1).

`export_rows`: 300,000 points of an equity curve, read from a real database and written as CSV, a piece at a
time, to nowhere. `export_memory`: by how much the process's memory grew meanwhile, beyond what ten thousand
rows had taken before. Baseline of both: the same rows asked for at once, written by the standard library.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured

GOAL_ROWS_S: Final = 30_000.0
GOAL_MIB: Final = 16.0
PATIENCE_S: Final = 600


def export_rows() -> list[dict[str, Any]]:
    """Measure in a process of its own, with a database that is thrown away."""
    told = measured("_exports_run", "pieces", what="exports", patience_s=PATIENCE_S)
    once = measured("_exports_run", "at_once", what="exports at once", patience_s=PATIENCE_S)
    return [
        figure(
            name="export_rows",
            value=told["rows_s"],
            unit=f"rows/s, CSV of {told['rows']:,.0f} rows",
            baseline=once["rows_s"],
            goal=GOAL_ROWS_S,
            holds=told["rows_s"] >= GOAL_ROWS_S,
            digits=0,
        ),
        figure(
            name="export_memory",
            value=told["grew_mib"],
            unit="MiB held more than for 10,000 rows",
            baseline=once["grew_mib"],
            goal=GOAL_MIB,
            holds=told["grew_mib"] <= GOAL_MIB,
        ),
    ]


FIGURES: Final = {"export_rows": export_rows}
