"""First stage: what every trader wants of every underlying, in our money, beside what its slice holds.

One ``Leg`` per follow and underlying, and one for the owner's own slice. A leg either *votes* (an
active trader that could be read: its wish goes through conflict rule and limits) or it *stays*
(paused, lost, leaving, the owner's own: its slice has a quantity of its own to go to).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from allocation.domain.books import TraderLeg
from allocation.domain.copied import copied_quantity, ignored_ratchet
from allocation.domain.limits import gross_cap
from allocation.domain.targets import TraderTargets, trader_targets
from allocation.domain.weights import chosen_weights
from core.decimals import ONE, QUANTITY_STEP, ZERO, to_step
from engine.domain.copy_types import CopyInputs, FollowInput, FollowState, LegMemory
from engine.domain.plan_types import IgnoredUpdate
from positions.domain.netting import FollowId

NO_MEMORY = LegMemory()


@dataclass(frozen=True, slots=True)
class Leg:
    """One slice of one position, and what its trader wants of it.

    :param state: None for a slice nobody speaks for: the owner's own
    :param held: the slice now
    :param trader_quantity: copied part of the trader's quantity; None where it could not be read
    :param wish: signed target in quote currency before rule and limits; 0 for a leg that stays
    :param entry_price: the trader's own price of what it opened, or of the part it added where that alone is
        to be copied; None where not known
    :param stays: the slice's target where the leg does not vote; None where it does
    :param withheld: why nothing is opened for its trader now; empty where nothing withholds it
    :param changed: the trader did something that is not adopted yet
    """

    follow_id: FollowId
    name: str
    place: int
    state: FollowState | None
    underlying: str
    held: Decimal
    memory: LegMemory | None = None
    trader_quantity: Decimal | None = None
    wish: Decimal = ZERO
    stays: Decimal | None = None
    changed: bool = False
    rescaled: bool = False
    weight: Decimal = ZERO
    scale: Decimal = ONE
    opened_at: datetime | None = None
    entry_price: Decimal | None = None
    withheld: str = ""

    @property
    def votes(self) -> bool:
        """Tell whether the leg's wish goes through the conflict rule."""
        return self.stays is None


@dataclass(frozen=True, slots=True)
class Scene:
    """All legs by underlying, in follow order, with what was found on the way.

    An underlying with an order working has an entry even where nothing is held or wanted of it.
    """

    weights: Mapping[int, Decimal]
    legs: Mapping[str, tuple[Leg, ...]]
    ignored: tuple[IgnoredUpdate, ...]
    lost: tuple[FollowInput, ...]
    ruined: tuple[FollowInput, ...]


def scene_gather(*, inputs: CopyInputs) -> Scene:
    """Lay out every leg. The order in which follows and holdings are given makes no difference.

    :raises UnableToAllocate: more than ten traders have a share
    """
    follows = sorted(inputs.follows, key=lambda follow: (follow.place, follow.follow_id))
    weights = _weights(follows)
    ignored = {follow.follow_id: _ignored_now(follow) for follow in follows}
    legs: list[Leg] = []
    for follow in follows:
        legs += _follow_legs(inputs, follow, weights.get(follow.follow_id, ZERO), ignored[follow.follow_id])
    legs += _unvoiced_legs(inputs, {follow.follow_id for follow in follows})
    by_underlying: dict[str, list[Leg]] = {u: [] for u, holding in inputs.holdings.items() if holding.working}
    for leg in legs:
        by_underlying.setdefault(leg.underlying, []).append(leg)
    unread = [follow for follow in follows if follow.state is FollowState.ACTIVE and not _votes(follow)]
    return Scene(
        weights=weights,
        legs={underlying: tuple(by_underlying[underlying]) for underlying in sorted(by_underlying)},
        ignored=_ignored_changes(follows, ignored),
        lost=tuple(f for f in follows if f.state is FollowState.LOST or (f in unread and f.book is None)),
        ruined=tuple(follow for follow in unread if follow.book is not None),
    )


