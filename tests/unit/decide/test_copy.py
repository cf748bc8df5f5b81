"""Whole decisions as worked examples: what a portfolio does when its traders do something."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from allocation.domain.limits import PROFILES
from core.errors import BooksDiffer
from core.types import ConflictRule, OrderSide, Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowState, LegMemory, WorkingOrder
from engine.domain.plan_types import CopyPlan, Decision, DecisionKind, Purpose
from positions.domain.netting import SliceDelta
from tests.unit.decide.scenario import PRICES, Keeper, book, bounds, follow, holding, inputs, markets

D = Decimal


def orders(plan: CopyPlan) -> list[tuple[str, str, Decimal, Purpose]]:
    return [(o.side.value, o.code, o.quantity, o.purpose) for o in plan.orders]


def the_decision(plan: CopyPlan) -> Decision:
    (decision,) = plan.decisions
    return decision


def known(quantity: str, slice_quantity: str) -> LegMemory:
    """A leg that was adopted and has arrived."""
    return LegMemory(D(quantity), D(0), D(slice_quantity))


def adopted(given: CopyInputs) -> tuple[Keeper, CopyInputs]:
    """Carry out one plan in full and return the keeper and the inputs after it."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(given)))
    return keeper, keeper.filled_in(given)


def test_one_trader_is_copied_at_our_size() -> None:
    """ALL-3, BEY-3: 10,000 of ours against 60,000 of theirs; 0.5 BTC there are 0.08333 here."""
    plan = copy_plan(inputs=inputs(follow(1, book(60000, {"BTC": "0.5"}))))
    (order,) = plan.orders
    assert orders(plan) == [("BUY", "BTC", D("0.08333"), Purpose.ENTRY)]
    assert (order.limit_price, order.decision_mark) == (D(60060), D(60000))
    assert order.slices == (SliceDelta(1, D("0.08333")),)
    assert order.capital_needed == D("5004.79980002")
    decision = the_decision(plan)
    assert (decision.kind, decision.follow_ids, decision.underlying) == (DecisionKind.COPIED, (1,), "BTC")
    assert (decision.before, decision.after) == (D(0), D("0.08333"))
    assert decision.text == "Copied BTC: A"
    assert decision.reason == "A: BUY 0.08333 BTC at up to 60060."
    assert plan.weights == {1: D(1)}


def test_two_traders_share_one_order() -> None:
    """CON-2, BEY-1: half each; slices sum to the order, and the conflict is on record."""
    plan = copy_plan(inputs=inputs(follow(1, book(10000, {"ETH": 2})), follow(2, book(20000, {"ETH": 2}))))
    (order,) = plan.orders
    assert orders(plan) == [("BUY", "ETH", D("1.5"), Purpose.ENTRY)]
    assert order.slices == (SliceDelta(1, D(1)), SliceDelta(2, D("0.5")))
    (conflict,) = plan.conflicts
    assert (conflict.kind, conflict.rule) == ("overlap", ConflictRule.COMBINE)
    assert (conflict.before_quantity, conflict.after_quantity, conflict.after_notional) == (
        D(0),
        D("1.5"),
        D(4500),
    )
    decision = the_decision(plan)
    assert (decision.kind, decision.follow_ids) == (DecisionKind.MERGED, (1, 2))
    assert decision.reason == (
        "Merged into one target of $4,500.00: A $3,000.00 and B $1,500.00. "
        "A and B: BUY 1.5 ETH at up to 3003."
    )


def test_opposed_traders_meet_inside_the_portfolio() -> None:
    """BEY-1: A long 1 ETH, B short 0.4: 0.4 changes hands at the mark, 0.6 is bought."""
    plan = copy_plan(
        inputs=inputs(follow(1, book(10000, {"ETH": 2})), follow(2, book(10000, {"ETH": "-0.8"})))
    )
    (transfer,) = plan.transfers
    assert (transfer.from_follow_id, transfer.to_follow_id) == (2, 1)
    assert (transfer.quantity, transfer.price) == (D("0.4"), D(3000))
    assert orders(plan) == [("BUY", "ETH", D("0.6"), Purpose.ENTRY)]
    assert plan.orders[0].slices == (SliceDelta(1, D("0.6")),)


