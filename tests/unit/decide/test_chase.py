"""The chase guard: what ran away from its trader's own entry is not bought until it comes back (EXE-4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from allocation.domain.books import TraderLeg
from allocation.domain.chase import price_added, price_run
from core.types import ConflictRule, OrderSide
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, LegMemory, WorkingOrder
from engine.domain.plan_types import CopyPlan, DecisionKind
from tests.unit.decide.scenario import Keeper, book, follow, holding, inputs, markets

D = Decimal


def leg(quantity: str, entry: str | None) -> TraderLeg:
    price = None if entry is None else D(entry)
    return TraderLeg("ETH", D(quantity), D(quantity) * 100, entry_price=price)


@pytest.mark.parametrize(
    ("before", "after", "known", "price"),
    [
        (leg("10", "100"), leg("15", "110"), None, "130"),  # (1,650 − 1,000) ÷ 5
        (leg("-10", "100"), leg("-15", "90"), None, "70"),
        (None, leg("10", "100"), "7", None),  # opened, whatever was known
        (leg("-3", "100"), leg("10", "100"), "7", None),  # turned
        (leg("10", "100"), leg("6", "100"), "130", "130"),  # reduced: the last add stands
        (leg("10", "100"), leg("10", "100"), None, None),
        (leg("10", None), leg("15", "110"), "7", None),
        (leg("10", "100"), leg("15", None), "7", None),
        (leg("10", "100"), leg("11", "50"), None, "50"),  # nonsense: the average stands in
        (leg("3", "100"), leg("4", "100.3"), None, "101.2"),
    ],
)
def test_an_add_costs_what_it_moved_the_average_by(
    before: TraderLeg | None, after: TraderLeg, known: str | None, price: str | None
) -> None:
    """EXE-4: of a scale-in only the average is reported."""
    found = price_added(before=before, after=after, known=None if known is None else D(known))
    assert found == (None if price is None else D(price))


@pytest.mark.parametrize(
    ("price", "entry", "long", "run"),
    [
        ("102", "100", True, "0.02"),
        ("98", "100", True, "-0.02"),
        ("98", "100", False, "0.02"),
        ("102", "100", False, "-0.02"),
        ("102", None, True, "0"),
        ("102", "0", True, "0"),
    ],
)
def test_past_is_up_for_a_long_and_down_for_a_short(
    price: str, entry: str | None, long: bool, run: str
) -> None:
    """EXE-4."""
    assert price_run(price=D(price), entry=None if entry is None else D(entry), long=long) == D(run)


def at(
    price: str, *quantities: str, entries: tuple[str, ...] = ("3000", "3000", "3000"), **more: Any
) -> CopyInputs:
    """Traders with 10,000 each and these ETH, entered at ``entries``; ETH costs ``price`` now."""
    prices = {"ETH": D(price)}
    follows = [
        follow(
            number,
            book(10000, {"ETH": quantity}, prices, entries={"ETH": D(entry)}),
            **more.pop(f"follow_{number}", {}),
        )
        for number, (quantity, entry) in enumerate(zip(quantities, entries, strict=False), 1)
    ]
    return inputs(*follows, **({"markets": markets(prices)} | more))


def signed(plan: CopyPlan) -> list[Decimal]:
    return [o.quantity if o.side is OrderSide.BUY else -o.quantity for o in plan.orders]


@pytest.mark.parametrize(
    ("price", "quantity", "ordered"),
    [
        ("3060", "1", ["1"]),  # exactly 2 %
        ("3060.01", "1", []),
        ("2900", "1", ["1"]),  # cheaper than the trader's own
        ("2940", "-1", ["-1"]),
        ("2939.99", "-1", []),
        ("3100", "-1", ["-1"]),
    ],
)
def test_an_entry_is_skipped_past_two_percent(price: str, quantity: str, ordered: list[str]) -> None:
    """EXE-4: side-aware, at most 2 %."""
    assert signed(copy_plan(inputs=at(price, quantity))) == [D(part) for part in ordered]


def test_the_decision_gives_the_numbers_and_is_told_once() -> None:
    """EXE-4, BEY-3: the same skip at another price adds no row; when the price is back, it is copied."""
    keeper = Keeper()
    plan = copy_plan(inputs=keeper.filled_in(at("3105", "1")))
    (decision,) = plan.decisions
    assert (decision.kind, decision.text) == (DecisionKind.REFUSED, "Too late for ETH: A")
    assert decision.reason == (
        "ETH at 3105 is 3.5 % past A's entry of 3000: too far to follow, unless it comes back."
    )
    keeper.carry_out(plan)
    assert keeper.memory[1]["ETH"] == LegMemory(D(1), D(3105), D(1))
    (again,) = copy_plan(inputs=keeper.filled_in(at("3200", "1"))).decisions
    assert again.fingerprint == decision.fingerprint
    back = copy_plan(inputs=keeper.filled_in(at("3050", "1")))
    assert signed(back) == [D(1)]
    assert [(d.kind, d.text) for d in back.decisions] == [(DecisionKind.COPIED, "Continued ETH: A")]


def test_an_entry_that_is_away_is_forgotten_when_its_trader_closes() -> None:
    """EXE-4: what never was bought is not sold either."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(at("3105", "1"))))
    plan = copy_plan(inputs=keeper.filled_in(at("3000", "0")))
    keeper.carry_out(plan)
    assert plan.orders == ()
    assert keeper.memory[1]["ETH"] == LegMemory()
    assert copy_plan(inputs=keeper.filled_in(at("3000", "0"))).decisions == ()


