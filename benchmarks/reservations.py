"""How many requests for capital one portfolio answers (CAP-2): 16 processes ask 1,000 times each at once.

Capital is there for 15,000 of the 16,000. The run fails unless exactly those are granted, the others
denied, each with a row, and free + reserved is what was paid in. The baseline is measured in the same run:
the same conditional UPDATE in plain psycopg from as many processes, which stores no reservation.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory

RATIO_GOAL: Final = 0.4
PATIENCE_S: Final = 600


def reservations_per_s() -> list[dict[str, Any]]:
    """Measure our service beside the bare statement."""
    told = measured_in_a_directory("_reservations_run", what="reservations", patience_s=PATIENCE_S)
    return [
        figure(
            name="reservations_per_s",
            value=told["value"],
            unit="1/s",
            baseline=told["baseline"],
            goal=f">= {RATIO_GOAL:g} x baseline",
            holds=told["value"] >= RATIO_GOAL * told["baseline"],
        )
    ]


FIGURES: Final = {"reservations_per_s": reservations_per_s}