def test_traders_that_cancel_out_need_no_order() -> None:
    """BEY-1: +1 and -1 are two slices of a flat position, and nothing is sent."""
    keeper, after = adopted(inputs(follow(1, book(10000, {"ETH": 2})), follow(2, book(10000, {"ETH": -2}))))
    assert keeper.slices == {"ETH": {1: D(1), 2: D(-1)}}
    plan = copy_plan(inputs=after)
    assert (plan.orders, plan.transfers, plan.decisions, plan.memory) == ((), (), (), ())


def test_deciding_again_changes_nothing() -> None:
    """CON-3, BEY-3: same inputs, all filled: no order, no decision, the same conflict fingerprint."""
    given = inputs(follow(1, book(9000, {"BTC": "0.1", "SOL": -7})), follow(2, book(7000, {"BTC": "-0.03"})))
    first = copy_plan(inputs=given)
    _, after = adopted(given)
    plan = copy_plan(inputs=after)
    assert (plan.orders, plan.transfers, plan.decisions, plan.memory) == ((), (), (), ())
    assert [c.fingerprint for c in plan.conflicts] == [c.fingerprint for c in first.conflicts]


def test_marks_that_tick_change_no_fingerprint() -> None:
    """CON-3, BEY-3: prices are not among what a decision or a conflict rests on."""
    higher = {code: price * D("1.01") for code, price in PRICES.items()}
    plans = [
        copy_plan(
            inputs=inputs(
                follow(1, book(10000, {"ETH": 2}, prices)),
                follow(2, book(10000, {"ETH": "-0.8"}, prices)),
                markets=markets(prices),
            )
        )
        for prices in (PRICES, higher)
    ]
    assert plans[0].conflicts[0].fingerprint == plans[1].conflicts[0].fingerprint
    assert plans[0].decisions[0].fingerprint == plans[1].decisions[0].fingerprint
    assert plans[0].decisions[0].reason != plans[1].decisions[0].reason


def test_the_largest_rules_and_the_other_is_told() -> None:
    """CON-2, BEY-3: B is overruled, its change has a decision all the same."""
    plan = copy_plan(
        inputs=inputs(
            follow(1, book(10000, {"ETH": 2})),
            follow(2, book(10000, {"ETH": "-0.8"})),
            rule=ConflictRule.LARGEST,
        )
    )
    assert orders(plan) == [("BUY", "ETH", D(1), Purpose.ENTRY)]
    decision = the_decision(plan)
    assert (decision.kind, decision.follow_ids) == (DecisionKind.MERGED, (1, 2))
    assert "The rule “largest” counts A's $3,000.00 alone; B's −$1,200.00 is left out." in decision.reason
    assert [holder.counted for holder in plan.conflicts[0].holders] == [True, False]


def test_when_the_winner_leaves_the_overruled_trader_gets_its_place() -> None:
    """CON-2: A closes; B's short takes over once the long is flat."""
    start = inputs(
        follow(1, book(10000, {"ETH": 2})), follow(2, book(10000, {"ETH": "-0.8"})), rule=ConflictRule.LARGEST
    )
    keeper, _ = adopted(start)
    closed = replace(start, follows=(follow(1, book(10000, {})), start.follows[1]))
    first = copy_plan(inputs=keeper.filled_in(closed))
    assert orders(first) == [("SELL", "ETH", D(1), Purpose.CLOSE)]
    assert first.orders[0].reduce_only
    keeper.carry_out(first)
    second = copy_plan(inputs=keeper.filled_in(closed))
    assert orders(second) == [("SELL", "ETH", D("0.4"), Purpose.ENTRY)]
    assert second.orders[0].slices == (SliceDelta(2, D("-0.4")),)