def slice_staying(*, held: Decimal, memory: LegMemory | None, trader_quantity: Decimal | None) -> Decimal:
    """Return where the slice of a paused or lost trader goes: it only ever shrinks.

    A reduction under way is finished; then slice · (trader's quantity now ÷ when last adopted),
    never more than the slice, and 0 once the trader closed or flipped.

    :param trader_quantity: copied part of the trader's quantity now; None where it cannot be read
    """
    base = held if memory is None else _nearer_zero(held, memory.target_quantity)
    if trader_quantity is None or base == 0:
        return base
    if memory is None:
        return base if base * trader_quantity > 0 else ZERO
    if memory.trader_quantity * trader_quantity <= 0:
        return ZERO
    if abs(trader_quantity) >= abs(memory.trader_quantity):
        return base
    return to_step(base * trader_quantity / memory.trader_quantity, QUANTITY_STEP)


def _weights(follows: list[FollowInput]) -> dict[int, Decimal]:
    """Split over active traders; one that cannot be read keeps its share, so an outage moves nobody else."""
    sharing = [(f.follow_id, f.share) for f in follows if f.state in (FollowState.ACTIVE, FollowState.LOST)]
    if not sharing:
        return {}
    return {weight.trader_id: weight.weight for weight in chosen_weights(shares=sharing)}


def _votes(follow: FollowInput) -> bool:
    return follow.state is FollowState.ACTIVE and follow.book is not None and follow.book.usable


def _ignored_now(follow: FollowInput) -> dict[str, Decimal]:
    """Ratchet what is ignored by what the trader holds now; unread, it stands.

    What was closed and opened again between two reads is new, though it looks like a reduction.
    """
    if follow.book is None or follow.state is FollowState.LOST:
        return {underlying: quantity for underlying, quantity in follow.ignored.items() if quantity}
    ratcheted = {
        underlying: ignored_ratchet(
            ignored=ZERO if underlying in follow.reopened else quantity,
            quantity=leg.quantity if (leg := follow.book.legs.get(underlying)) else ZERO,
        )
        for underlying, quantity in follow.ignored.items()
    }
    return {underlying: quantity for underlying, quantity in ratcheted.items() if quantity}


def _ignored_changes(
    follows: list[FollowInput], ignored: Mapping[int, Mapping[str, Decimal]]
) -> tuple[IgnoredUpdate, ...]:
    return tuple(
        IgnoredUpdate(follow.follow_id, underlying, now)
        for follow in follows
        for underlying, before in sorted(follow.ignored.items())
        if (now := ignored[follow.follow_id].get(underlying, ZERO)) != before
    )


def _follow_legs(
    inputs: CopyInputs, follow: FollowInput, weight: Decimal, ignored: Mapping[str, Decimal]
) -> list[Leg]:
    """Lay out one follow's legs: all it holds, has held or that we hold for it."""
    slices = {u: held for u, h in inputs.holdings.items() if (held := h.slices.get(follow.follow_id, ZERO))}
    if inputs.world_ended or follow.state in (FollowState.LEAVING, FollowState.STOPPED):
        return [_closing_leg(follow, underlying, held) for underlying, held in sorted(slices.items())]
    targets = _targets(inputs, follow, weight, ignored)
    known = set(slices) | set(follow.memory) | set(follow.book.legs if follow.book else ())
    legs = (_leg(follow, u, slices.get(u, ZERO), weight, targets, ignored) for u in sorted(known))
    return [leg for leg in legs if leg.held or leg.wish or leg.trader_quantity or leg.changed or leg.memory]


def _targets(
    inputs: CopyInputs, follow: FollowInput, weight: Decimal, ignored: Mapping[str, Decimal]
) -> TraderTargets | None:
    if not _votes(follow) or follow.book is None:
        return None
    cap = gross_cap(limits=inputs.limits, policy=inputs.policy)
    return trader_targets(
        weight=weight, equity=inputs.equity, gross_cap=cap, book=follow.book, ignored=ignored
    )


