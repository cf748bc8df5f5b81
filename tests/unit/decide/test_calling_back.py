"""Orders under way when a trader stops taking part: paused, lost, or left with its part kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.types import OrderSide, Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowState, LegMemory, WorkingOrder
from engine.domain.plan_types import CopyPlan
from tests.unit.decide.scenario import book, follow, holding, inputs, markets

D = Decimal
HALF_MORE = (WorkingOrder(7, OrderSide.BUY, D("0.5")),)
SENT_TO_1 = {"ETH": LegMemory(D(1), D(3000), D(1))}


def cancels(plan: CopyPlan) -> list[int]:
    assert plan.orders == ()
    return [cancel.order_id for cancel in plan.cancels]


def half_way(*others: Any, state: FollowState = FollowState.ACTIVE, **more: Any) -> CopyInputs:
    """A follows 1 ETH with all of the portfolio: 0.5 is held, 0.5 is working."""
    trader = None if state is FollowState.LOST else book(10000, {"ETH": 1})
    values: dict[str, Any] = {"holdings": {"ETH": holding("ETH", {1: "0.5"}, working=HALF_MORE)}}
    return inputs(follow(1, trader, state=state, memory=SENT_TO_1), *others, **(values | more))


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("state", [FollowState.PAUSED, FollowState.LOST, FollowState.LEAVING])
@pytest.mark.parametrize("forced", [frozenset({"ETH"}), frozenset()])
def test_nothing_more_is_opened_for_a_trader_that_stopped(
    state: FollowState, forced: frozenset[str], policy: Policy
) -> None:
    """SPEC, pausing and lost: no entries, also none that are under way."""
    assert cancels(copy_plan(inputs=half_way(state=state, forced=forced, policy=policy))) == [7]


def test_a_short_under_way_is_called_back_too() -> None:
    """SPEC, pausing: the same below zero."""
    selling = (WorkingOrder(7, OrderSide.SELL, D("0.5")),)
    given = inputs(
        follow(1, None, state=FollowState.LOST, memory={"ETH": LegMemory(D(-1), D(-3000), D(-1))}),
        holdings={"ETH": holding("ETH", {1: "-0.5"}, working=selling)},
    )
    assert cancels(copy_plan(inputs=given)) == [7]


def test_nothing_more_is_opened_for_a_trader_that_left_its_part_to_the_owner() -> None:
    """SPEC, leaving: the slice is the owner's now, and the owner asked for nothing."""
    kept = inputs(holdings={"ETH": holding("ETH", {None: "0.5"}, working=HALF_MORE)})
    assert cancels(copy_plan(inputs=kept)) == [7]


def test_a_crumb_under_way_is_called_back_as_well() -> None:
    """SPEC, pausing: 3 dollars, which no order of ours could take off again."""
    crumb = (WorkingOrder(7, OrderSide.BUY, D("0.001")),)
    held = {"ETH": holding("ETH", {1: "0.999"}, working=crumb)}
    assert cancels(copy_plan(inputs=half_way(state=FollowState.PAUSED, holdings=held))) == [7]


@pytest.mark.parametrize("wanted", ["2", "2.01"])
def test_a_neighbour_that_has_what_it_wants_keeps_no_order_alive(wanted: str) -> None:
    """SPEC, lost: B holds 1 of 1 (or of 1.005: drift); the order was A's alone."""
    other = follow(2, book(10000, {"ETH": wanted}), memory={"ETH": LegMemory(D(wanted), D(3000), D(1))})
    given = half_way(
        other,
        state=FollowState.LOST,
        holdings={
            "ETH": holding("ETH", {1: "0.25", 2: 1}, working=(replace(HALF_MORE[0], remaining=D("0.25")),))
        },
    )
    assert cancels(copy_plan(inputs=given)) == [7]


@pytest.mark.parametrize(("remaining", "called_back"), [("0.5", []), ("0.54", []), ("0.7", [7])])
def test_an_order_that_others_want_works_on(remaining: str, called_back: list[int]) -> None:
    """SPEC, pausing: A is paused and holds 0.3; what works is B's way from 0.5 to 1, give or take a tenth."""
    other = follow(2, book(10000, {"ETH": 1}), memory={"ETH": LegMemory(D(1), D(3000), D(1))})
    working = (WorkingOrder(7, OrderSide.BUY, D(remaining)),)
    given = inputs(
        follow(1, book(10000, {"ETH": 1}), state=FollowState.PAUSED, memory=SENT_TO_1),
        other,
        holdings={"ETH": holding("ETH", {1: "0.3", 2: "0.5"}, working=working)},
    )
    assert cancels(copy_plan(inputs=given)) == called_back


def test_traders_that_all_take_part_keep_what_is_under_way() -> None:
    """EXE-3: on its way, also while its price is stale; a little drift calls nothing back."""
    for given in (
        half_way(),
        half_way(markets=markets(stale=frozenset({"ETH"}))),
        half_way(equity=D(9700)),
    ):
        assert cancels(copy_plan(inputs=given)) == []


def test_what_reduces_works_on_when_its_trader_is_lost() -> None:
    """SPEC, lost: hold, block entries, keep exits."""
    exiting = (WorkingOrder(7, OrderSide.SELL, D("0.5")),)
    held = {"ETH": holding("ETH", {1: 1}, working=exiting)}
    leaving_half = {"ETH": LegMemory(D("0.5"), D(1500), D("0.5"))}
    given = inputs(follow(1, None, state=FollowState.LOST, memory=leaving_half), holdings=held)
    assert cancels(copy_plan(inputs=given)) == []


@pytest.mark.parametrize("state", [FollowState.ACTIVE, FollowState.PAUSED, FollowState.LOST])
def test_a_liquidation_is_left_to_itself(state: FollowState) -> None:
    """EXE-8: A wants its 1 ETH as before; the order that liquidates it is waited for."""
    liquidating = (WorkingOrder(7, OrderSide.SELL, D(1), forced_close=True),)
    held = {"ETH": holding("ETH", {1: 1}, working=liquidating)}
    assert cancels(copy_plan(inputs=half_way(state=state, holdings=held, entries_blocked="halted"))) == []
