"""The conflicts that stand now, as they are recorded and shown (CON-3).

Holders are the traders whose wishes were resolved, and the paused or lost ones whose slices stay:
those do not vote, yet they are part of what is held. The fingerprint leaves prices out, so
unchanged inputs add no row.
"""

from __future__ import annotations

from decimal import Decimal

from allocation.domain.limits import Allowed, Answer, reason_of
from core.decimals import ZERO
from core.ids import fingerprint
from core.types import ConflictRule, PositionSide
from engine.domain.copy_types import CopyInputs, FollowState
from engine.domain.legs import Leg
from engine.domain.nets import Net
from engine.domain.plan_types import ConflictHolder, ResolvedConflict
from positions.domain.conflicts import conflict_kind

_STAYING = (FollowState.PAUSED, FollowState.LOST)


def conflict_standing(*, net: Net, inputs: CopyInputs) -> ResolvedConflict | None:
    """Return the conflict in one underlying; None where fewer than two traders hold or want it."""
    if net.market is None:
        return None
    mark = net.market.mark
    held_by = [(leg, holder) for leg in net.legs if (holder := _holder(leg, net, mark)) is not None]
    kind = conflict_kind(signed=[holder.notional for _, holder in held_by])
    if kind is None:
        return None
    rule = rule_of(net=net, inputs=inputs)
    after = net.target
    return ResolvedConflict(
        underlying=net.underlying,
        kind=kind,
        rule=rule,
        holders=tuple(holder for _, holder in held_by),
        before_quantity=net.holding.quantity,
        after_quantity=after,
        after_notional=after * mark,
        mark_price=mark,
        capped_reason=reason_of(answer=net.answer),
        fingerprint=fingerprint(
            *(net.underlying, kind, rule, _limit_name(net.answer)),
            *([net.hold.why] if net.hold else []),
            *(part for leg, holder in held_by for part in _basis(leg, holder)),
        ),
        held_back=net.hold.why if net.hold else "",
    )


def rule_of(*, net: Net, inputs: CopyInputs) -> ConflictRule:
    """Return the rule that counts in an underlying: the approved one, its own, or the portfolio's."""
    if net.resolution is not None:
        return net.resolution.rule
    return inputs.overrides.get(net.underlying, inputs.rule)


def _holder(leg: Leg, net: Net, mark: Decimal) -> ConflictHolder | None:
    """Describe one trader's part in a conflict; None where it has none."""
    if leg.follow_id is None:
        return None
    notional = leg.wish
    counted = True
    if leg.votes and net.resolution is not None:
        winner = net.resolution.winner
        counted = winner is None or winner.follow_id == leg.follow_id
    elif leg.state in _STAYING:
        notional = (leg.stays or ZERO) * mark
    if not notional:
        return None
    return ConflictHolder(
        follow_id=leg.follow_id,
        side=PositionSide.LONG if notional > 0 else PositionSide.SHORT,
        quantity=notional / mark,
        notional=notional,
        counted=counted,
        opened_at=leg.opened_at,
    )


def _basis(leg: Leg, holder: ConflictHolder) -> tuple[object, ...]:
    """Return what a holder's part rests on, free of prices."""
    quantity = "unread" if leg.trader_quantity is None else leg.trader_quantity
    return holder.follow_id, holder.side, holder.counted, leg.weight, quantity


def _limit_name(answer: Answer) -> str:
    return "" if isinstance(answer, Allowed) else answer.limit
