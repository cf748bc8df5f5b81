"""Which conflicts wait for their owner in this decision, and under which rule the approved ones go (CON-4).

Runs between the conflict rule and the limits. What waits is *held*: its traders' slices only shrink, as far
as every rule would have them, and orders that work already go on. A conflict of which a trader cannot be read
stays as it was asked: an outage decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from allocation.domain.limits import reason_of
from core.decimals import QUANTITY_STEP, ZERO, to_step
from core.types import ConflictRule, PositionSide
from engine.domain.copy_types import CopyInputs, FollowState, Market
from engine.domain.legs import Leg, Scene
from engine.domain.nets import Hold, nets_limit
from engine.domain.plan_types import RulePreview
from positions.domain.approvals import (
    ApprovalStatus,
    WishOf,
    approval_standing,
    least_taken,
    wishes_fingerprint,
)
from positions.domain.conflicts import Resolution, Wish, conflicts_resolve

WAITS: Final = "its conflict waits for your approval"
DECLINED: Final = "its conflict was not approved"
_DECLINED: Final = (ApprovalStatus.REJECTED, ApprovalStatus.LAPSED)


@dataclass(frozen=True, slots=True)
class Approvals:
    """How the conflicts of one decision stand with the owner.

    :param resolutions: of the approved ones, under the rule that was chosen
    :param holds: of those that nobody approved
    :param asks: fingerprint of the wishes to ask about now, by underlying
    :param over: underlyings whose waiting approval has nothing to wait for any more
    """

    resolutions: Mapping[str, Resolution] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    asks: Mapping[str, str] = field(default_factory=dict)
    over: tuple[str, ...] = ()


def approvals_settle(*, inputs: CopyInputs, scene: Scene, resolutions: Mapping[str, Resolution]) -> Approvals:
    """Say of every conflict whether it goes on, waits, or has to be asked about."""
    approved: dict[str, Resolution] = {}
    holds: dict[str, Hold] = {}
    asks: dict[str, str] = {}
    for underlying, wishes in _conflicts(inputs, scene, resolutions).items():
        last = inputs.approvals.get(underlying)
        status = approval_standing(wishes=wishes, last=last)
        if status is ApprovalStatus.APPROVED and last is not None and last.rule is not None:
            if underlying in resolutions:
                approved[underlying] = _under(resolutions[underlying].wishes, last.rule, inputs)
            continue
        if status is None:
            asks[underlying] = wishes
        stays = _least(inputs, scene.legs[underlying], resolutions.get(underlying))
        declined = status in _DECLINED
        holds[underlying] = Hold(DECLINED if declined else WAITS, stays, declined)
    over = [
        underlying
        for underlying, last in inputs.approvals.items()
        if last.status is ApprovalStatus.WAITING and (underlying not in holds or underlying in asks)
    ]
    return Approvals(approved, holds, asks, tuple(sorted(over)))


def rules_preview(
    *, inputs: CopyInputs, scene: Scene, resolutions: Mapping[str, Resolution], approvals: Approvals
) -> dict[str, dict[ConflictRule, RulePreview]]:
    """Return what each rule would make of the conflicts that are asked about now, limits included."""
    if not approvals.asks:
        return {}
    held = {u: hold for u, hold in approvals.holds.items() if u not in approvals.asks}
    found: dict[str, dict[ConflictRule, RulePreview]] = {underlying: {} for underlying in approvals.asks}
    for rule in ConflictRule:
        ruled = {u: _under(resolutions[u].wishes, rule, inputs) for u in approvals.asks}
        nets = nets_limit(
            inputs=inputs,
            legs=scene.legs,
            resolutions={**resolutions, **approvals.resolutions, **ruled},
            holds=held,
        )
        for underlying in approvals.asks:
            net, market = nets[underlying], inputs.markets[underlying]
            after = market.instrument.quantity(net.target)
            found[underlying][rule] = RulePreview(
                before=net.holding.quantity,
                after=after,
                notional=after * market.mark,
                capped=reason_of(answer=net.answer) or net.barred,
            )
    return found


def _conflicts(inputs: CopyInputs, scene: Scene, resolutions: Mapping[str, Resolution]) -> dict[str, str]:
    """Return the fingerprint of the wishes of each conflict that its owner has a say in."""
    if not inputs.approves_conflicts:
        return {}
    found: dict[str, str] = {}
    for underlying, legs in scene.legs.items():
        resolution = resolutions.get(underlying)
        last = inputs.approvals.get(underlying)
        undecided = last is not None and last.status in (ApprovalStatus.WAITING, *_DECLINED)
        if last is not None and undecided and any(leg.state is FollowState.LOST for leg in legs):
            found[underlying] = last.wishes
        elif resolution is not None and resolution.kind is not None and underlying in inputs.markets:
            wishes = [wish for leg in legs if (wish := _wish(leg)) is not None]
            found[underlying] = wishes_fingerprint(underlying=underlying, kind=resolution.kind, wishes=wishes)
    return found


def _wish(leg: Leg) -> WishOf | None:
    if not leg.votes or not leg.wish or leg.follow_id is None:
        return None
    side = PositionSide.LONG if leg.wish > 0 else PositionSide.SHORT
    return WishOf(leg.follow_id, side, leg.trader_quantity or ZERO)


def _under(wishes: Sequence[Wish], rule: ConflictRule, inputs: CopyInputs) -> Resolution:
    """Resolve the wishes for one underlying under a rule."""
    (resolution,) = conflicts_resolve(wishes=wishes, rule=rule, policy=inputs.policy).values()
    return resolution


def _least(
    inputs: CopyInputs, legs: Sequence[Leg], resolution: Resolution | None
) -> dict[int | None, Decimal]:
    """Return what stays of each voting slice under the rule that takes least off it."""
    if resolution is None or not legs or legs[0].underlying not in inputs.markets:
        return {leg.follow_id: leg.held for leg in legs if leg.votes}
    market = inputs.markets[legs[0].underlying]
    ruled = [_under(resolution.wishes, rule, inputs) for rule in ConflictRule]
    return {
        leg.follow_id: least_taken(held=leg.held, goals=[_goal(leg, each, market) for each in ruled])
        for leg in legs
        if leg.votes
    }


def _goal(leg: Leg, resolution: Resolution, market: Market) -> Decimal:
    amount = resolution.amounts.get(leg.follow_id or 0, ZERO)
    return to_step(amount / market.mark, QUANTITY_STEP)