def test_a_flip_closes_first_and_says_so() -> None:
    """SPEC, netting: the other side follows when flat."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))
    flipped = inputs(follow(1, book(10000, {"ETH": -2})))
    plan = copy_plan(inputs=keeper.filled_in(flipped))
    assert orders(plan) == [("SELL", "ETH", D(1), Purpose.CLOSE)]
    decision = the_decision(plan)
    assert decision.kind is DecisionKind.DELAYED
    assert (
        decision.reason == "A changed sides: the long of 1 is closed first, the short of 2 follows when flat."
    )
    keeper.carry_out(plan)
    plan = copy_plan(inputs=keeper.filled_in(flipped))
    assert orders(plan) == [("SELL", "ETH", D(2), Purpose.ENTRY)]


def test_spot_holds_no_shorts() -> None:
    """SPEC, target: a lone short is refused once; opposed it reduces the long."""
    alone = inputs(follow(1, book(10000, {"ETH": -2})), policy=Policy.SPOT)
    plan = copy_plan(inputs=alone)
    assert orders(plan) == []
    decision = the_decision(plan)
    assert (decision.kind, decision.text) == (DecisionKind.REFUSED, "No short of ETH: A")
    assert decision.reason == "A spot portfolio holds no shorts: A wanted −$6,000.00."
    _, after = adopted(alone)
    assert copy_plan(inputs=after).decisions == ()
    both = inputs(follow(1, book(10000, {"ETH": -2})), follow(2, book(10000, {"ETH": 3})), policy=Policy.SPOT)
    plan = copy_plan(inputs=both)
    assert orders(plan) == [("BUY", "ETH", D("0.5"), Purpose.ENTRY)]
    assert plan.orders[0].slices == (SliceDelta(2, D("0.5")),)


def test_a_long_that_turns_short_is_closed_in_spot() -> None:
    """SPEC, target: to flat, no further."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1})), policy=Policy.SPOT))
    flipped = inputs(follow(1, book(10000, {"ETH": -1})), policy=Policy.SPOT)
    plan = copy_plan(inputs=keeper.filled_in(flipped))
    assert orders(plan) == [("SELL", "ETH", D(1), Purpose.CLOSE)]
    assert the_decision(plan).kind is DecisionKind.COPIED


def test_a_position_is_capped_with_its_reason() -> None:
    """RSK-1, CON-3: 25 % of 10,049.20."""
    plan = copy_plan(
        inputs=inputs(
            follow(1, book(10000, {"ETH": "1.36"}), name="DeepSeek"),
            limits=PROFILES["balanced"],
            equity=D("10049.20"),
        )
    )
    assert orders(plan) == [("BUY", "ETH", D("0.8374"), Purpose.ENTRY)]
    decision = the_decision(plan)
    assert decision.kind is DecisionKind.CAPPED
    assert decision.reason == "Capped at 25 % of equity ($2,512.30): DeepSeek wanted $4,100.07."


def test_a_cap_scales_all_slices_by_one_factor() -> None:
    """RSK-1: 3,000 and 1,500 wanted, 2,500 allowed: 5/9 each."""
    plan = copy_plan(
        inputs=inputs(
            follow(1, book(10000, {"ETH": 2})),
            follow(2, book(20000, {"ETH": 2})),
            limits=bounds(D("0.25"), 10, D(2)),
        )
    )
    assert orders(plan) == [("BUY", "ETH", D("0.8333"), Purpose.ENTRY)]
    one, two = (part.quantity for part in plan.orders[0].slices)
    assert one + two == D("0.8333")
    assert abs(one / two - 2) < D("0.0005")
    assert plan.conflicts[0].capped_reason == "25 % of equity ($2,500.00)"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"blocked": frozenset({"ETH"})}, DecisionKind.REFUSED, "ETH is on the block list"),
        ({"entries_blocked": "the portfolio is halted"}, DecisionKind.REFUSED, "the portfolio is halted"),
        ({"markets": markets(stale=frozenset({"ETH"}))}, DecisionKind.DELAYED, "the price of ETH is stale"),
        ({"limits": bounds(D(1), 0, D(2))}, DecisionKind.REFUSED, "all 0 places are taken"),
        (
            {"free_capital": D(5)},
            DecisionKind.DELAYED,
            "Waiting for free capital: A wants $3,000.00 more of ETH",
        ),
        ({"markets": {}}, DecisionKind.REFUSED, "no market or no price"),
    ],
)
def test_what_keeps_an_entry_back_has_a_reason_and_an_end(
    change: dict[str, Any], kind: DecisionKind, words: str
) -> None:
    """RSK-2, MKT-1, CAP-1, BEY-3: nothing is opened, it is told once, and done when the way is free."""
    free = inputs(follow(1, book(10000, {"ETH": 1})))
    barred = replace(free, **change)
    keeper = Keeper()
    plan = copy_plan(inputs=keeper.filled_in(barred))
    assert orders(plan) == []
    decision = the_decision(plan)
    assert (decision.kind, words in decision.reason) == (kind, True)
    keeper.carry_out(plan)
    again = copy_plan(inputs=keeper.filled_in(barred))
    assert {d.fingerprint for d in again.decisions} <= {decision.fingerprint}
    assert orders(copy_plan(inputs=keeper.filled_in(free))) == [("BUY", "ETH", D(1), Purpose.ENTRY)]


