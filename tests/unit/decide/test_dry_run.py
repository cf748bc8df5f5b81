"""A dry run tells what it would have done, and does nothing (CON-4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from core.types import OrderSide
from engine.domain.copy import copy_plan
from engine.domain.copy_types import WorkingOrder
from engine.domain.plan_types import DecisionKind
from tests.unit.decide.scenario import Keeper, book, follow, holding, inputs

D = Decimal


def test_nothing_is_ordered_or_adopted_and_the_decision_says_what_would_have_been() -> None:
    """CON-4: decided and logged."""
    given = inputs(follow(1, book(60000, {"BTC": "0.5"}), decided_basis_id=None))
    real = copy_plan(inputs=given)
    plan = copy_plan(inputs=replace(given, dry_run=True))
    assert (plan.orders, plan.transfers, plan.memory, plan.decided_bases) == ((), (), (), {})
    assert (plan.targets, plan.nets, plan.weights) == (real.targets, real.nets, real.weights)
    (decision,) = plan.decisions
    assert (decision.kind, decision.text) == (DecisionKind.COPIED, "Dry run: Copied BTC: A")
    assert decision.reason == ("Would have, were it not for the dry run: A: BUY 0.08333 BTC at up to 60060.")
    assert decision.fingerprint != real.decisions[0].fingerprint  # the real one is kept beside it


def test_unchanged_inputs_add_no_row_and_the_first_real_cycle_acts() -> None:
    """CON-3, CON-4: the same fingerprint again and again; then the wish of now is carried out."""
    keeper = Keeper()
    given = inputs(follow(1, book(60000, {"BTC": "0.5"}), decided_basis_id=None), dry_run=True)
    first = copy_plan(inputs=keeper.filled_in(given))
    keeper.carry_out(first)
    again = copy_plan(inputs=keeper.filled_in(given))
    assert again.decisions == first.decisions
    keeper.carry_out(again)
    plan = copy_plan(inputs=replace(keeper.filled_in(given), dry_run=False))
    keeper.carry_out(plan)
    assert keeper.quantity("BTC") == D("0.08333")


def test_what_is_refused_is_refused_in_a_dry_run_too() -> None:
    """BEY-3: a decision that does nothing keeps its reason."""
    given = inputs(follow(1, book(60000, {"BTC": "0.5"})), entries_blocked="it is halted", dry_run=True)
    (decision,) = copy_plan(inputs=given).decisions
    assert decision.text == "Dry run: Refused BTC: A"
    assert decision.reason == "Nothing is opened for A: it is halted."


def test_slices_do_not_change_hands_in_a_dry_run() -> None:
    """BEY-1, CON-4: A turns from long to flat while B buys as much: told, not booked."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=inputs(follow(1, book(10000, {"ETH": 2})), follow(2, book(10000, {})))))
    then = inputs(follow(1, book(10000, {})), follow(2, book(10000, {"ETH": 2})))
    assert len(copy_plan(inputs=keeper.filled_in(then)).transfers) == 1
    dry = copy_plan(inputs=replace(keeper.filled_in(then), dry_run=True))
    assert dry.transfers == ()
    assert all("Would have, were it not for the dry run" in decision.reason for decision in dry.decisions)


def test_an_order_that_works_may_still_be_called_back() -> None:
    """CON-4: calling back orders nothing."""
    working = {"ETH": holding("ETH", {}, working=(WorkingOrder(7, OrderSide.BUY, D(1)),))}
    plan = copy_plan(inputs=inputs(follow(1, book(10000, {})), holdings=working, dry_run=True))
    assert [cancel.order_id for cancel in plan.cancels] == [7]


def test_the_end_of_a_recording_closes_in_a_dry_run_too() -> None:
    """ADR 1: or the replay could never start over."""
    held = {"ETH": holding("ETH", {1: 1})}
    plan = copy_plan(
        inputs=inputs(follow(1, book(10000, {"ETH": 1})), holdings=held, dry_run=True, world_ended=True)
    )
    assert [(order.side, order.quantity) for order in plan.orders] == [(OrderSide.SELL, D(1))]
