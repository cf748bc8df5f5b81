"""Fifth stage: the slices of one underlying on their way: transfers, the order's slices, what to remember.

Σ slices = position after every step: transfers change no sum, and an order's slices sum to the
order. What an order cannot carry, because it is less than a quantity step or the venue's minimum,
stays with the largest slice that remains, so that a trader's full close is a full close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from allocation.domain.limits import kept
from core.decimals import QUANTITY_STEP, ZERO, to_money, to_step
from engine.domain.copy_types import FollowState, LegMemory
from engine.domain.legs import NO_MEMORY, Leg
from engine.domain.nets import Net
from engine.domain.placement import Cause, Placement, Verdict
from positions.domain.netting import (
    FollowId,
    SliceDelta,
    Transfer,
    order_share,
    slices_after,
    slices_cross,
)

SETTLED_WITHIN: Final = Decimal("0.10")  # a slice this near its target after crossing has been copied (CON-5)
_UNSENT: Final = (Verdict.SMALL, Verdict.ON_TARGET, Verdict.UNFUNDED, Verdict.QUEUED)
_UNDER_WAY: Final = (Verdict.WORKING, Verdict.WAIT, Verdict.CANCEL, Verdict.UNFUNDED, Verdict.QUEUED)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What happens to the slices of one underlying.

    :param after: the slices once the transfers are booked and the order has filled
    :param memory: what to remember, by follow; only what differs from before
    :param adopted: follows whose trader's change is taken note of, so that it is not decided again
    """

    transfers: tuple[Transfer, ...]
    slices: tuple[SliceDelta, ...]
    after: Mapping[FollowId, Decimal]
    memory: Mapping[int, LegMemory]
    adopted: frozenset[int]


def net_settle(*, net: Net, placement: Placement, forced: bool) -> Settlement:
    """Move the slices of one underlying as far as the placement carries.

    :param forced: a setting changed, so every leg counts as caused
    """
    transfers, slices = _movement(net, placement)
    after = slices_after(slices=_held(net), transfers=transfers, changes=slices)
    adopted = frozenset(
        leg.follow_id
        for leg in net.legs
        if leg.follow_id is not None and _adopts(leg, net, placement, after[leg.follow_id], forced)
    )
    memory = {
        leg.follow_id: remembered
        for leg in net.legs
        if leg.follow_id is not None and leg.state not in (None, FollowState.LEAVING, FollowState.STOPPED)
        if (remembered := _memory(leg, net, placement, after[leg.follow_id], leg.follow_id in adopted))
        != (leg.memory or NO_MEMORY)
    }
    return Settlement(transfers=transfers, slices=slices, after=after, memory=memory, adopted=adopted)


def _movement(net: Net, placement: Placement) -> tuple[tuple[Transfer, ...], tuple[SliceDelta, ...]]:
    """Return the internal transfers, and the slices of the order where one is placed."""
    if placement.verdict is Verdict.PLACE:
        deltas = _deltas(net, net.targets)
        if not placement.flips and not placement.cut_short and net.crossable:
            deltas = _deltas(net, _leftover_kept(net, placement.quantity))
        transfers, rest = slices_cross(deltas=deltas)
        held = slices_after(slices=_held(net), transfers=transfers)
        return transfers, order_share(rest=rest, held=held, quantity=placement.quantity)
    if placement.verdict not in _UNSENT or placement.cause is not Cause.TRADER:
        return (), ()
    if net.market is None or not net.crossable:
        return (), ()
    closing = [leg.follow_id for leg in net.legs if leg.held and net.targets[leg.follow_id] == 0]
    targets = _leftover_kept(net, ZERO) if closing and placement.verdict is Verdict.SMALL else net.targets
    transfers, _ = slices_cross(deltas=_deltas(net, targets))
    crossed = sum((transfer.quantity for transfer in transfers), ZERO)
    worth_it = crossed * net.market.mark >= net.market.instrument.min_notional
    closes = any(t.from_follow_id in closing or t.to_follow_id in closing for t in transfers)
    return (transfers if worth_it or closes else ()), ()


