"""Whole portfolios over many steps: whatever happens, the slices are the position and limits hold."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowState
from tests.unit.decide.scenario import WIDE, book, markets
from tests.unit.decide.walk import CODES, Walk, plan_checked

# The full ten thousand of BEY-1: DECIDE_WALKS=10000 pytest tests/unit/decide/test_walks.py
WALKS = int(os.environ.get("DECIDE_WALKS", "400"))
BATCH = 50
STEPS = 8


@pytest.mark.parametrize("batch", range(max(1, WALKS // BATCH)))
def test_slices_are_the_position_over_random_walks(batch: int) -> None:
    """BEY-1, ALL-3, RSK-1, BEY-3: checked after every decision, transfer and (partial) fill."""
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        walk = Walk(random.Random(seed))
        walk.begin()
        for step in range(STEPS):
            try:
                walk.carry_out(plan_checked(walk.inputs()))
                walk.fill(fully=False)
            except AssertionError as error:
                raise AssertionError(f"walk {seed}, step {step}") from error
            walk.stir()


@pytest.mark.parametrize("seed", range(60))
def test_a_world_that_stands_still_comes_to_rest(seed: int) -> None:
    """Deciding again on the same inputs, once all has filled, orders nothing more."""
    walk = Walk(random.Random(seed))
    walk.begin()
    for _ in range(3):
        walk.carry_out(plan_checked(walk.inputs()))
        walk.fill(fully=False)
        walk.stir()
    walk.working.clear()
    settings = walk.inputs()
    for _ in range(6):
        still = replace(walk.inputs(), **_settings_of(settings))
        still = replace(still, holdings=walk.holdings())
        plan = plan_checked(still)
        if not (plan.orders or plan.transfers):
            break
        walk.carry_out(plan)
        walk.fill(fully=True)
        walk.working.clear()
    else:
        pytest.fail(f"still busy: {plan.orders} {plan.transfers}")
    assert not plan.cancels


@pytest.mark.parametrize("seed", range(60))
def test_the_order_of_the_inputs_makes_no_difference(seed: int) -> None:
    """CON-2: same inputs in any order, same plan."""
    walk = Walk(random.Random(seed))
    walk.begin()
    for _ in range(4):
        given = walk.inputs()
        plan = plan_checked(given)
        shuffled = replace(
            given,
            follows=tuple(reversed(given.follows)),
            holdings=dict(reversed(given.holdings.items())),
            markets=dict(reversed(given.markets.items())),
        )
        assert copy_plan(inputs=shuffled) == plan
        walk.carry_out(plan)
        walk.fill(fully=False)
        walk.stir()


@pytest.mark.parametrize("seed", range(60))
def test_what_is_left_is_closed_to_the_last_decimal(seed: int) -> None:
    """A trader that is left, and a recording that is over, leave nothing behind."""
    walk = Walk(random.Random(seed))
    walk.begin()
    for _ in range(4):
        walk.carry_out(plan_checked(walk.inputs()))
        walk.fill(fully=False)
        walk.stir()
    walk.working.clear()
    walk.states[1] = FollowState.LEAVING
    for halted in ("halted", ""):
        settings = {"entries_blocked": halted, "blocked": frozenset(), "limits": WIDE}
        settings |= {"free_capital": Decimal(0 if halted else 10**9), "equity": Decimal(10000)}
        for _ in range(4):
            walk.carry_out(plan_checked(replace(walk.inputs(), markets=markets(walk.prices), **settings)))
            walk.fill(fully=True)
            walk.working.clear()
        for code in CODES:
            left = walk.slices.get(code, {}).get(1, 0)
            # Under a halt a slice may be left over that only another trader's opposite one outweighs.
            assert not left or (halted and walk.quantity(code) == 0)
    ending = replace(walk.inputs(), world_ended=True)
    walk.carry_out(plan_checked(ending))
    walk.fill(fully=True)
    assert all(walk.quantity(code) == 0 for code in CODES)
    assert not any(part for parts in walk.slices.values() for part in parts.values())


def _settings_of(given: object) -> dict[str, object]:
    """Return everything but what carrying out a plan changes."""
    names = ("policy", "rule", "overrides", "limits", "equity", "markets", "blocked", "entries_blocked")
    calm = {name: getattr(given, name) for name in names}
    return calm | {"free_capital": Decimal(10**9), "auto_rebalance": False, "max_chase": Decimal(10**9)}


@pytest.mark.parametrize("seed", range(80))
def test_prices_alone_order_nothing(seed: int) -> None:
    """ALL-4: without auto-rebalance, only what a trader or a person does is sent, however prices move.

    The one exception is a target that became 0: that is a close.
    """
    walk = Walk(random.Random(seed))
    walk.begin()
    settings = _settings_of(replace(walk.inputs(), equity=Decimal(10000), markets={}))
    settings |= {"blocked": frozenset(), "entries_blocked": ""}
    walk.equities |= {2: Decimal(0)} if seed % 4 == 0 else {}
    for _ in range(6):
        walk.carry_out(plan_checked(_calm(walk, settings)))
        walk.fill(fully=True)
        walk.working.clear()
    for _ in range(15):
        for code in CODES:
            walk.prices[code] *= Decimal(walk.rng.choice(["0.9", "0.99", "1.01", "1.1"]))
        plan = plan_checked(_calm(walk, settings))
        targets = {net.underlying: net.quantity for net in plan.nets}
        assert [order for order in plan.orders if targets[order.underlying] != 0] == []
        walk.carry_out(plan)
        walk.fill(fully=True)
        walk.working.clear()


def _calm(walk: Walk, settings: dict[str, object]) -> CopyInputs:
    """Return the walk's inputs with every trader read and these settings."""
    given = walk.inputs()
    follows = tuple(
        replace(f, book=book(walk.equities[f.follow_id], walk.books[f.follow_id], walk.prices))
        for f in given.follows
    )
    fixed = settings | {"markets": markets(walk.prices), "forced": frozenset()}
    return replace(given, follows=follows, **fixed)  # type: ignore[arg-type]