@pytest.mark.parametrize(
    "change",
    [
        {"blocked": frozenset({"ETH"})},
        {"entries_blocked": "halted"},
        {"markets": markets(stale=frozenset({"ETH"}))},
        {"free_capital": D(0)},
        {"limits": bounds(D("0.001"), 0, D(2))},
    ],
)
def test_nothing_stands_between_a_traders_exit_and_ours(change: dict[str, Any]) -> None:
    """DESIGN 7: breakers, blocks, limits and capital never hold an exit back."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))
    halved = replace(inputs(follow(1, book(10000, {"ETH": "0.5"}))), **change)
    assert orders(copy_plan(inputs=keeper.filled_in(halved))) == [("SELL", "ETH", D("0.5"), Purpose.REDUCE)]
    closed = replace(inputs(follow(1, book(10000, {}))), **change)
    assert orders(copy_plan(inputs=keeper.filled_in(closed))) == [("SELL", "ETH", D(1), Purpose.CLOSE)]


def test_a_bar_lets_nobody_elses_drift_trade() -> None:
    """SPEC, block list: A wants in and may not; B's slice, 4 % off its target, is left alone meanwhile."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {})), follow(2, book(10000, {"ETH": 2}))))
    now = inputs(
        follow(1, book(10000, {"ETH": 1})),
        follow(2, book(10400, {"ETH": 2})),
        blocked=frozenset({"ETH"}),
    )
    for _ in range(2):
        plan = copy_plan(inputs=keeper.filled_in(now))
        assert orders(plan) == []
        assert not plan.transfers
        keeper.carry_out(plan)


def test_small_changes_add_up_until_they_can_be_sent() -> None:
    """ALL-4: 6 dollars are held with a reason, twice 6 are sent."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))
    plan = copy_plan(inputs=keeper.filled_in(inputs(follow(1, book(10000, {"ETH": "1.002"})))))
    assert orders(plan) == []
    decision = the_decision(plan)
    assert decision.kind is DecisionKind.HELD
    assert decision.reason == (
        "A: a change of $6.00 is below the venue's minimum of $10.00; it waits until changes add up."
    )
    keeper.carry_out(plan)
    plan = copy_plan(inputs=keeper.filled_in(inputs(follow(1, book(10000, {"ETH": "1.004"})))))
    assert orders(plan) == [("BUY", "ETH", D("0.004"), Purpose.SCALE_IN)]


def test_drift_is_recommended_or_rebalanced() -> None:
    """ALL-4: the trader's equity grew beside ETH, so our 1 ETH is 25 % above its target of 0.8."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))
    drifted = keeper.filled_in(inputs(follow(1, book(12500, {"ETH": 1}))))
    plan = copy_plan(inputs=drifted)
    assert orders(plan) == []
    decision = the_decision(plan)
    assert (decision.kind, decision.text) == (DecisionKind.HELD, "Rebalance recommended for ETH: A")
    assert decision.reason == (
        "Rebalance recommended: ETH is 25.0 % away from its target of 0.8. No trader caused it."
    )
    plan = copy_plan(inputs=replace(drifted, auto_rebalance=True))
    assert orders(plan) == [("SELL", "ETH", D("0.2"), Purpose.REDUCE)]
    assert the_decision(plan).reason == "Rebalanced: ETH is 25.0 % away from its target of 0.8."