def arrived(quantity: str = "1") -> Keeper:
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(at("3000", quantity))))
    assert keeper.quantity("ETH") == D(quantity)
    return keeper


def test_an_add_is_held_against_its_own_price() -> None:
    """EXE-4: 1 at 3,000, then 1 more at 4,000 (average 3,500): at 4,050 that is 1.25 %, at 4,100 2.5 %."""
    added = {"added": {"ETH": D(4000)}}
    for price, ordered in (("4050", [D(1)]), ("4100", [])):
        keeper = arrived()
        now = at(price, "2", entries=("3500",), follow_1=added, equity=D(10000))
        plan = copy_plan(inputs=keeper.filled_in(now))
        assert signed(plan) == ordered
        keeper.carry_out(plan)
        assert keeper.quantity("ETH") == 1 + sum(ordered)


def test_a_position_that_is_held_grows_by_settings_at_any_price() -> None:
    """EXE-4 is about entries: here the weight doubles, and what we hold follows."""
    keeper = Keeper()
    both = at("3000", "1", "0", entries=("3000", "3000"))
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(both)))
    assert keeper.quantity("ETH") == D("0.5")
    alone = at("4000", "1", forced=frozenset({"ETH"}))
    assert signed(copy_plan(inputs=keeper.filled_in(alone))) == [D("0.5")]


def test_the_rest_of_an_unfinished_entry_is_guarded_too() -> None:
    """EXE-4: 0.4 of 1 filled before the order ended; the price has run away since."""
    keeper = arrived()
    keeper.slices["ETH"] = {1: D("0.4")}
    assert copy_plan(inputs=keeper.filled_in(at("3105", "1"))).orders == ()
    assert signed(copy_plan(inputs=keeper.filled_in(at("3050", "1")))) == [D("0.6")]


def test_a_flip_closes_though_its_other_side_has_run_away() -> None:
    """EXE-4, RSK-2: the long is closed; the short, entered at 3,000, is not chased at 2,900."""
    keeper = arrived()
    plan = copy_plan(inputs=keeper.filled_in(at("2900", "-1")))
    assert signed(plan) == [D(-1)]
    (decision,) = plan.decisions
    assert decision.reason == (
        "ETH at 2900 is 3.3 % past A's entry of 3000: too far to follow, unless it comes back. "
        "Beside that: SELL 1 ETH at no less than 2871."
    )
    keeper.carry_out(plan)
    assert copy_plan(inputs=keeper.filled_in(at("2900", "-1"))).orders == ()


def test_each_trader_is_judged_by_itself() -> None:
    """EXE-4, CON-2: B entered at today's price, A long ago; B's part is bought, A's is not."""
    plan = copy_plan(inputs=at("3300", "1", "1", entries=("3000", "3280")))
    assert signed(plan) == [D("0.5")]
    assert plan.orders[0].slices[0].follow_id == 2
    assert [(d.kind, d.follow_ids) for d in plan.decisions] == [
        (DecisionKind.REFUSED, (1,)),
        (DecisionKind.MERGED, (2,)),
    ]


def test_a_largest_wish_that_ran_away_opens_nothing() -> None:
    """EXE-4, CON-2: the rule has chosen A; B does not take its place."""
    plan = copy_plan(
        inputs=at("3300", "2", "1", entries=("3000", "3280"), rule=ConflictRule.LARGEST),
    )
    assert plan.orders == ()


def test_an_order_that_works_is_left_to_its_limit() -> None:
    """EXE-4: it was decided at its price; the guard does not call it back."""
    keeper = arrived()
    keeper.slices.clear()
    working = {"ETH": holding("ETH", {}, working=(WorkingOrder(7, OrderSide.BUY, D(1)),))}
    plan = copy_plan(inputs=replace(keeper.filled_in(at("3105", "1")), holdings=working))
    assert (plan.orders, plan.cancels, plan.decisions) == ((), (), ())


def test_a_trader_that_reports_no_entry_is_not_guarded() -> None:
    """EXE-4: nothing is known to compare with."""
    given = at("3300", "1")
    trader = given.follows[0].book
    assert trader is not None
    blind = replace(trader, legs={"ETH": TraderLeg("ETH", D(1), D(3300))})
    plan = copy_plan(inputs=inputs(follow(1, blind), markets=given.markets))
    assert signed(plan) == [D(1)]


def test_how_far_is_a_setting() -> None:
    """EXE-4, CFG-1: MAX_CHASE_PCT."""
    assert signed(copy_plan(inputs=at("3105", "1", max_chase=D("0.05")))) == [D(1)]
    assert signed(copy_plan(inputs=at("3010", "1", max_chase=D("0.001")))) == []