def _held(net: Net) -> dict[FollowId, Decimal]:
    return {leg.follow_id: leg.held for leg in net.legs}


def _deltas(net: Net, targets: Mapping[FollowId, Decimal]) -> Sequence[SliceDelta]:
    """Return how far each slice is from its target: those that close first, then in follow order."""
    legs = sorted(net.legs, key=lambda leg: targets[leg.follow_id] != 0)
    return [SliceDelta(leg.follow_id, targets[leg.follow_id] - leg.held) for leg in legs]


def _leftover_kept(net: Net, quantity: Decimal) -> Mapping[FollowId, Decimal]:
    """Return slice targets that ``quantity`` reaches exactly: the largest takes what it leaves over.

    Largest among those copied now, if any; else among those that stay. Where even that one is too
    small, the targets stand and the order is shared pro rata.
    """
    leftover = quantity - (net.target - net.holding.quantity)
    if leftover == 0:
        return net.targets
    sizes = {leg.follow_id: abs(net.targets[leg.follow_id]) for leg in net.legs}
    keeper = max(
        net.legs, key=lambda leg: (leg.votes and sizes[leg.follow_id] > 0, sizes[leg.follow_id])
    ).follow_id
    kept = net.targets[keeper] + leftover
    if kept * net.targets[keeper] <= 0:
        return net.targets
    return {**net.targets, keeper: kept}


def _adopts(leg: Leg, net: Net, placement: Placement, after: Decimal, forced: bool) -> bool:
    """Tell whether a leg's change has been dealt with, so that only a new one is decided again.

    A change too small to send is not: small changes add up until they can be sent.
    """
    target = net.targets[leg.follow_id]
    if not (leg.changed or forced or placement.cause is Cause.TRADER) or net.market is None:
        return False
    if net.barred_leg(leg) or placement.verdict is Verdict.PLACE or placement.verdict in _UNDER_WAY:
        return True
    return after == target or (after != leg.held and abs(after - target) <= SETTLED_WITHIN * abs(target))


def _memory(leg: Leg, net: Net, placement: Placement, after: Decimal, adopted: bool) -> LegMemory:
    """Return what to remember of a leg; where nothing happened, what was remembered before."""
    old = leg.memory or NO_MEMORY
    if adopted:
        return LegMemory(
            trader_quantity=_adopted_quantity(leg, old),
            target_notional=to_money(leg.wish) if leg.votes else old.target_notional,
            target_quantity=_sent_toward(leg, net, placement, after),
        )
    if after == leg.held:
        return old
    return LegMemory(old.trader_quantity, old.target_notional, after)


def _adopted_quantity(leg: Leg, old: LegMemory) -> Decimal:
    """Return the trader's quantity to remember; a paused leg only follows it toward zero."""
    if leg.trader_quantity is None:
        return old.trader_quantity
    if leg.state is not FollowState.PAUSED:
        return leg.trader_quantity
    if leg.memory is None:
        return leg.trader_quantity if leg.trader_quantity * leg.held > 0 else ZERO
    if leg.trader_quantity * old.trader_quantity <= 0:
        return ZERO
    return min(leg.trader_quantity, old.trader_quantity, key=abs)


def _sent_toward(leg: Leg, net: Net, placement: Placement, after: Decimal) -> Decimal:
    """Return where the slice is on its way to: its goal where that has to wait, else where it arrives.

    On hold for an approval only what would grow waits: a slice that is to shrink stays by the owner's will.
    """
    if net.hold and kept(held=after, wanted=net.goals[leg.follow_id]) != after:
        return after
    if net.barred_leg(leg):
        return net.goals[leg.follow_id]
    waits = placement.verdict in _UNDER_WAY or placement.flips or placement.cut_short
    return to_step(net.targets[leg.follow_id], QUANTITY_STEP) if waits else after