def test_another_leg_of_the_trader_moves_the_scale() -> None:
    """ALL-3: at its cap of 2, opening SOL halves what ETH may use; 50 % drift is followed, unasked."""
    keeper, _ = adopted(inputs(follow(1, book(1000, {"ETH": 1}))))
    assert keeper.slices["ETH"] == {1: D("6.6666")}
    opened = inputs(follow(1, book(1000, {"ETH": 1, "SOL": 15}), basis_id=2))
    plan = copy_plan(inputs=keeper.filled_in(opened))
    assert orders(plan) == [("SELL", "ETH", D("3.3332"), Purpose.REDUCE)]
    waits = next(decision for decision in plan.decisions if decision.underlying == "SOL")
    assert (waits.kind, waits.text) == (DecisionKind.DELAYED, "Waiting for room for SOL: A")
    assert waits.reason == (
        "Waiting for room under 200 % gross exposure ($20,000.00), beside what is held: "
        "A wants $10,000.00 more of SOL."
    )
    assert plan.decided_bases == {}
    keeper.carry_out(plan)
    plan = copy_plan(inputs=keeper.filled_in(opened))
    assert orders(plan) == [("BUY", "SOL", D("49.99"), Purpose.ENTRY)]  # 3.3334 ETH are held
    assert plan.decided_bases == {1: 2}
    keeper.carry_out(plan)
    assert orders(copy_plan(inputs=keeper.filled_in(opened))) == []


def test_a_flip_that_only_a_new_scale_caused_opens_its_other_side_too() -> None:
    """CON-5, ALL-3: A's short of 10,000 shrinks to 1,500 as it opens SOL, and B's long of 3,000 prevails."""
    other = follow(2, book(10000, {"ETH": 2}))
    keeper, _ = adopted(inputs(follow(1, book(1000, {"ETH": -1})), other))
    assert keeper.quantity("ETH") == D("-2.3333")
    opened = inputs(follow(1, book(1000, {"ETH": -1, "SOL": 85}), basis_id=2), other)
    plan = copy_plan(inputs=keeper.filled_in(opened))
    assert ("BUY", "ETH", D("2.3333"), Purpose.CLOSE) in orders(plan)
    assert plan.decided_bases == {}
    keeper.carry_out(plan)
    plan = copy_plan(inputs=keeper.filled_in(opened))
    assert ("BUY", "ETH", D("0.5"), Purpose.ENTRY) in orders(plan)
    assert plan.decided_bases == {1: 2}
    keeper.carry_out(plan)
    assert orders(copy_plan(inputs=keeper.filled_in(opened))) == []


def test_an_order_that_ended_early_is_decided_anew() -> None:
    """SPEC, entries: alive 60 s, then decided anew; the trader did nothing since."""
    given = inputs(follow(1, book(10000, {"ETH": 1})))
    keeper = Keeper()
    plan = copy_plan(inputs=keeper.filled_in(given))
    keeper.carry_out(replace(plan, orders=()))  # nothing filled
    plan = copy_plan(inputs=keeper.filled_in(given))
    assert orders(plan) == [("BUY", "ETH", D(1), Purpose.ENTRY)]
    assert the_decision(plan).text == "Continued ETH: A"


def test_a_working_order_is_waited_for_or_called_back() -> None:
    """EXE-3: on its way; more wanted; no longer wanted."""
    working = holding("ETH", {}, working=(WorkingOrder(7, OrderSide.BUY, D(1)),))
    adopted_leg = {"ETH": known("1", "1")}
    for quantity, kinds, cancels in (
        ("1", [], []),
        ("2", [DecisionKind.DELAYED], []),
        ("0", [DecisionKind.DELAYED], [7]),
    ):
        plan = copy_plan(
            inputs=inputs(
                follow(1, book(10000, {"ETH": quantity}), memory=adopted_leg), holdings={"ETH": working}
            )
        )
        assert orders(plan) == []
        assert [d.kind for d in plan.decisions] == kinds
        assert [c.order_id for c in plan.cancels] == cancels


def test_a_halt_calls_working_entries_back() -> None:
    """RSK-2: also one nobody speaks for any more."""
    working = (WorkingOrder(7, OrderSide.BUY, D("0.1")),)
    halted = inputs(
        follow(1, book(10000, {"ETH": "1.1"}), memory={"ETH": known("1.1", "1.1")}),
        holdings={"ETH": holding("ETH", {1: 1}, working=working), "SOL": holding("SOL", {}, working=working)},
        entries_blocked="halted",
    )
    plan = copy_plan(inputs=halted)
    assert [(c.underlying, c.reason) for c in plan.cancels] == [("ETH", "halted"), ("SOL", "halted")]
    left = copy_plan(inputs=inputs(holdings={"SOL": holding("SOL", {}, working=working)}))
    assert [c.underlying for c in left.cancels] == ["SOL"]


