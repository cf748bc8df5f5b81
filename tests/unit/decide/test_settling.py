"""How slices settle: what stays, what is handed on, what is remembered, in the corners."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.types import OrderSide, Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import FollowState, LegMemory, Market, WorkingOrder
from engine.domain.legs import slice_staying
from engine.domain.plan_types import CopyPlan, DecisionKind
from tests.unit.decide.scenario import D, Keeper, book, bounds, follow, holding, inputs, instrument, markets


def known(quantity: str, slice_quantity: str) -> LegMemory:
    return LegMemory(D(quantity), D(0), D(slice_quantity))


def signed_orders(plan: CopyPlan) -> list[tuple[str, Decimal]]:
    return [(o.underlying, o.quantity if o.side is OrderSide.BUY else -o.quantity) for o in plan.orders]


def shifts(plan: CopyPlan) -> list[tuple[int | None, int | None, Decimal]]:
    return [(t.from_follow_id, t.to_follow_id, t.quantity) for t in plan.transfers]


@pytest.mark.parametrize(
    ("held", "memory", "trader", "stays"),
    [
        ("4", known("8", "4"), "8", "4"),  # nothing happened
        ("4", known("8", "4"), "2", "1"),  # a quarter is left
        ("4", known("8", "4"), "9", "4"),  # added: not followed
        ("4", known("8", "4"), "0", "0"),  # closed
        ("4", known("8", "4"), "-8", "0"),  # flipped
        ("4", known("8", "4"), None, "4"),  # cannot be read
        ("4", known("8", "3"), "8", "3"),  # a reduction to 3 is under way: finished
        ("4", known("8", "3"), None, "3"),  # also when the trader was lost meanwhile
        ("3", known("8", "4"), "8", "3"),  # an entry to 4 is under way: not finished
        ("4", known("8", "-2"), "8", "0"),  # a flip is under way: its close is finished
        ("4", None, "8", "4"),
        ("4", None, "-8", "0"),
        ("-4", known("-8", "-4"), "-2", "-1"),
        ("0", known("8", "4"), "8", "0"),
    ],
)
def test_a_slice_that_stays_only_shrinks(
    held: str, memory: LegMemory | None, trader: str | None, stays: str
) -> None:
    """SPEC, pausing and lost: slice · (trader now ÷ when adopted), never more than is held."""
    quantity = None if trader is None else D(trader)
    assert slice_staying(held=D(held), memory=memory, trader_quantity=quantity) == D(stays)


def test_a_change_taken_back_calls_its_order_back() -> None:
    """EXE-3: 1.05 was wanted and is working, the trader is back at 1: 5 % is no drift, it is its wish."""
    working = (WorkingOrder(7, OrderSide.BUY, D("0.05")),)
    given = inputs(
        follow(1, book(10000, {"ETH": 1}), memory={"ETH": known("1.05", "1.05")}),
        holdings={"ETH": holding("ETH", {1: 1}, working=working)},
    )
    assert [cancel.order_id for cancel in copy_plan(inputs=given).cancels] == [7]


def test_what_stays_is_scaled_only_where_nothing_else_can_be() -> None:
    """RSK-1: two paused slices, +1 and -1; the short closes; the long alone would exceed 2,000 dollars."""
    given = inputs(
        follow(1, book(10000, {"ETH": 1}), state=FollowState.PAUSED, memory={"ETH": known("1", "1")}),
        follow(2, book(10000, {}), state=FollowState.PAUSED, memory={"ETH": known("-1", "-1")}),
        holdings={"ETH": holding("ETH", {1: 1, 2: -1})},
        limits=bounds(D("0.18"), 9, D(2)),
    )
    plan = copy_plan(inputs=given)
    assert signed_orders(plan) == [("ETH", D("0.6"))]
    assert shifts(plan) == [(1, 2, D("0.4"))]


@pytest.mark.parametrize(("change", "crossed"), [("0.002", []), ("0.02", [(2, 1, D("0.01"))])])
def test_crossings_below_the_minimum_add_up_like_orders(
    change: str, crossed: list[tuple[int, int, Decimal]]
) -> None:
    """ALL-4, BEY-1: 3 dollars wait, 30 dollars change hands; the net needs no order either way."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=inputs(*(follow(i, book(10000, {"ETH": 1})) for i in (1, 2)))))
    moved = inputs(
        follow(1, book(10000, {"ETH": 1 + D(change)})), follow(2, book(10000, {"ETH": 1 - D(change)}))
    )
    plan = copy_plan(inputs=keeper.filled_in(moved))
    assert (plan.orders, shifts(plan)) == ((), crossed)
    keeper.carry_out(plan)
    again = copy_plan(inputs=keeper.filled_in(moved))
    assert (again.orders, again.transfers) == ((), ())


