"""The copy decision, from what was gathered to what is to be done; pure, so a backtest runs the same.

    scene ──► conflicts ──► approvals ──► limits ──► placement ──► rank, room, funding ──► slices, decisions

Each stage is a file of its own; this one strings them together. Same inputs, same plan: the order
in which follows, holdings and markets are given makes no difference.
"""

from __future__ import annotations

from core.decimals import ZERO
from engine.domain.approving import approvals_settle, rules_preview
from engine.domain.assemble import plan_assemble
from engine.domain.copy_types import CopyInputs
from engine.domain.dry_run import plan_dry
from engine.domain.funding import entries_fund
from engine.domain.legs import Scene, scene_gather
from engine.domain.nets import Net, nets_limit
from engine.domain.outcomes import Case
from engine.domain.placement import Cause, Placement, Verdict, placement_decide
from engine.domain.plan_types import CopyPlan
from engine.domain.ranking import entries_rank
from engine.domain.room import room_beside
from engine.domain.scoring import CandidateScore
from engine.domain.settle import net_settle
from positions.domain.conflicts import Wish, conflicts_resolve


def copy_plan(*, inputs: CopyInputs) -> CopyPlan:
    """Decide what one portfolio does now, and why.

    :raises UnableToAllocate: more than ten traders have a share
    """
    scene = scene_gather(inputs=inputs)
    resolutions = conflicts_resolve(
        wishes=_wishes(scene), rule=inputs.rule, policy=inputs.policy, overrides=inputs.overrides
    )
    approvals = approvals_settle(inputs=inputs, scene=scene, resolutions=resolutions)
    nets = nets_limit(
        inputs=inputs,
        legs=scene.legs,
        resolutions={**resolutions, **approvals.resolutions},
        holds=approvals.holds,
    )
    wanted = {underlying: _placement(net, inputs) for underlying, net in nets.items()}
    ranks = entries_rank(nets=nets, placements=wanted, inputs=inputs)
    placements = entries_fund(
        placements=wanted,
        scores=ranks,
        turns=_turns(inputs),
        room=room_beside(inputs=inputs),
        markets=inputs.markets,
        free_capital=inputs.free_capital,
        margin_rate=inputs.margin_rate,
        fee_rate=inputs.fee_rate,
    )
    cases = [_case(net, placements[u], ranks.get(u), inputs) for u, net in nets.items()]
    previews = rules_preview(inputs=inputs, scene=scene, resolutions=resolutions, approvals=approvals)
    plan = plan_assemble(scene=scene, cases=cases, inputs=inputs, approvals=approvals, previews=previews)
    return plan_dry(plan=plan) if inputs.dry_run and not inputs.world_ended else plan


def _wishes(scene: Scene) -> list[Wish]:
    """Return the wishes of all legs that vote."""
    return [
        Wish(leg.follow_id, leg.underlying, leg.wish, leg.weight, leg.place, leg.opened_at)
        for legs in scene.legs.values()
        for leg in legs
        if leg.votes and leg.follow_id is not None
    ]


def _turns(inputs: CopyInputs) -> int:
    """Return how many more entries may go now: at most five work at once, and no more than the limits say.

    The owner's own entries may rest for long; they count for the limits, and take nobody's turn.
    """
    opening = [order for holding in inputs.holdings.values() for order in holding.opening]
    copying = [order for order in opening if not order.for_owner]
    return min(inputs.entries_at_once - len(copying), inputs.limits.max_open_orders - len(opening))


def _placement(net: Net, inputs: CopyInputs) -> Placement:
    if net.market is None:
        return Placement(Verdict.UNPRICED, Cause.DRIFT)
    entries_off = (bool(net.barred) and not net.barred_by_price) or _opens_for_nobody(net, inputs)
    opening = sum((order.signed for order in net.holding.opening), ZERO)
    return placement_decide(
        target=net.target + opening if net.hold else net.target,  # on hold, what works goes on working
        held=net.holding.quantity,
        working=net.holding.working,
        market=net.market,
        cause=_cause(net, inputs),
        drift_threshold=inputs.drift_threshold,
        auto_rebalance=inputs.auto_rebalance,
        entries_off=entries_off and net.hold is None,
    )


def _opens_for_nobody(net: Net, inputs: CopyInputs) -> bool:
    """Tell whether the orders that open here are for traders that do not take part any more.

    Nothing is opened for a trader that was paused or lost, or for one that left and let the owner keep its
    part. An order for it is called back unless the traders who do vote want about as much, within drift.
    """
    opening = sum((order.signed for order in net.holding.opening if not order.for_owner), ZERO)
    if opening == 0:
        return False
    goals = net.goals if net.barred_by_price else net.targets  # a stale price alone calls nothing back
    wants = (goals[leg.follow_id] - leg.held for leg in net.legs if leg.votes)
    needed = sum((abs(more) for more in wants if more * opening > 0), ZERO)
    if needed == 0 or all(leg.votes for leg in net.legs):
        return needed == 0
    return abs(opening) - needed > inputs.drift_threshold * abs(opening)


def _cause(net: Net, inputs: CopyInputs) -> Cause:
    """Say why a position should move. A leg that is not to move causes nothing, whatever its trader did.

    While an order works, any change of a copied trader is a cause: not to move may mean to call it back.
    """
    moving = [leg for leg in net.legs if net.moves(leg) or (net.holding.working and leg.votes)]
    if any(leg.changed for leg in moving) or (moving and net.underlying in inputs.forced):
        return Cause.TRADER
    if _unfinished(net):
        return Cause.TRADER
    return Cause.SCALE if any(leg.rescaled for leg in moving) else Cause.DRIFT


def _unfinished(net: Net) -> bool:
    """Tell whether slices never arrived where they were sent: an order ended early, or had to wait."""
    if net.market is None or net.holding.working:
        return False
    missing = sum(
        (abs(leg.held - leg.memory.target_quantity) for leg in net.legs if leg.memory and net.moves(leg)),
        ZERO,
    )
    return missing * net.market.mark >= net.market.instrument.min_notional


def _case(net: Net, placement: Placement, rank: CandidateScore | None, inputs: CopyInputs) -> Case:
    forced = net.underlying in inputs.forced
    settlement = net_settle(net=net, placement=placement, forced=forced)
    return Case(
        net=net,
        placement=placement,
        settlement=settlement,
        policy=inputs.policy,
        forced=forced,
        rank=rank,
    )