def test_a_paused_trader_only_shrinks() -> None:
    """SPEC, pausing: no entries, reductions and exits continue, in proportion."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))

    def paused(quantity: str) -> CopyPlan:
        trader = follow(1, book(10000, {"ETH": quantity, "SOL": 5}), state=FollowState.PAUSED)
        return copy_plan(inputs=keeper.filled_in(inputs(trader)))

    grown = paused("3")
    assert (orders(grown), grown.weights, grown.memory) == ([], {}, ())
    assert {(d.kind, d.underlying) for d in grown.decisions} == {
        (DecisionKind.HELD, "ETH"),
        (DecisionKind.HELD, "SOL"),
    }
    plan = paused("0.25")
    assert orders(plan) == [("SELL", "ETH", D("0.75"), Purpose.REDUCE)]
    keeper.carry_out(plan)
    assert keeper.slices["ETH"] == {1: D("0.25")}
    assert orders(paused("0.25")) == []
    assert orders(paused("1")) == []
    assert orders(paused("-1")) == [("SELL", "ETH", D("0.25"), Purpose.CLOSE)]


def test_a_lost_trader_is_held_and_keeps_its_share() -> None:
    """SPEC, lost: hold, block entries; the others are not resized by an outage."""
    start = inputs(follow(1, book(10000, {"ETH": 1})), follow(2, book(10000, {"SOL": 10})))
    keeper, _ = adopted(start)
    lost = replace(start, follows=(follow(1, None, state=FollowState.LOST), start.follows[1]))
    plan = copy_plan(inputs=keeper.filled_in(lost))
    assert orders(plan) == []
    assert plan.weights == {1: D("0.5"), 2: D("0.5")}
    decision = the_decision(plan)
    assert (decision.kind, decision.underlying, decision.follow_ids) == (DecisionKind.HELD, "", (1,))
    assert decision.reason == "A cannot be read: what is held stays, nothing is opened."


def test_a_ruined_trader_is_refused_and_held() -> None:
    """ALL-3: equity at or below zero gives no ratio."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))
    plan = copy_plan(inputs=keeper.filled_in(inputs(follow(1, book(-20, {"ETH": 5})))))
    assert orders(plan) == []
    decision = the_decision(plan)
    assert decision.kind is DecisionKind.REFUSED
    assert decision.reason.startswith("A reports an equity of −$20.00")


def test_leaving_closes_its_slices_and_hands_the_rest_of_a_step_on() -> None:
    """SPEC, leaving; BEY-1: A's 0.33335 ETH goes; what is less than a step stays with B."""
    leaving = inputs(
        follow(1, None, state=FollowState.LEAVING),
        follow(2, book(10000, {"ETH": 1}), memory={"ETH": known("1", "1")}),
        holdings={"ETH": holding("ETH", {1: "0.33335", 2: 1})},
    )
    plan = copy_plan(inputs=leaving)
    assert orders(plan) == [("SELL", "ETH", D("0.3333"), Purpose.REDUCE)]
    keeper = Keeper(slices={"ETH": {1: D("0.33335"), 2: D(1)}})
    keeper.carry_out(plan)
    assert keeper.slices["ETH"] == {1: D(0), 2: D("1.00005")}


def test_leaving_with_less_than_the_minimum_still_ends() -> None:
    """SPEC, drift: a full close always passes, here without the venue."""
    plan = copy_plan(
        inputs=inputs(
            follow(1, None, state=FollowState.LEAVING),
            follow(2, book(10000, {"ETH": 1}), memory={"ETH": known("1", "1")}),
            holdings={"ETH": holding("ETH", {1: "0.001", 2: 1})},
        )
    )
    assert orders(plan) == []
    (transfer,) = plan.transfers
    assert (transfer.from_follow_id, transfer.to_follow_id, transfer.quantity) == (1, 2, D("0.001"))


