"""How long from pressing the emergency stop until nothing is open (RSK-3): 50 positions on the paper venue.

`emergency_flat`: the workers of `make run` work beside it on services of their own, prices of 50 instruments
move every half second. Fifty positions are opened, the stop is pressed in this process, and the time until no
position and no order is open is taken, 12 times over. The venue's 250 ms and the wait for a price that came
after the order are in it.

Baseline, in the same run: the drill, which reads, decides and builds all the orders and sends nothing.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory

GOAL_S: Final = 10.0
PATIENCE_S: Final = 900


def emergency_flat() -> list[dict[str, Any]]:
    """Measure in a process of its own, with services and a database of its own."""
    told = measured_in_a_directory("_emergency_run", what="the emergency stop", patience_s=PATIENCE_S)
    return [
        figure(
            name="emergency_flat",
            value=told["p95"],
            unit=f"s, press to flat, p95 of {told['presses']:.0f} with 50 positions",
            baseline=told["drill_p95"],
            goal=f"<= {GOAL_S:.0f}",
            holds=told["p95"] <= GOAL_S,
            digits=3,
        )
    ]


FIGURES: Final = {"emergency_flat": emergency_flat}
