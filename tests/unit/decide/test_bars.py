"""Opposed traders while nothing may be opened: slices shrink where they meet, and wait where they do not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.types import OrderSide
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowState
from engine.domain.plan_types import CopyPlan, DecisionKind
from tests.unit.decide.scenario import Keeper, book, follow, inputs, markets

D = Decimal
STALE: dict[str, Any] = {"markets": markets(stale=frozenset({"ETH"}))}
HALTED: dict[str, Any] = {"entries_blocked": "the portfolio is halted"}
BLOCKED: dict[str, Any] = {"blocked": frozenset({"ETH"})}
EVERY_BAR = pytest.mark.parametrize("bar", [STALE, HALTED, BLOCKED], ids=["stale", "halted", "blocked"])


def traders(one: str, other: str, **more: Any) -> CopyInputs:
    """A and B with half of 10,000 each; 2 ETH of theirs are 1 of ours."""
    return inputs(follow(1, book(10000, {"ETH": one})), follow(2, book(10000, {"ETH": other})), **more)


def kept_by(one: str, other: str) -> Keeper:
    """A keeper in whose books A and B have arrived."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(traders(one, other))))
    return keeper


def act(keeper: Keeper, given: CopyInputs) -> CopyPlan:
    plan = copy_plan(inputs=keeper.filled_in(given))
    keeper.carry_out(plan)
    return plan


def signed_orders(plan: CopyPlan) -> list[Decimal]:
    return [o.quantity if o.side is OrderSide.BUY else -o.quantity for o in plan.orders]


@EVERY_BAR
def test_a_reduction_that_would_open_the_other_side_waits(bar: dict[str, Any]) -> None:
    """RSK-2, MKT-1, BEY-1: A +1 and B −1, A halves: alone that is a short of 0.5, and B did nothing."""
    keeper = kept_by("2", "-2")
    plan = act(keeper, traders("1", "-2", **bar))
    assert (plan.orders, plan.transfers) == ((), ())
    assert keeper.slices["ETH"] == {1: D(1), 2: D(-1)}
    (decision,) = plan.decisions
    assert (decision.kind, decision.follow_ids) == (DecisionKind.DELAYED, (1,))
    assert decision.text == "Waiting to reduce ETH: A"
    again = act(keeper, traders("1", "-2", **bar))
    assert (again.orders, again.transfers, again.decisions) == ((), (), ())
    assert signed_orders(act(keeper, traders("1", "-2"))) == [D("-0.5")]
    assert keeper.slices["ETH"] == {1: D("0.5"), 2: D(-1)}


@pytest.mark.parametrize(("bar", "crosses"), [(STALE, False), (HALTED, True), (BLOCKED, True)])
def test_reductions_that_net_out_meet_at_a_good_mark_only(bar: dict[str, Any], crosses: bool) -> None:
    """BEY-1, MKT-1: A halves its long, B takes 0.3 off its short: 0.3 change hands, A's other 0.2 wait."""
    keeper = kept_by("2", "-2")
    plan = act(keeper, traders("1", "-1.4", **bar))
    assert plan.orders == ()
    assert [t.quantity for t in plan.transfers] == ([D("0.3")] if crosses else [])
    assert keeper.slices["ETH"] == ({1: D("0.7"), 2: D("-0.7")} if crosses else {1: D(1), 2: D(-1)})
    assert signed_orders(act(keeper, traders("1", "-1.4"))) == [D("-0.2")]
    assert keeper.slices["ETH"] == {1: D("0.5"), 2: D("-0.7")}


@EVERY_BAR
def test_an_exit_goes_as_far_as_the_position(bar: dict[str, Any]) -> None:
    """RSK-2: A +1.5 and B −0.5 are a long of 1; A closes: 1 is sold, its last 0.5 would be a short."""
    keeper = kept_by("3", "-1")
    plan = act(keeper, traders("0", "-1", **bar))
    assert (signed_orders(plan), plan.transfers) == ([D(-1)], ())
    assert keeper.slices["ETH"] == {1: D("0.5"), 2: D("-0.5")}
    assert signed_orders(act(keeper, traders("0", "-1"))) == [D("-0.5")]


def test_a_stale_mark_sells_the_net_alone() -> None:
    """MKT-1, BEY-1: of A's 0.75 less and B's 0.5 less, 0.25 are sold and nothing changes hands."""
    keeper = kept_by("3", "-1")
    plan = act(keeper, traders("1.5", "0", **STALE))
    assert (signed_orders(plan), plan.transfers) == ([D("-0.25")], ())
    assert keeper.slices["ETH"] == {1: D("1.25"), 2: D("-0.5")}
    plan = act(keeper, traders("1.5", "0"))
    assert (plan.orders, [t.quantity for t in plan.transfers]) == ((), [D("0.5")])


def test_a_recording_that_is_over_closes_at_its_last_price() -> None:
    """SPEC, worlds: no fresher mark will come, so opposed slices meet at this one."""
    keeper = kept_by("2", "-2")
    plan = act(keeper, traders("2", "-2", world_ended=True, **STALE))
    assert [t.quantity for t in plan.transfers] == [D(1)]
    assert not any(keeper.slices["ETH"].values())


def test_a_paused_traders_reduction_waits_with_its_reason() -> None:
    """SPEC, pausing: reductions go on, once they can."""
    keeper = kept_by("2", "-2")
    given = traders("1", "-2", **STALE)
    paused = replace(given, follows=(replace(given.follows[0], state=FollowState.PAUSED), given.follows[1]))
    plan = act(keeper, paused)
    assert (plan.orders, plan.transfers) == ((), ())
    (decision,) = [d for d in plan.decisions if d.follow_ids == (1,)]
    assert decision.reason == (
        "What A took off ETH waits: nothing is opened and nothing changes hands between traders "
        "while the price of ETH is stale."
    )
    fresh = replace(paused, markets=markets(), forced=frozenset())
    act(keeper, fresh)
    assert keeper.slices["ETH"][1] == D("0.5")