def _leg(
    follow: FollowInput,
    underlying: str,
    held: Decimal,
    weight: Decimal,
    targets: TraderTargets | None,
    ignored: Mapping[str, Decimal],
) -> Leg:
    """Lay out one leg of a follow that is active, paused or lost."""
    memory = follow.memory.get(underlying)
    quantity = _read_quantity(follow, underlying, ignored)
    book_leg = follow.book.legs.get(underlying) if follow.book else None
    return Leg(
        follow_id=follow.follow_id,
        name=follow.name,
        place=follow.place,
        state=follow.state if targets or follow.state is not FollowState.ACTIVE else FollowState.LOST,
        underlying=underlying,
        held=held,
        memory=memory,
        trader_quantity=quantity,
        wish=targets.notionals.get(underlying, ZERO) if targets else ZERO,
        stays=None if targets else slice_staying(held=held, memory=memory, trader_quantity=quantity),
        changed=quantity is not None and quantity != (memory or NO_MEMORY).trader_quantity,
        rescaled=targets is not None and follow.basis_id != follow.decided_basis_id,
        weight=weight,
        scale=targets.scale if targets else ONE,
        opened_at=book_leg.opened_at if book_leg else None,
        entry_price=_entry_price(follow, book_leg, partly=bool(held or ignored.get(underlying))),
        withheld=follow.withheld,
    )


def _entry_price(follow: FollowInput, leg: TraderLeg | None, *, partly: bool) -> Decimal | None:
    """Return what a trader paid for what is to be copied of it: the part it added, where we have the rest."""
    if leg is None:
        return None
    return follow.added.get(leg.underlying, leg.entry_price) if partly else leg.entry_price


def _read_quantity(follow: FollowInput, underlying: str, ignored: Mapping[str, Decimal]) -> Decimal | None:
    """Return the copied part of what the trader holds; None where the book is missing or not usable."""
    if follow.state is FollowState.LOST or follow.book is None or not follow.book.usable:
        return None
    return copied_quantity(leg=follow.book.legs.get(underlying), ignored=ignored.get(underlying, ZERO))


def _closing_leg(follow: FollowInput, underlying: str, held: Decimal) -> Leg:
    return Leg(
        follow_id=follow.follow_id,
        name=follow.name,
        place=follow.place,
        state=FollowState.STOPPED if follow.state is FollowState.STOPPED else FollowState.LEAVING,
        underlying=underlying,
        held=held,
        stays=ZERO,
        changed=True,
    )


def _unvoiced_legs(inputs: CopyInputs, followed: set[int]) -> list[Leg]:
    """Lay out the slices nobody speaks for, above all the owner's own: they stay while the world goes on.

    An entry that the owner has working moves the owner's slice to where it leads.
    """
    legs: list[Leg] = []
    for underlying, holding in sorted(inputs.holdings.items()):
        coming = sum((order.signed for order in holding.working if order.for_owner), ZERO)
        slices = {**holding.slices, None: holding.slices.get(None, ZERO)}
        for follow_id, held in sorted(slices.items(), key=lambda part: (part[0] is None, part[0] or 0)):
            goal = held + (coming if follow_id is None else ZERO)
            if (held or goal) and follow_id not in followed:
                legs.append(_unvoiced_leg(inputs, underlying, follow_id, held, goal))
    return legs


def _unvoiced_leg(
    inputs: CopyInputs, underlying: str, follow_id: FollowId, held: Decimal, goal: Decimal
) -> Leg:
    return Leg(
        follow_id=follow_id,
        name="you" if follow_id is None else "a former trader",
        place=0,
        state=None,
        underlying=underlying,
        held=held,
        stays=ZERO if inputs.world_ended else goal,
        changed=inputs.world_ended,
    )


def _nearer_zero(held: Decimal, sent: Decimal) -> Decimal:
    """Return whichever is smaller of two quantities on one side; 0 where the sides differ."""
    return min(held, sent, key=abs) if held * sent > 0 else ZERO
