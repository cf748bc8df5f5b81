"""From a commit to the pixels: how long until an open page shows what was just committed (VIEW-2).

`push_latency`: the whole site runs on services of its own: four portfolios follow the recorded AI traders or
the wallets, prices move every second, workers decide and fill. One portfolio is open in Chromium, 199 plain
sockets listen to it and to the other three. A decision is stored and committed 250 times at irregular moments
at least 250 ms apart. Counted are first changes: one that follows another of the site's own within 200 ms is
merged with it by design and left out. Measured from the commit to the second animation frame after the page
applied the change.

Baseline, in the same run before the workers start: a bare message over the channel layer to an echoing
consumer on the same server program, from sending to the socket; no database, no view, no page.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory

GOAL_MS: Final = 100.0
PATIENCE_S: Final = 600


def push_latency() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    told = measured_in_a_directory("_push_run", what="the push latency", patience_s=PATIENCE_S)
    return [
        figure(
            name=f"push_latency_{name}",
            value=told[name],
            unit=f"ms, commit to painted, {told['sockets']:.0f} sockets",
            baseline=told[f"baseline_{name}"],
            goal=GOAL_MS,
            holds=told[name] < GOAL_MS,
        )
        for name in ("p50", "p99")
    ]


FIGURES: Final = {"push_latency": push_latency}
