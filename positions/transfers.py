"""Changes of slices without an order: transfers between traders, and slices handed over to the owner.

Neither changes the net position nor the money; each raises the account's version by 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from accounts.models import Portfolio
from allocation.capital import capital_version_raise
from allocation.locks import capital_lock
from allocation.models import Follow
from core.ids import uuid_new
from markets.models import Instrument
from positions.domain.booking import notional_of
from positions.domain.status import PositionStatus
from positions.held import HeldPosition, held_lock, held_of, held_open
from positions.locks import positions_lock
from positions.models import Position, PositionSlice, SliceEntry


@transaction.atomic
def transfers_book(
    *,
    portfolio: Portfolio,
    instrument_code: str,
    underlying: str,
    pairs: Sequence[tuple[int | None, int | None, Decimal]],
    mark: Decimal,
    margin_rate: Decimal,
    run: int,
    now: datetime,
    world_at: datetime,
) -> Position | None:
    """Book transfers between slices of one underlying at a mark, without a fee (BEY-1).

    Each pair is one sale and one purchase of the same quantity and notional, so the net position stays
    and Σ slices = position. Where no position is open one is opened with a quantity of 0; where
    nothing is left in any slice it is closed.

    :param pairs: (selling follow, buying follow, quantity above 0); None is the owner's own slice
    :returns: the position as it stands, None where there was nothing to do
    :raises ValueError: a quantity or mark that is not above zero, or a transfer to itself
    """
    _pairs_check(pairs, mark=mark)
    if not pairs:
        return None
    capital_lock(portfolio_id=portfolio.pk)
    held = held_lock(portfolio_id=portfolio.pk, underlying=underlying) or held_open(
        portfolio_id=portfolio.pk,
        instrument=Instrument.objects.get(pk=instrument_code),
        policy=portfolio.policy,
        margin_rate=margin_rate,
        status=PositionStatus.ACTIVE,
        run=run,
        now=now,
        world_at=world_at,
    )
    for seller, buyer, quantity in pairs:
        _pair_book(
            held=held, seller=seller, buyer=buyer, quantity=quantity, mark=mark, now=now, world_at=world_at
        )
    _finish(held=held, now=now, world_at=world_at)
    capital_version_raise(portfolio_id=portfolio.pk)
    return held.position


def _pairs_check(pairs: Sequence[tuple[int | None, int | None, Decimal]], *, mark: Decimal) -> None:
    wrong = [pair for pair in pairs if pair[2] <= 0 or pair[0] == pair[1]]
    if wrong or mark <= 0:
        msg = (
            f"a transfer moves a quantity above 0 between two slices at a mark above 0, got {wrong} at {mark}"
        )
        raise ValueError(msg)


def _pair_book(
    *,
    held: HeldPosition,
    seller: int | None,
    buyer: int | None,
    quantity: Decimal,
    mark: Decimal,
    now: datetime,
    world_at: datetime,
) -> None:
    notional = notional_of(quantity=quantity, price=mark)
    transfer_id = uuid_new()
    for follow_id, sign in ((seller, -1), (buyer, 1)):
        entry = SliceEntry(
            kind=SliceEntry.Kind.TRANSFER, price=mark, transfer_id=transfer_id, at=now, world_at=world_at
        )
        held.slice_book(follow_id=follow_id, quantity=sign * quantity, notional=sign * notional, entry=entry)


def _finish(*, held: HeldPosition, now: datetime, world_at: datetime) -> None:
    if held.empty:
        held.status_set(status=PositionStatus.CLOSED, now=now, world_at=world_at)
    held.save()


@transaction.atomic
def slices_hand_over(*, follow: Follow, now: datetime, world_at: datetime | None = None) -> int:
    """Hand a follow's open slices over to the owner, at their cost: nothing is realized by the follow.

    Where the owner's own slice stands on the other side, the two cancel and the owner realizes the
    difference. Realized P&L, fees and funding of the past stay with the follow.

    :param world_at: world time; the wall time where the portfolio has no world yet
    :returns: the number of slices handed over
    """
    capital_lock(portfolio_id=follow.portfolio_id)
    moved = 0
    for position in positions_lock(portfolio_id=follow.portfolio_id):
        held = held_of(position=position)
        part = held.slices.get(follow.pk)
        if part is not None and part.quantity:
            _hand_over(held=held, part=part, now=now, world_at=world_at or now)
            _finish(held=held, now=now, world_at=world_at or now)
            moved += 1
    if moved:
        capital_version_raise(portfolio_id=follow.portfolio_id)
    return moved


def _hand_over(*, held: HeldPosition, part: PositionSlice, now: datetime, world_at: datetime) -> None:
    quantity, cost = part.quantity, part.cost
    transfer_id = uuid_new()
    for follow_id, sign in ((part.follow_id, -1), (None, 1)):
        entry = SliceEntry(
            kind=SliceEntry.Kind.HANDOVER,
            price=abs(cost / quantity),
            transfer_id=transfer_id,
            at=now,
            world_at=world_at,
        )
        held.slice_book(follow_id=follow_id, quantity=sign * quantity, notional=sign * cost, entry=entry)
