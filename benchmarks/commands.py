"""How long it takes until a person's wish is accepted, while the site is busy (VIEW-3).

`command_accept`: the whole site runs on services of its own: four portfolios follow the recorded traders,
prices move every second, every trader is read again ten times a second, workers decide and fill. Four
clients, one per portfolio, send 200 commands together over HTTP, each command a row and an audit entry
committed before the answer; it wakes its portfolio's copy cycle. From sending a request to its whole answer.

Baseline, in the same run and between the commands: an authenticated GET of an empty list on the same server.

`command_done`: from accepted to carried out, by the worker of the queue `commands`.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory

GOAL_MS: Final = 100.0
PATIENCE_S: Final = 600


def command_accept() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    told = measured_in_a_directory("_commands_run", what="commands", patience_s=PATIENCE_S)
    unit = f"ms, request to answer, {told['commands']} commands of 4 clients"
    done = "ms, accepted to carried out"
    (p50, p99), (empty_p50, empty_p99), (done_p50, done_p99) = told["accept"], told["empty"], told["done"]
    nothing: dict[str, Any] = {"baseline": None, "goal": None, "holds": None}
    return [
        figure(name="command_accept_p50", value=p50, unit=unit, baseline=empty_p50, goal=None, holds=None),
        figure(
            name="command_accept_p99",
            value=p99,
            unit=unit,
            baseline=empty_p99,
            goal=GOAL_MS,
            holds=p99 < GOAL_MS,
        ),
        figure(name="command_done_p50", value=done_p50, unit=done, **nothing),
        figure(name="command_done_p99", value=done_p99, unit=done, **nothing),
    ]


FIGURES: Final = {"command_accept": command_accept}
