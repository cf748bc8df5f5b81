"""Signed netting with a slice per trader (BEY-1).

A position is the sum of its slices: one per follow, and the owner's own (follow None). When the
slices should move, what one trader sells is first given to the one that buys, as an internal
transfer at the decision mark without a fee; only the rest becomes an order. A fill changes the
slices by exactly what filled, so Σ slices = position holds after every step.

Units: quantities in units of the portfolio's instrument, kept to 12 places. Changes of slices are
signed (positive buys); the quantity of a transfer is positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.decimals import QUANTITY_STEP, ZERO, split_pro_rata, to_step

FollowId = int | None  # None is the owner's own slice ("mine")


@dataclass(frozen=True, slots=True)
class SliceDelta:
    """How much one slice should change, signed."""

    follow_id: FollowId
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Transfer:
    """``from_follow_id`` sells ``quantity`` (> 0) to ``to_follow_id`` inside the portfolio."""

    from_follow_id: FollowId
    to_follow_id: FollowId
    quantity: Decimal


def slices_cross(*, deltas: Sequence[SliceDelta]) -> tuple[tuple[Transfer, ...], tuple[SliceDelta, ...]]:
    """Cross buyers with sellers; return the transfers and what is left, which is all of one side.

    Σ transferred = min(Σ buys, Σ sells). Buyers and sellers meet in the given order, so the
    outcome is deterministic and takes at most one pair fewer than there are deltas.
    """
    left = {delta.follow_id: delta.quantity for delta in deltas if delta.quantity}
    buyers = [follow for follow, quantity in left.items() if quantity > 0]
    sellers = [follow for follow, quantity in left.items() if quantity < 0]
    transfers: list[Transfer] = []
    while buyers and sellers:
        buyer, seller = buyers[0], sellers[0]
        crossed = min(left[buyer], -left[seller])
        transfers.append(Transfer(from_follow_id=seller, to_follow_id=buyer, quantity=crossed))
        left[buyer] -= crossed
        left[seller] += crossed
        if left[buyer] == 0:
            buyers.pop(0)
        if left[seller] == 0:
            sellers.pop(0)
    rest = tuple(SliceDelta(follow, quantity) for follow, quantity in left.items() if quantity)
    return tuple(transfers), rest


def order_slices(*, rest: Sequence[SliceDelta], quantity: Decimal) -> tuple[SliceDelta, ...]:
    """Divide an order over the slices it is for, pro rata to what they need, summing to it exactly.

    What rounding leaves goes to the largest need that has room; no slice gets more than it needs.

    :param rest: needs, all of one sign
    :param quantity: the order's signed quantity, same sign, at most Σ rest in size
    :raises ValueError: the order is larger than the needs, or points the other way
    """
    needed = sum((delta.quantity for delta in rest), ZERO)
    if quantity == needed:
        return tuple(delta for delta in rest if delta.quantity)
    if abs(quantity) > abs(needed) or quantity * needed < 0:
        msg = f"an order of {quantity} does not fit into a need of {needed}"
        raise ValueError(msg)
    shares = [to_step(quantity * delta.quantity / needed, QUANTITY_STEP) for delta in rest]
    missing = quantity - sum(shares, ZERO)
    for place in sorted(range(len(rest)), key=lambda i: -abs(rest[i].quantity)):
        given = min(missing, rest[place].quantity - shares[place], key=abs)
        shares[place] += given
        missing -= given
    return tuple(
        SliceDelta(delta.follow_id, share) for delta, share in zip(rest, shares, strict=True) if share
    )


def order_share(
    *, rest: Sequence[SliceDelta], held: Mapping[FollowId, Decimal], quantity: Decimal
) -> tuple[SliceDelta, ...]:
    """Divide an order that may carry only part of what is needed: what shrinks a slice comes first.

    A long of A's 1 that turns into a short of B's 0.4 begins with an order to sell 1: all of it is A's.

    :param held: the slices once the transfers are booked
    :raises ValueError: as ``order_slices``
    """
    shrinking = [
        SliceDelta(need.follow_id, _shrinking(need, held.get(need.follow_id, ZERO))) for need in rest
    ]
    first = sum((need.quantity for need in shrinking), ZERO)
    if abs(quantity) <= abs(first):
        return order_slices(rest=shrinking, quantity=quantity)
    growing = [
        SliceDelta(need.follow_id, need.quantity - part.quantity)
        for need, part in zip(rest, shrinking, strict=True)
    ]
    share = slices_after(
        slices={need.follow_id: need.quantity for need in shrinking},
        transfers=(),
        changes=order_slices(rest=growing, quantity=quantity - first),
    )
    return tuple(SliceDelta(follow, part) for follow, part in share.items() if part)


def exit_slices(*, slices: Mapping[FollowId, Decimal], quantity: Decimal) -> tuple[SliceDelta, ...]:
    """Divide our own exit of a signed ``quantity`` over the slices of the position, pro rata.

    :raises ValueError: the slices net to 0 while something is to be exited
    """
    follows = list(slices)
    shares = split_pro_rata(quantity, [slices[follow] for follow in follows], step=QUANTITY_STEP)
    return tuple(SliceDelta(follow, share) for follow, share in zip(follows, shares, strict=True) if share)


def slices_after(
    *, slices: Mapping[FollowId, Decimal], transfers: Sequence[Transfer], changes: Sequence[SliceDelta] = ()
) -> dict[FollowId, Decimal]:
    """Return the slices after transfers and further changes; empty slices are kept at 0."""
    result = dict(slices)
    for transfer in transfers:
        result[transfer.from_follow_id] = result.get(transfer.from_follow_id, ZERO) - transfer.quantity
        result[transfer.to_follow_id] = result.get(transfer.to_follow_id, ZERO) + transfer.quantity
    for change in changes:
        result[change.follow_id] = result.get(change.follow_id, ZERO) + change.quantity
    return result


def _shrinking(need: SliceDelta, held: Decimal) -> Decimal:
    """Return the part of a change that brings its slice toward 0."""
    return min(need.quantity, -held, key=abs) if need.quantity * held < 0 else ZERO
