"""What a portfolio comes to rest at: decide, suppose that it is carried out whole, decide again. Pure.

The deciding is ``engine.domain.copy``, the same that trades. Supposed is that every order fills whole at the
mark it was decided on, for the fee, and that prices and traders stand still meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from core.decimals import ZERO
from core.types import Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowInput, Holding, LegMemory
from engine.domain.plan_types import CopyPlan, OrderIntent
from positions.domain.netting import SliceDelta, Transfer, slices_after

MOST_ROUNDS: Final = 12  # five entries a round fill ten places in two, a flip takes two more


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Where it comes to rest, and the decision that changes nothing any more."""

    inputs: CopyInputs
    plan: CopyPlan


def settle_foresee(*, inputs: CopyInputs, most_rounds: int = MOST_ROUNDS) -> Foreseen:
    """Carry decisions out until nothing is left to do, at most so many rounds."""
    inputs = _unworked(inputs)
    plan = copy_plan(inputs=inputs)
    for _ in range(most_rounds):
        if not plan.orders and not plan.transfers:
            break
        inputs = _carried_out(inputs, plan)
        plan = copy_plan(inputs=inputs)
    return Foreseen(inputs=inputs, plan=plan)


def _unworked(inputs: CopyInputs) -> CopyInputs:
    """Call back what works, so that it is decided anew; what an entry had set aside is free again."""
    back = ZERO
    for underlying, holding in inputs.holdings.items():
        market = inputs.markets.get(underlying)
        price = market.mark if market else holding.average_entry
        size = sum((order.remaining for order in holding.opening), ZERO) * price
        back += size * (inputs.margin_rate + inputs.fee_rate)
    holdings = {u: replace(holding, working=()) for u, holding in inputs.holdings.items()}
    return replace(inputs, holdings=holdings, free_capital=inputs.free_capital + back)


def _carried_out(inputs: CopyInputs, plan: CopyPlan) -> CopyInputs:
    """Return the inputs as they stand once a plan's transfers are booked and its orders have filled."""
    orders = {order.underlying: order for order in plan.orders}
    touched = set(orders) | {transfer.underlying for transfer in plan.transfers}
    holdings = dict(inputs.holdings)
    free, fees = inputs.free_capital, ZERO
    for underlying in sorted(touched):
        before = holdings.get(underlying, Holding(underlying=underlying, quantity=ZERO))
        order = orders.get(underlying)
        holdings[underlying] = _held_after(before, plan, order)
        if order is not None:
            fee = order.quantity * order.decision_mark * inputs.fee_rate
            free += _freed(inputs, before, order) - fee
            fees += fee
    return replace(
        inputs,
        holdings={u: holding for u, holding in holdings.items() if any(holding.slices.values())},
        free_capital=free,
        equity=inputs.equity - fees,
        follows=tuple(_remembers(follow, plan) for follow in inputs.follows),
        forced=frozenset(),
    )


def _held_after(before: Holding, plan: CopyPlan, order: OrderIntent | None) -> Holding:
    transfers = [
        Transfer(move.from_follow_id, move.to_follow_id, move.quantity)
        for move in plan.transfers
        if move.underlying == before.underlying
    ]
    changes: tuple[SliceDelta, ...] = order.slices if order else ()
    slices = slices_after(slices=before.slices, transfers=transfers, changes=changes)
    quantity = sum(slices.values(), ZERO)
    return replace(
        before,
        quantity=quantity,
        average_entry=_average_entry(before, quantity, order),
        slices={follow: part for follow, part in slices.items() if part},
    )


def _average_entry(before: Holding, quantity: Decimal, order: OrderIntent | None) -> Decimal:
    if order is None or abs(quantity) <= abs(before.quantity):
        return before.average_entry
    added = quantity - before.quantity
    return (before.average_entry * before.quantity + order.decision_mark * added) / quantity


def _freed(inputs: CopyInputs, before: Holding, order: OrderIntent) -> Decimal:
    """Return what an order that filled gives back to free capital; negative is what it took."""
    value = order.quantity * order.decision_mark
    if not order.reduce_only:
        return -value * inputs.margin_rate
    if inputs.policy is Policy.SPOT:
        return value
    sign = 1 if before.quantity > 0 else -1
    gained = sign * order.quantity * (order.decision_mark - before.average_entry)
    return order.quantity * before.average_entry * inputs.margin_rate + gained


def _remembers(follow: FollowInput, plan: CopyPlan) -> FollowInput:
    """Return a follow with what the plan adopted of it."""
    memory: dict[str, LegMemory] = dict(follow.memory)
    memory |= {m.underlying: m.memory for m in plan.memory if m.follow_id == follow.follow_id}
    ignored: Mapping[str, Decimal] = {
        **follow.ignored,
        **{i.underlying: i.quantity for i in plan.ignored if i.follow_id == follow.follow_id},
    }
    return replace(
        follow,
        memory=memory,
        ignored={underlying: quantity for underlying, quantity in ignored.items() if quantity},
        decided_basis_id=plan.decided_bases.get(follow.follow_id, follow.decided_basis_id),
    )
