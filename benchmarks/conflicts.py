"""How fast conflicts are detected and resolved (CON-5): 10 traders × 50 positions, and 10,000 portfolios.

`conflicts_10x50` is the best of many rounds of one portfolio in which every trader wishes every
underlying, the worst case. Its baseline is measured in the same run: grouping the same Decimals by
underlying and adding them up, with nothing detected, ruled or attributed.

`conflicts_10k_portfolios` resolves 10,000 different portfolios on two processes that were started
before the clock, each holding its half of them. Sizes are drawn like real ones: 2 to 10 traders with
3 to 12 positions each, out of 40 underlyings, all three rules and both policies. Its baseline is the
plain grouping of the same portfolios on the same two processes.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from core.types import ConflictRule, Policy
from positions.domain.conflicts import Wish, conflicts_resolve

TRADERS: Final = 10
POSITIONS: Final = 50
ROUNDS: Final = 400
PORTFOLIOS: Final = 10_000
PROCESSES: Final = 2
GOAL_ONE_S: Final = 0.0005
GOAL_ALL_S: Final = 3.0
PATIENCE_S: Final = 120
_OPENED_AT: Final = datetime(2025, 10, 17, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """One portfolio's wishes and settings."""

    wishes: tuple[Wish, ...]
    rule: ConflictRule
    policy: Policy


def run() -> list[dict[str, Any]]:
    """Measure both figures."""
    return [*run_one(), *run_all()]


def run_one() -> list[dict[str, Any]]:
    """Measure one portfolio of 10 traders × 50 positions, under the slowest of all rules and policies."""
    wishes = portfolio_wishes(random.Random(1), traders=TRADERS, codes=range(POSITIONS), per_trader=POSITIONS)
    cases = [Case(wishes, rule, policy) for rule in ConflictRule for policy in Policy]
    value = max(best_of(partial(resolve, case)) for case in cases)
    return [figure("conflicts_10x50", value, best_of(partial(group_plainly, wishes)), GOAL_ONE_S, unit="ms")]


def run_all() -> list[dict[str, Any]]:
    """Measure 10,000 portfolios on two processes forked before the clock starts."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    workers = [
        context.Process(target=_serve, args=(pipe[1], place), daemon=True) for place, pipe in enumerate(pipes)
    ]
    for worker in workers:
        worker.start()
    ends = [pipe[0] for pipe in pipes]
    try:
        made = sum(_answer(end) for end in ends)
        assert made == PORTFOLIOS, f"{made} portfolios were made, not {PORTFOLIOS}"
        value, resolved = _timed(ends, "resolve")
        baseline, grouped = _timed(ends, "group")
        assert resolved == grouped, f"{resolved} underlyings resolved, {grouped} grouped"
    finally:
        for end in ends:
            end.send("stop")
        for worker in workers:
            worker.join(timeout=10)
    return [figure("conflicts_10k_portfolios", value, baseline, GOAL_ALL_S, unit="s")]


def portfolio_wishes(
    rng: random.Random, *, traders: int, codes: Sequence[int], per_trader: int
) -> tuple[Wish, ...]:
    """Make up the wishes of one portfolio: signed amounts with cents, a moment of opening each."""
    weight = (Decimal(1) / traders).quantize(Decimal("0.0001"))
    return tuple(
        Wish(
            follow_id=trader,
            underlying=f"U{code}",
            notional=Decimal(rng.randrange(-500_000, 500_000) or 1).scaleb(-2),
            weight=weight,
            place=trader,
            opened_at=_OPENED_AT + timedelta(minutes=rng.randrange(10_000)),
        )
        for trader in range(1, traders + 1)
        for code in rng.sample(codes, per_trader)
    )


def resolve(case: Case) -> int:
    """Detect and resolve; return the number of underlyings."""
    return len(conflicts_resolve(wishes=case.wishes, rule=case.rule, policy=case.policy))


def group_plainly(wishes: Sequence[Wish]) -> int:
    """Group the same Decimals and add them up; return the number of underlyings."""
    groups: dict[str, list[Decimal]] = {}
    for wish in wishes:
        groups.setdefault(wish.underlying, []).append(wish.notional)
    return len({underlying: sum(amounts) for underlying, amounts in groups.items()})


def best_of(work: Callable[[], object]) -> float:
    """Return the shortest of many rounds, in seconds: what the work takes when nothing disturbs it."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def figure(name: str, value_s: float, baseline_s: float, goal_s: float, *, unit: str) -> dict[str, Any]:
    """Return one figure as the benchmarks print it."""
    scale = {"s": 1, "ms": 1000}[unit]
    return {
        "name": name,
        "value": round(value_s * scale, 4),
        "unit": unit,
        "baseline": round(baseline_s * scale, 4),
        "goal": f"< {goal_s * scale:g}",
        "holds": value_s < goal_s,
    }


def _portfolios(place: int) -> list[Case]:
    """Make up one process's part of the portfolios."""
    rng = random.Random(place)
    return [
        Case(
            wishes=portfolio_wishes(
                rng, traders=rng.randint(2, 10), codes=range(40), per_trader=rng.randint(3, 12)
            ),
            rule=rng.choice(list(ConflictRule)),
            policy=rng.choice(list(Policy)),
        )
        for _ in range(PORTFOLIOS // PROCESSES)
    ]


def _serve(pipe: Any, place: int) -> None:
    """Hold a part of the portfolios and work through it on demand."""
    cases = _portfolios(place)
    pipe.send(len(cases))
    while (wish := pipe.recv()) != "stop":
        work = resolve if wish == "resolve" else (lambda case: group_plainly(case.wishes))
        pipe.send(sum(work(case) for case in cases))


def _answer(end: Any) -> int:
    """Return what a process answers.

    :raises TimeoutError: it does not, for two minutes
    """
    if not end.poll(PATIENCE_S):
        msg = f"a process of the benchmark has not answered for {PATIENCE_S} s"
        raise TimeoutError(msg)
    return int(end.recv())


def _timed(ends: Sequence[Any], wish: str) -> tuple[float, int]:
    """Let all processes work through their part at once; return the wall time and what they counted."""
    begun = time.perf_counter()
    for end in ends:
        end.send(wish)
    counted = sum(_answer(end) for end in ends)
    return time.perf_counter() - begun, counted


FIGURES: Final = {"conflicts_10x50": run_one, "conflicts_10k_portfolios": run_all}


def main() -> None:
    """Print both figures, one JSON line each."""
    for each in run():
        print(json.dumps(each))


if __name__ == "__main__":
    main()
