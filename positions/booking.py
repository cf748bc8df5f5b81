"""Booking of fills: one transaction that holds the portfolio's capital row and raises its version by 1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce

from allocation.capital import LedgerLine, Move, account_move, ledger_write
from allocation.locks import capital_lock
from allocation.models import CapitalAccount
from core.decimals import ZERO, to_money
from core.errors import BooksDiffer
from core.types import Policy
from execution.desks import PAPER, desk_of
from execution.domain.orders import OrderStatus, signed
from execution.locks import order_lock
from execution.models import Fill, Order
from execution.orders import order_fill_record
from execution.venues.base import VenueFill
from positions.domain.booking import (
    Book,
    Booked,
    Share,
    fill_apply,
    fill_shares,
    notional_of,
    quantity_kept,
    shares_kept,
)
from positions.domain.settlement import Settlement, perp_settle, spot_settle
from positions.domain.status import PositionStatus, status_after_fill
from positions.exits import guard_follow
from positions.funding import funding_book
from positions.held import HeldPosition, held_lock, held_open
from positions.models import SliceEntry

CLOSING_PURPOSES = frozenset({Order.Purpose.CLOSE.value, Order.Purpose.LIQUIDATION.value})


@dataclass(frozen=True, slots=True)
class FillBooked:
    """What a booked fill did.

    :param realized: P&L it realized on the net position, before fees
    :param deficit: the account's deficit afterwards; above zero the portfolio must be halted
    """

    fill_id: int
    order_id: int
    position_id: int
    underlying: str
    order_status: str
    position_status: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realized: Decimal
    deficit: Decimal


@transaction.atomic
def fill_book(*, order_id: int, fill: VenueFill, now: datetime) -> FillBooked | None:
    """Book one execution into order, position, slices, account and ledger; None if it was booked before.

    A late or an excessive fill is booked too, since it happened; capital that it lacks becomes deficit.

    :param fill: positive quantity and price; fee in quote currency, positive is paid
    :raises BooksDiffer: the fill cannot belong here: a spot sale of more than is held, or an
        instrument other than the open position's. Nothing is booked.
    """
    portfolio_id = Order.objects.values_list("portfolio_id", flat=True).get(pk=order_id)
    account = capital_lock(portfolio_id=portfolio_id)
    order = order_lock(order_id=order_id)
    if Fill.objects.filter(order=order, venue_fill_id=fill.venue_fill_id).exists():
        return None
    held = _held_for(order=order, fill=fill, now=now)
    funding = _funding_due(order=order, held=held, fill=fill, now=now)
    row = Fill.objects.create(
        order=order,
        venue=order.venue,
        venue_fill_id=fill.venue_fill_id,
        quantity=fill.quantity,
        price=fill.price,
        fee=ZERO if fill.fee_base_quantity else to_money(fill.fee),
        fee_quantity=fill.fee_base_quantity,
        booked_quantity=_booked_quantity(order=order, fill=fill),
        world_at=fill.world_at,
        received_at=now,
    )
    before = held.position.quantity
    booked = _net_book(held=held, order=order, row=row, account=account, funding=funding, now=now)
    held.save()
    guard_follow(
        position=held.position,
        before=before,
        price=row.price,
        world=order.portfolio.world,
        now=now,
        world_at=row.world_at,
    )
    return FillBooked(
        fill_id=row.pk,
        order_id=order.pk,
        position_id=held.position.pk,
        underlying=order.underlying,
        order_status=order.status,
        position_status=held.position.status,
        quantity=row.quantity,
        price=row.price,
        fee=row.fee,
        realized=booked.realized,
        deficit=CapitalAccount.objects.values_list("deficit", flat=True).get(pk=portfolio_id),
    )


def _booked_quantity(*, order: Order, fill: VenueFill) -> Decimal | None:
    """Return what of a fill enters the position; None: all of it, as where no fee is kept in base units."""
    before = order.fills.aggregate(
        fees=Sum("fee_quantity"), kept=Sum(Coalesce("booked_quantity", "quantity")), gross=Sum("quantity")
    )
    if not fill.fee_base_quantity and not before["fees"]:
        return None
    return quantity_kept(
        quantity=fill.quantity,
        fee=fill.fee_base_quantity,
        gross=before["gross"] or ZERO,
        fees=before["fees"] or ZERO,
        kept=before["kept"] or ZERO,
        step=desk_of(portfolio_id=order.portfolio_id).spec(order.instrument).quantity_step,
    )


def _funding_due(*, order: Order, held: HeldPosition, fill: VenueFill, now: datetime) -> Decimal:
    """Book the funding that struck on paper before a fill; a real venue charges its own."""
    if order.venue != PAPER:
        return ZERO
    return funding_book(held=held, mark=fill.price, now=now, world_at=fill.world_at)


def _held_for(*, order: Order, fill: VenueFill, now: datetime) -> HeldPosition:
    """Lock the position that an order's fill goes into, or open it."""
    held = held_lock(portfolio_id=order.portfolio_id, underlying=order.underlying)
    if held is None:
        return held_open(
            portfolio_id=order.portfolio_id,
            instrument=order.instrument,
            policy=order.policy,
            margin_rate=order.margin_rate,
            status=PositionStatus.OPENING,
            run=order.run,
            now=now,
            world_at=fill.world_at,
        )
    if held.position.instrument_id != order.instrument_id or held.position.policy != order.policy:
        raise BooksDiffer(
            f"Fill {fill.venue_fill_id} is {order.policy} {order.instrument_id}, the open position of "
            f"{order.underlying} is {held.position.policy} {held.position.instrument_id}. Nothing was booked."
        )
    return held