def test_the_owners_own_slice_is_never_touched() -> None:
    """SPEC, leaving: what was handed over stays, counts against limits, and ends with the world."""
    mine = holding("ETH", {None: "0.5"})
    given = inputs(
        follow(1, book(10000, {"ETH": 1})), holdings={"ETH": mine}, limits=bounds(D("0.3"), 9, D(2))
    )
    plan = copy_plan(inputs=given)
    assert orders(plan) == [("BUY", "ETH", D("0.5"), Purpose.SCALE_IN)]
    assert plan.orders[0].slices == (SliceDelta(1, D("0.5")),)
    assert plan.transfers == ()
    ended = copy_plan(inputs=replace(given, world_ended=True))
    assert orders(ended) == [("SELL", "ETH", D("0.5"), Purpose.CLOSE)]
    assert ended.orders[0].slices == (SliceDelta(None, D("-0.5")),)


def test_new_trades_only_ignores_what_was_open() -> None:
    """SPEC, joining: 2 were open; the trader adds 1, then falls to 1, then closes and reopens."""
    keeper = Keeper(ignored={1: {"ETH": D(2)}})
    for quantity, held in (("2", "0"), ("3", "1"), ("1", "0"), ("0", "0"), ("1", "1")):
        given = keeper.filled_in(inputs(follow(1, book(10000, {"ETH": quantity}))))
        keeper.carry_out(copy_plan(inputs=given))
        assert keeper.quantity("ETH") == D(held)
    assert keeper.ignored == {1: {"ETH": D(0)}}


def test_a_changed_setting_places_everything_anew() -> None:
    """FOL-1: a second trader joins, the first one's share halves; 50 % is no drift but a wish."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"ETH": 1}))))
    joined = inputs(follow(1, book(10000, {"ETH": 1})), follow(2, book(10000, {})), forced=frozenset({"ETH"}))
    plan = copy_plan(inputs=keeper.filled_in(joined))
    assert orders(plan) == [("SELL", "ETH", D("0.5"), Purpose.REDUCE)]
    assert the_decision(plan).text == "Adjusted ETH to new settings: A"


def test_exits_come_before_entries_and_large_entries_first() -> None:
    """EXE-2, DESIGN 7: the order in which a plan is carried out."""
    keeper, _ = adopted(inputs(follow(1, book(10000, {"DOGE": 500}))))
    plan = copy_plan(
        inputs=keeper.filled_in(inputs(follow(1, book(10000, {"BTC": "0.01", "ETH": 1, "SOL": -2}))))
    )
    assert orders(plan) == [
        ("SELL", "DOGE", D(500), Purpose.CLOSE),
        ("BUY", "ETH", D(1), Purpose.ENTRY),
        ("BUY", "BTC", D("0.01"), Purpose.ENTRY),
        ("SELL", "SOL", D(2), Purpose.ENTRY),
    ]


def test_books_that_differ_are_not_decided_on() -> None:
    """OPS-2: slices that do not sum to their position stop the decision."""
    with pytest.raises(BooksDiffer, match=r"slices sum to 1, the position is 2"):
        replace(holding("ETH", {1: 1}), quantity=D(2))


def test_targets_follow_the_shares_the_owner_chose() -> None:
    """ALL-2, ALL-3: 60 and 40 % of 10,000 at half exposure each; one that cannot be read keeps its share."""
    own = book(10000, {"BTC": D(5000) / PRICES["BTC"]})
    other = book(10000, {"ETH": D(5000) / PRICES["ETH"]})
    chosen = (follow(1, own, share=D("0.6")), follow(2, other, share=D("0.4")))
    plan = copy_plan(inputs=inputs(*chosen))
    assert plan.weights == {1: D("0.6"), 2: D("0.4")}
    assert {net.underlying: round(net.notional) for net in plan.nets} == {"BTC": 3000, "ETH": 2000}
    lost = (chosen[0], replace(chosen[1], book=None, state=FollowState.LOST))
    assert copy_plan(inputs=inputs(*lost)).weights == {1: D("0.6"), 2: D("0.4")}
    paused = (chosen[0], replace(chosen[1], state=FollowState.PAUSED))
    assert copy_plan(inputs=inputs(*paused)).weights == {1: D(1)}
