"""RSK-1, EXE-4, VIEW-3: the owner's own entry passes the same bars and limits, or is refused with why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.errors import InputError
from core.types import OrderSide, Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import LegMemory, WorkingOrder
from engine.domain.own_entry import EntryWish, entry_decide
from engine.domain.plan_types import Purpose
from tests.unit.decide.scenario import WIDE, book, follow, holding, inputs, markets

D = Decimal
BUY = EntryWish("ETH", OrderSide.BUY, D("0.5"), D(2990))
NOW, LIMITS = "Nothing is opened in ETH now: ", "Your limits do not allow it: "
OWN = (WorkingOrder(7, OrderSide.BUY, D("0.5"), for_owner=True),)


def refused(wish: EntryWish = BUY, **more: Any) -> InputError:
    with pytest.raises(InputError) as error:
        entry_decide(wish=wish, inputs=inputs(**more))
    return error.value


def test_an_entry_reserves_its_worst_cost() -> None:
    """CAP-1: a resting buy is held at the mark, which is above its limit; fees come on top."""
    plan = entry_decide(
        wish=BUY, inputs=inputs(policy=Policy.PERP, margin_rate=D("0.5"), fee_rate=D("0.001"))
    )
    assert (plan.purpose, plan.market.mark) == (Purpose.ENTRY, D(3000))
    assert plan.capital_needed == D("0.5") * 3000 * D("0.501") + D("0.00000002")


def test_what_is_held_is_scaled_into_and_small_letters_do() -> None:
    """EXE-7: one position per underlying: the entry adds to it."""
    held = {"ETH": holding("ETH", {1: "1"})}
    wish = replace(BUY, code="eth")
    plan = entry_decide(wish=wish, inputs=inputs(follow(1, book(10000, {"ETH": 1})), holdings=held))
    assert plan.purpose is Purpose.SCALE_IN
    assert plan.market.instrument.code == "ETH"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"entries_blocked": "the portfolio is halted"},
            NOW + "the portfolio is halted.",
        ),
        ({"blocked": frozenset({"ETH"})}, NOW + "ETH is on the block list."),
        ({"barred": {"ETH": "you are closing it"}}, NOW + "you are closing it."),
        (
            {"markets": markets(stale=frozenset({"ETH"}))},
            NOW + "the price",
        ),
        ({"world_ended": True}, NOW + "the recording is over."),
        (
            {"holdings": {"ETH": holding("ETH", {}, working=OWN)}},
            "An order in ETH is working already",
        ),
        ({"free_capital": D(100)}, "It needs $1,500.00 of capital, $100.00 is free."),
        (
            {"limits": replace(WIDE, max_position=D("0.1"))},
            LIMITS + "10 % of equity ($1,000.00)",
        ),
        (
            {"limits": replace(WIDE, max_open_orders=0)},
            LIMITS + "0 orders that open positions",
        ),
        (
            {
                "limits": replace(WIDE, max_positions=1),
                "holdings": {"BTC": holding("BTC", {None: "0.01"})},
            },
            LIMITS + "the only place is taken; no more of it passes.",
        ),
        (
            {
                "policy": Policy.PERP,
                "holdings": {"ETH": holding("ETH", {None: "-1"})},
            },
            "ETH is held short; this would reduce it.",
        ),
    ],
)
def test_refused_for_each_reason(more: dict[str, Any], said: str) -> None:
    """VIEW-3: breakers, block list, stale marks, places, limits and capital, each named."""
    assert refused(**more).message.startswith(said)


@pytest.mark.parametrize(
    ("wish", "field", "said"),
    [
        ({"code": "PEPE"}, "instrument", "“PEPE” is not traded here, or has no price yet."),
        ({"side": OrderSide.SELL}, "side", "A spot portfolio opens nothing by selling"),
        ({"quantity": D("0.50005")}, "quantity", "ETH is traded in steps of 0.0001; 0.5 would pass."),
        (
            {"limit_price": D("2990.123")},
            "limit_price",
            "ETH does not take so many digits in a price",
        ),
        ({"quantity": D("0.003")}, "quantity", "$8.97 is below the venue's minimum of $10.00."),
        (
            {"limit_price": D(3151)},
            "limit_price",
            "The limit is 5 % above the price of 3000; at most",
        ),
    ],
)
def test_refused_at_its_field(wish: dict[str, Any], field: str, said: str) -> None:
    """EXE-5: steps and minimum of the venue; a slip of the finger is caught."""
    error = refused(replace(BUY, **wish), policy=Policy.SPOT)
    assert error.field == field
    assert error.message.startswith(said)


def test_a_short_far_below_the_mark_is_a_slip_too() -> None:
    """EXE-4: a sell that would fill at any price is no limit order."""
    wish = EntryWish("ETH", OrderSide.SELL, D("0.5"), D(2800))
    assert refused(wish, policy=Policy.PERP).message.startswith("The limit is 6.7 % below the price of 3000")


def test_the_cycle_leaves_the_owners_entry_alone() -> None:
    """EXE-8: nobody voted for it, and no cycle calls it back; it counts as wanted."""
    given = inputs(holdings={"ETH": holding("ETH", {}, working=OWN)})
    plan = copy_plan(inputs=given)
    assert (plan.orders, plan.cancels, plan.memory) == ((), (), ())


def test_a_traders_exit_comes_before_it() -> None:
    """Exits come before entries: the one order per underlying is the trader's close."""
    given = inputs(
        follow(1, book(10000, {}), memory={"ETH": LegMemory(D(1), D(3000), D(1))}),
        holdings={"ETH": holding("ETH", {1: "1"}, working=OWN)},
    )
    assert [cancel.order_id for cancel in copy_plan(inputs=given).cancels] == [7]


def test_a_breaker_calls_it_back() -> None:
    """RSK-2: what opens is called back, whoever asked for it."""
    given = inputs(holdings={"ETH": holding("ETH", {}, working=OWN)}, entries_blocked="daily loss")
    assert [cancel.order_id for cancel in copy_plan(inputs=given).cancels] == [7]


def test_the_owners_entry_takes_no_traders_turn() -> None:
    """EXE-2: five entries at once; an own one may rest for hours and does not stop the copying."""
    given = inputs(
        follow(1, book(10000, {"BTC": D("0.01")})),
        holdings={"ETH": holding("ETH", {}, working=OWN)},
        entries_at_once=1,
    )
    assert [order.underlying for order in copy_plan(inputs=given).orders] == ["BTC"]