def test_a_step_too_coarse_for_any_slice_is_shared() -> None:
    """BEY-1: four traders want 0.475 each, the venue trades whole units: a quarter each, none below 0."""
    coarse = {"SOL": Market(instrument("SOL", step=D(1)), D(200))}
    given = inputs(
        *(follow(i, book(10000, {"SOL": "1.9"})) for i in (1, 2, 3, 4)), policy=Policy.SPOT, markets=coarse
    )
    plan = copy_plan(inputs=given)
    assert signed_orders(plan) == [("SOL", D(1))]
    assert [part.quantity for part in plan.orders[0].slices] == [D("0.25")] * 4


def test_a_rebalanced_slice_has_arrived() -> None:
    """ALL-4: what the portfolio did by itself is not taken for an order that ended early."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=inputs(follow(1, book(10000, {"ETH": 1})))))
    drifted = inputs(follow(1, book(12500, {"ETH": 1})))
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(replace(drifted, auto_rebalance=True))))
    assert keeper.slices["ETH"] == {1: D("0.8")}
    a_little = inputs(follow(1, book(13000, {"ETH": 1})))
    assert copy_plan(inputs=keeper.filled_in(a_little)).orders == ()


def test_a_scale_that_has_to_wait_is_not_forgotten() -> None:
    """ALL-3: while an order works, the new basis does not count as decided."""
    legs = {"ETH": known("1", "1"), "SOL": known("15", "15")}
    working = (WorkingOrder(7, OrderSide.BUY, D("0.5")),)
    given = inputs(
        follow(1, book(20000, {"ETH": 1, "SOL": 15}), memory=legs, basis_id=2),
        holdings={"ETH": holding("ETH", {1: 1}, working=working), "SOL": holding("SOL", {1: "7.5"})},
    )
    plan = copy_plan(inputs=given)
    assert [cancel.order_id for cancel in plan.cancels] == [7]
    assert plan.decided_bases == {}
    later = replace(given, holdings={"ETH": holding("ETH", {1: 1}), "SOL": holding("SOL", {1: "7.5"})})
    plan = copy_plan(inputs=later)
    assert signed_orders(plan) == [("ETH", D("-0.5"))]
    assert plan.decided_bases == {1: 2}


def test_an_entry_cut_by_capital_says_so_and_goes_on_later() -> None:
    """CAP-1, BEY-3: 3,000 wanted, 1,001 free: a third now, the rest when there is more."""
    given = inputs(follow(1, book(10000, {"ETH": 1})), free_capital=D(1001))
    keeper = Keeper()
    plan = copy_plan(inputs=keeper.filled_in(given))
    assert signed_orders(plan) == [("ETH", D("0.3333"))]
    (decision,) = plan.decisions
    assert decision.kind is DecisionKind.CAPPED
    assert decision.reason == (
        "Capped at $999.90 by free capital: A wanted $3,000.00; the rest follows when it is there."
    )
    keeper.carry_out(plan)
    assert signed_orders(copy_plan(inputs=keeper.filled_in(replace(given, free_capital=D(9999))))) == [
        ("ETH", D("0.6667"))
    ]


def test_a_slice_of_a_follow_that_is_gone_is_kept() -> None:
    """OPS-2: nobody speaks for it, so nothing sells it; its position still adds up."""
    given = inputs(follow(1, book(10000, {"ETH": 1})), holdings={"ETH": holding("ETH", {9: "0.4"})})
    plan = copy_plan(inputs=given)
    assert signed_orders(plan) == [("ETH", D(1))]
    assert all(update.follow_id == 1 for update in plan.memory)


def test_a_trader_that_was_paused_and_grew_is_remembered_as_it_was() -> None:
    """SPEC, pausing: so that resuming can tell what was added meanwhile."""
    paused = follow(1, book(10000, {"ETH": 3}), state=FollowState.PAUSED, memory={"ETH": known("1", "1")})
    given = inputs(paused, holdings={"ETH": holding("ETH", {1: 1})}, forced=frozenset({"ETH"}))
    plan = copy_plan(inputs=given)
    assert (plan.orders, plan.memory) == ((), ())
    flipped = replace(given, follows=(replace(paused, book=book(10000, {"ETH": -3})),))
    (update,) = copy_plan(inputs=flipped).memory
    assert (update.memory.trader_quantity, update.memory.target_quantity) == (0, 0)


def test_an_unpriced_holding_is_held_and_counted() -> None:
    """MKT-1: no market, no order, whatever its trader does; it still takes its place."""
    given = inputs(
        follow(1, book(10000, {"BTC": "0.1"}), memory={"ETH": known("1", "1")}),
        holdings={"ETH": replace(holding("ETH", {1: 1}), average_entry=D(3000))},
        markets={"BTC": markets()["BTC"]},
        limits=bounds(D(1), 1, D(2)),
    )
    plan = copy_plan(inputs=given)
    assert plan.orders == ()
    assert {(d.kind, d.underlying) for d in plan.decisions} == {
        (DecisionKind.DELAYED, "ETH"),
        (DecisionKind.REFUSED, "BTC"),
    }
