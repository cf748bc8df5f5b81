"""RSK-5: a thousand random markets without one violated limit, and sizes as wanted where nothing binds.

Each scenario is a portfolio of a named profile with its own books, prices, correlations and orders on their
way; ``plan_checked`` measures what its plan would make of it against every limit, in three ways: the targets,
the positions once all is filled, and what is there the moment each entry fills while nothing is sold yet.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from allocation.domain.limits import PROFILES, gross_cap
from core.types import Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs
from tests.unit.decide.scenario import PRICES, WIDE, D, book, follow, inputs, markets
from tests.unit.decide.walk import Walk, plan_checked

SCENARIOS = int(os.environ.get("LIMIT_SCENARIOS", "1000"))
BATCH = 100
PROFILE_NAMES = sorted(PROFILES)


def scenario(seed: int) -> tuple[CopyInputs, Walk]:
    """Return a portfolio some steps into its life, under a profile that has held from the beginning."""
    rng = random.Random(f"scenario {seed}")
    walk = Walk(rng)
    walk.begin()
    limits = PROFILES[PROFILE_NAMES[seed % len(PROFILE_NAMES)]]
    settings = {"limits": limits, "equity": D(10000), "free_capital": D(rng.choice([500, 20000]))}
    for _ in range(rng.randint(0, 4)):
        walk.carry_out(copy_plan(inputs=replace(walk.inputs(), **settings)))
        walk.fill(fully=False)
        walk.stir()
    return replace(walk.inputs(), **settings), walk


@pytest.mark.parametrize("batch", range(max(1, SCENARIOS // BATCH)))
def test_no_limit_is_violated_in_a_thousand_random_markets(batch: int) -> None:
    """RSK-5: 0 violations; and the limits were there to be met: entries went and wishes were cut."""
    met: Counter[str] = Counter()
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        given, _ = scenario(seed)
        try:
            plan = plan_checked(given)
        except AssertionError as error:
            raise AssertionError(f"scenario {seed}") from error
        met["entries"] += sum(not order.reduce_only for order in plan.orders)
        met.update(idle.limit for idle in plan.idle)
    assert met["entries"] >= BATCH // 10
    assert met["position"] >= BATCH // 10
    assert met["correlated"] + met["gross"] + met["places"] >= BATCH // 10, met


@pytest.mark.parametrize("batch", range(5))
def test_sizes_are_as_wanted_where_nothing_binds(batch: int) -> None:
    """RSK-5: within 5 % of w · E · r for every order that the venue takes; what is less is told as such."""
    compared = 0
    for seed in range(batch * 40, (batch + 1) * 40):
        rng = random.Random(f"sizes {seed}")
        equity = D(rng.choice([5000, 10000, 80000]))
        policy = rng.choice(list(Policy))
        ratios = {
            follow_id: {code: D(rng.randint(2, 22)) / 100 for code in rng.sample(sorted(PRICES), 3)}
            for follow_id in range(1, rng.randint(2, 5))
        }
        theirs = {follow_id: D(rng.choice([1000, 50000, 2000000])) for follow_id in ratios}
        follows = [
            follow(i, book(theirs[i], {code: theirs[i] * r / PRICES[code] for code, r in legs.items()}))
            for i, legs in ratios.items()
        ]
        given = inputs(*follows, policy=policy, equity=equity, markets=markets(), limits=WIDE)
        plan = copy_plan(inputs=given)
        optimum: Counter[str] = Counter()
        for follow_id, legs in ratios.items():
            for code, ratio in legs.items():
                optimum[code] += plan.weights[follow_id] * equity * ratio  # type: ignore[assignment]
        assert sum(optimum.values()) < gross_cap(limits=WIDE, policy=policy) * equity
        sizes = {order.underlying: order.quantity * order.decision_mark for order in plan.orders}
        assert {idle.limit for idle in plan.idle} <= {"minimum"}
        for code, wanted in optimum.items():
            if code not in sizes:
                step = given.markets[code].instrument.quantity_step * PRICES[code]
                assert wanted < max(given.markets[code].instrument.min_notional, step) * D("1.01")
                continue
            compared += 1
            assert abs(sizes[code] / Decimal(wanted) - 1) <= D("0.05"), (seed, code)
    assert compared >= 100
