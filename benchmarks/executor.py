"""How fast a candidate is scored, and how soon five positions are open (EXE-2).

`candidate_score`: one candidate with every component: a week of hourly returns, the day's volume, an impact
spread, and the record of ten traders who want it; the mean over 50 candidates, best of many rounds. Its
baseline is measured in the same run: the plain mean of the same returns.

`open_5_positions`: on services of its own, with the workers that send orders and the clock of the Procfile. A
trader opens five positions at once; measured from reading that trader to the last of our five positions being
open, the middle of three rounds. Its baseline, in the same run: five positions opened one after the other.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import fmean
from typing import Any, Final

from benchmarks._measuring import figure, measured_in_a_directory
from engine.domain.scoring import Candidate, MarketPulse, PastResults, candidate_score

CANDIDATES: Final = 50
TRADERS: Final = 10
HOURS: Final = 168
ROUNDS: Final = 200
SCORE_GOAL_MS: Final = 10.0
OPEN_GOAL_S: Final = 10.0
PATIENCE_S: Final = 300


def score() -> list[dict[str, Any]]:
    """Measure the scoring of one candidate."""
    rng = random.Random(1)
    candidates = [_candidate(rng, number) for number in range(CANDIDATES)]
    value = _best_of(lambda: [candidate_score(candidate=candidate) for candidate in candidates])
    baseline = _best_of(lambda: [fmean(candidate.pulse.returns) for candidate in candidates])
    each_ms = 1000 / CANDIDATES
    return [
        _below(
            name="candidate_score",
            value=value * each_ms,
            unit="ms",
            baseline=baseline * each_ms,
            goal=SCORE_GOAL_MS,
        )
    ]


def open_5() -> list[dict[str, Any]]:
    """Measure in a process of its own, with settings, services and a database of its own."""
    told = measured_in_a_directory(
        "_executor_run", what="the opening of five positions", patience_s=PATIENCE_S
    )
    return [
        _below(
            name="open_5_positions",
            value=told["value"],
            unit="s",
            baseline=told["baseline"],
            goal=OPEN_GOAL_S,
        )
    ]


def _candidate(rng: random.Random, number: int) -> Candidate:
    returns = tuple(rng.gauss(0, 0.01) for _ in range(HOURS))
    pulse = MarketPulse(returns=returns, day_volume=Decimal(10_000_000), impact_spread=Decimal("0.0004"))
    past = [
        (Decimal(trader + 1), PastResults(closed=rng.randrange(1, 50), won=1, mean_return=rng.gauss(0, 0.05)))
        for trader in range(TRADERS)
    ]
    return Candidate(f"U{number}", Decimal(1000), pulse=pulse, past=past)


def _best_of(work: Callable[[], object]) -> float:
    """Return the shortest of many rounds, in seconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def _below(*, name: str, value: float, unit: str, baseline: float, goal: float) -> dict[str, Any]:
    holds = value < goal
    return figure(
        name=name, value=value, unit=unit, baseline=baseline, goal=f"< {goal:g}", holds=holds, digits=4
    )


FIGURES: Final = {"candidate_score": score, "open_5_positions": open_5}
