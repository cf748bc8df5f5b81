"""Last stage: everything decided, laid out as one plan for the caller to book, send and store."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from allocation.domain.limits import gross_cap, reason_of
from core.decimals import ZERO
from core.types import ConflictRule, OrderSide
from engine.domain import reasons
from engine.domain.approving import Approvals
from engine.domain.copy_types import CopyInputs
from engine.domain.decisions import net_decisions, trader_decisions
from engine.domain.idle import plan_idle
from engine.domain.legs import Scene
from engine.domain.nets import Net
from engine.domain.outcomes import Case
from engine.domain.placement import Verdict, limit_price
from engine.domain.plan_types import (
    ApprovalAsk,
    CancelIntent,
    CopyPlan,
    LegTarget,
    MemoryUpdate,
    NetTarget,
    OrderIntent,
    RulePreview,
    TransferIntent,
)
from engine.domain.scoring import Priority, rank_key
from engine.domain.standing import conflict_standing

_HOLDS_UP: Final = (Verdict.WAIT, Verdict.CANCEL, Verdict.UNFUNDED, Verdict.QUEUED)


def plan_assemble(
    *,
    scene: Scene,
    cases: list[Case],
    inputs: CopyInputs,
    approvals: Approvals,
    previews: Mapping[str, Mapping[ConflictRule, RulePreview]],
) -> CopyPlan:
    """Collect what every underlying comes to.

    :param previews: what each rule would make of the conflicts to ask about
    """
    decisions = [decision for case in cases for decision in net_decisions(case=case, inputs=inputs)]
    standing = [conflict_standing(net=case.net, inputs=inputs) for case in cases]
    conflicts = tuple(conflict for conflict in standing if conflict is not None)
    return CopyPlan(
        weights=scene.weights,
        targets=tuple(target for case in cases for target in _leg_targets(case.net)),
        nets=tuple(_net_target(case.net) for case in cases),
        transfers=tuple(transfer for case in cases for transfer in _transfers(case)),
        orders=_orders(cases, {decision.underlying: decision.reason for decision in reversed(decisions)}),
        cancels=tuple(cancel for case in cases for cancel in _cancels(case)),
        memory=tuple(
            MemoryUpdate(follow_id, case.net.underlying, memory)
            for case in cases
            for follow_id, memory in case.settlement.memory.items()
        ),
        ignored=scene.ignored,
        decided_bases=_decided_bases(cases, inputs),
        decisions=(*trader_decisions(scene=scene), *decisions),
        conflicts=conflicts,
        asks=tuple(
            ApprovalAsk(c.underlying, c.kind, approvals.asks[c.underlying], c.holders, previews[c.underlying])
            for c in conflicts
            if c.underlying in approvals.asks
        ),
        approvals_over=approvals.over,
        idle=plan_idle(cases=cases, cap=gross_cap(limits=inputs.limits, policy=inputs.policy)),
    )


def _leg_targets(net: Net) -> list[LegTarget]:
    return [
        LegTarget(
            follow_id=leg.follow_id,
            underlying=net.underlying,
            trader_quantity=leg.trader_quantity,
            wanted_notional=leg.wish,
            quantity=net.targets[leg.follow_id],
            held=leg.held,
        )
        for leg in net.legs
    ]


def _net_target(net: Net) -> NetTarget:
    mark = net.market.mark if net.market else net.holding.average_entry
    return NetTarget(
        underlying=net.underlying,
        code=net.market.instrument.code if net.market else "",
        quantity=net.target,
        notional=net.target * mark,
        held=net.holding.quantity,
        capped_reason=reason_of(answer=net.answer),
    )


def _transfers(case: Case) -> list[TransferIntent]:
    market = case.net.market
    if market is None:
        return []
    return [
        TransferIntent(
            underlying=case.net.underlying,
            code=market.instrument.code,
            from_follow_id=transfer.from_follow_id,
            to_follow_id=transfer.to_follow_id,
            quantity=transfer.quantity,
            price=market.mark,
        )
        for transfer in case.settlement.transfers
    ]


def _orders(cases: list[Case], why: Mapping[str, str]) -> tuple[OrderIntent, ...]:
    """Return the orders: those that reduce first, then in rank order."""
    orders = [order for case in cases if (order := _order(case, why)) is not None]
    return tuple(sorted(orders, key=lambda order: (not order.reduce_only, _rank(order))))


def _rank(order: OrderIntent) -> tuple[Decimal, Decimal, str]:
    score = ZERO if order.score is None else order.score
    return rank_key(score=score, notional=order.quantity * order.decision_mark, underlying=order.underlying)


def _order(case: Case, why: Mapping[str, str]) -> OrderIntent | None:
    market, placement = case.net.market, case.placement
    if market is None or placement.purpose is None or placement.quantity == 0:
        return None
    buys = placement.quantity > 0
    rank = None if placement.purpose.reduces else case.rank
    return OrderIntent(
        underlying=case.net.underlying,
        code=market.instrument.code,
        side=OrderSide.BUY if buys else OrderSide.SELL,
        quantity=abs(placement.quantity),
        limit_price=limit_price(side_up=buys, purpose=placement.purpose, market=market),
        decision_mark=market.mark,
        purpose=placement.purpose,
        reduce_only=placement.purpose.reduces,
        slices=case.settlement.slices,
        capital_needed=placement.capital_needed,
        score=rank.score if rank else None,
        priority=rank.priority if rank else Priority.CRITICAL,
        reason=reasons.clip(why.get(case.net.underlying, ""), reasons.MAX_ORDER_REASON),
    )


def _cancels(case: Case) -> list[CancelIntent]:
    turned = f"the target of {case.net.underlying} turned to {reasons.size(case.net.target)}"
    why = case.net.barred or turned
    return [CancelIntent(order.order_id, case.net.underlying, why) for order in case.placement.cancels]


def _decided_bases(cases: list[Case], inputs: CopyInputs) -> dict[int, int]:
    """Return which bases count as decided: not those whose rescaling still has to wait."""
    waits = {
        leg.follow_id for case in cases if _rescaling_waits(case) for leg in case.net.legs if leg.rescaled
    }
    return {
        follow.follow_id: follow.basis_id
        for follow in sorted(inputs.follows, key=lambda follow: follow.follow_id)
        if follow.basis_id is not None and follow.basis_id != follow.decided_basis_id
        if follow.follow_id not in waits
    }


def _rescaling_waits(case: Case) -> bool:
    """Tell whether an order, a flip, missing capital or a stale price keeps a position from its new scale."""
    net, verdict = case.net, case.placement.verdict
    stale = net.market is None or (net.market.stale and any(net.barred_leg(leg) for leg in net.legs))
    return stale or verdict in _HOLDS_UP or case.placement.cut_short or case.placement.flips