def _net_book(
    *, held: HeldPosition, order: Order, row: Fill, account: CapitalAccount, funding: Decimal, now: datetime
) -> Booked:
    """Book a fill into slices, net position, order and account."""
    kept = row.quantity if row.booked_quantity is None else row.booked_quantity
    quantity = signed(side=order.side, quantity=kept)
    size = notional_of(quantity=row.quantity, price=row.price)
    notional = signed(side=order.side, quantity=size)
    position = held.position
    before = Book(position.quantity, position.cost)
    after = fill_apply(book=before, quantity=quantity, notional=notional)
    if order.policy == Policy.SPOT and after.quantity < 0:
        raise BooksDiffer(
            f"Fill {row.venue_fill_id} sells {row.quantity} {order.instrument_id}, "
            f"but only {before.quantity} is held. "
            "Nothing was booked; compare this account with the venue."
        )
    _slices_book(held=held, order=order, row=row, quantity=quantity, notional=notional)
    settlement = _settle(
        order=order,
        margin=held.position.margin,
        before=before,
        after=after,
        notional=notional,
        fee=row.fee,
        # Funding that is due with this fill leaves the account below; margin reaches as far as it leaves.
        free=max(ZERO, account.free - account.deficit + funding),
    )
    freed = order_fill_record(
        order=order,
        quantity=row.quantity,
        notional=size,
        fee=row.fee,
        committed=settlement.order_committed,
        now=now,
    )
    _money_book(order=order, row=row, settlement=settlement, freed=freed, funding=funding, now=now)
    _position_change(
        held=held, order=order, row=row, before=before, after=after, settlement=settlement, now=now
    )
    return after


def _slices_book(
    *, held: HeldPosition, order: Order, row: Fill, quantity: Decimal, notional: Decimal
) -> None:
    """Give each slice of the order its part of the fill."""
    parts = list(order.slices.order_by("pk"))
    shares: list[Share] = fill_shares(
        slices=[part.quantity for part in parts],
        filled_before=signed(side=order.side, quantity=order.filled_quantity),
        quantity=signed(side=order.side, quantity=row.quantity),
        notional=notional,
        fee=row.fee,
    )
    if row.booked_quantity is not None:
        shares = shares_kept(shares=shares, quantity=quantity)
    for share in shares:
        entry = SliceEntry(
            kind=SliceEntry.Kind.FILL,
            price=row.price,
            fee=share.fee,
            fill=row,
            at=row.received_at,
            world_at=row.world_at,
        )
        held.slice_book(
            follow_id=parts[share.index].follow_id,
            quantity=share.quantity,
            notional=share.notional,
            entry=entry,
        )


def _settle(
    *,
    order: Order,
    margin: Decimal,
    before: Book,
    after: Booked,
    notional: Decimal,
    fee: Decimal,
    free: Decimal,
) -> Settlement:
    if order.policy == Policy.SPOT:
        return spot_settle(
            order_committed=order.committed, before=before, after=after, notional=notional, fee=fee
        )
    return perp_settle(
        order_committed=order.committed,
        before=before,
        after=after,
        margin=margin,
        notional=notional,
        fee=fee,
        margin_rate=order.margin_rate,
        free=free,
    )


def _money_book(
    *, order: Order, row: Fill, settlement: Settlement, freed: Decimal, funding: Decimal, now: datetime
) -> None:
    """Move the account once and write the ledger entries of the fill."""
    lines = [LedgerLine(kind, amount, f"fill:{row.pk}") for kind, amount in settlement.cash]
    ledger_write(portfolio_id=order.portfolio_id, lines=lines, now=now, world_at=row.world_at)
    account_move(
        portfolio_id=order.portfolio_id,
        move=Move(
            free=settlement.free + freed + funding,
            committed=settlement.committed - freed,
            deployed=settlement.deployed,
        ),
        now=now,
    )


def _position_change(
    *,
    held: HeldPosition,
    order: Order,
    row: Fill,
    before: Book,
    after: Booked,
    settlement: Settlement,
    now: datetime,
) -> None:
    """Set the net position's columns and its status after a fill."""
    position = held.position
    position.quantity, position.cost = after.quantity, after.cost
    position.realized_pnl += after.realized
    position.fees += row.fee
    position.margin = settlement.margin
    if abs(after.quantity) > abs(before.quantity):
        position.margin_rate = order.margin_rate
    status = status_after_fill(
        status=position.status,
        before=before.quantity,
        after=after.quantity,
        empty=held.empty,
        order_done=order.status == OrderStatus.FILLED,
        closing=order.purpose in CLOSING_PURPOSES,
    )
    held.status_set(status=status, now=now, world_at=row.world_at)
