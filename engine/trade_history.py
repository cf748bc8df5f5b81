"""What was traded: orders with their filters, one order whole, closed positions, the ledger.

Every list costs the same number of queries whatever its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import Count, DecimalField, F, Q, QuerySet, Sum

from accounts.models import Portfolio
from allocation.models import Follow, LedgerEntry
from core.decimals import ZERO
from core.errors import NotFound
from engine.models import Command, Decision, FillFidelity
from execution.models import Order
from positions.models import Position, SliceEntry

ORDERS_PER_PAGE: Final = 40
POSITIONS_PER_PAGE: Final = 40
ENTRIES_PER_PAGE: Final = 60

STATES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "open": ("Open", Order.OPEN_STATUSES),
    "filled": ("Filled", ("filled",)),
    "cancelled": ("Cancelled", ("cancelled",)),
    "expired": ("Expired", ("expired",)),
    "rejected": ("Rejected", ("rejected",)),
}


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders are asked for; empty fields ask for all. Days are UTC and both included."""

    state: str = ""
    underlying: str = ""
    follow_id: int | None = None
    side: str = ""
    origin: str = ""
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One state to choose, with how many orders of the other filters are in it."""

    key: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class OrderList:
    """One page of orders, and how many there are in each state."""

    page: Page[Order]
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """A closed position with what its fills bought and sold; prices are averages."""

    position: Position
    bought_price: Decimal | None
    sold_price: Decimal | None
    quantity: Decimal  # bought, which a closed position has sold again

    @property
    def net_pnl(self) -> Decimal:
        """Realized P&L after fees and funding."""
        return self.position.realized_pnl - self.position.fees + self.position.funding

    @property
    def held(self) -> timedelta:
        """How long it was open, in world time."""
        return (
            self.position.closed_world_at or self.position.opened_world_at
        ) - self.position.opened_world_at


@dataclass(frozen=True, slots=True)
class ClosedList:
    """One page of closed positions, and the sum over all of them."""

    page: Page[Position]
    rows: tuple[ClosedPosition, ...]
    count: int
    won: int
    net_pnl: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True)
class OrderStory:
    """One order with everything that is known about it."""

    order: Order
    decisions: tuple[Decision, ...]
    command: Command | None
    fidelity: tuple[FillFidelity, ...]  # each trader's part of each fill against its own price

    @property
    def is_open(self) -> bool:
        """Whether it works at the venue, or its outcome is unknown."""
        return self.order.status in Order.OPEN_STATUSES

    @property
    def average_price(self) -> Decimal | None:
        """What its fills cost on average, None before the first."""
        filled = self.order.filled_quantity
        return self.order.filled_notional / filled if filled else None


def orders_read(*, portfolio: Portfolio, wanted: OrderFilter, page: str | int | None) -> OrderList:
    """Return one page of the orders asked for, newest first.

    :param page: number as it came; one that makes no sense becomes the first or the last
    """
    others = _orders(portfolio=portfolio, wanted=wanted)
    counted = dict(others.order_by().values_list("status").annotate(Count("pk")))
    states = tuple(
        State(key, label, sum(counted.get(status, 0) for status in statuses))
        for key, (label, statuses) in STATES.items()
    )
    everything = State("", "All", sum(counted.values()))
    rows = others.filter(status__in=STATES[wanted.state][1]) if wanted.state in STATES else others
    rows = rows.prefetch_related("slices__follow__trader")
    return OrderList(
        page=Paginator(rows, ORDERS_PER_PAGE).get_page(page),
        states=(everything, *states),
    )


def _orders(*, portfolio: Portfolio, wanted: OrderFilter) -> QuerySet[Order]:
    """Return the orders that every filter but the state lets through."""
    exact = {"underlying": wanted.underlying, "side": wanted.side, "origin": wanted.origin}
    rows = Order.objects.filter(
        portfolio=portfolio, **{name: value for name, value in exact.items() if value}
    )
    if wanted.follow_id is not None:
        owner = wanted.follow_id == 0
        part = Q(slices__follow__isnull=True) if owner else Q(slices__follow_id=wanted.follow_id)
        rows = rows.filter(part)
    if wanted.since:
        rows = rows.filter(created_at__gte=_midnight(wanted.since))
    if wanted.until:
        rows = rows.filter(created_at__lt=_midnight(wanted.until + timedelta(days=1)))
    return rows.order_by("-id")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def underlyings_ordered(*, portfolio: Portfolio) -> list[str]:
    """Return the underlyings that were ever ordered, by name."""
    rows = Order.objects.filter(portfolio=portfolio).order_by("underlying")
    return list(rows.values_list("underlying", flat=True).distinct())


def follows_ever(*, portfolio: Portfolio) -> list[Follow]:
    """Return all follows, removed ones last."""
    rows = Follow.objects.filter(portfolio=portfolio).select_related("trader")
    return sorted(rows, key=lambda follow: (follow.status == Follow.Status.REMOVED, follow.place, follow.pk))


def order_read(*, portfolio: Portfolio, order_id: int) -> OrderStory:
    """Return one of the portfolio's orders, with every change of state, fill, share and decision.

    :raises NotFound: there is none of this number in this portfolio
    """
    rows = Order.objects.select_related("reservation", "instrument")
    rows = rows.prefetch_related("events", "fills", "slices__follow__trader")
    order = rows.filter(portfolio=portfolio, pk=order_id).first()
    if order is None:
        raise NotFound(f"This portfolio has no order with the number {order_id}.")
    decisions = Decision.objects.filter(order=order).prefetch_related("follows__trader").order_by("id")
    asked = Command.objects.filter(portfolio=portfolio, pk=order.command_id) if order.command_id else None
    measured = FillFidelity.objects.filter(copied__order_slice__order=order)
    return OrderStory(
        order=order,
        decisions=tuple(decisions),
        command=asked.first() if asked else None,
        fidelity=tuple(measured.select_related("fill", "copied", "follow__trader").order_by("fill", "pk")),
    )


def closed_read(*, portfolio: Portfolio, page: str | int | None) -> ClosedList:
    """Return one page of the closed positions, newest first, and what all of them brought."""
    rows = Position.objects.filter(portfolio=portfolio, status=Position.Status.CLOSED)
    net = F("realized_pnl") - F("fees") + F("funding")
    sums: dict[str, Any] = rows.aggregate(
        count=Count("pk"),
        won=Count("pk", filter=Q(realized_pnl__gt=F("fees") - F("funding"))),
        net=Sum(net, output_field=DecimalField()),
        paid=Sum("fees"),
    )
    ordered = rows.order_by("-closed_at", "-id").prefetch_related("slices__follow__trader")
    chosen = Paginator(ordered, POSITIONS_PER_PAGE).get_page(page)
    found = closed_rows(positions=list(chosen.object_list))
    return ClosedList(
        page=chosen,
        rows=found,
        count=sums["count"],
        won=sums["won"],
        net_pnl=sums["net"] or ZERO,
        fees=sums["paid"] or ZERO,
    )


def closed_rows(*, positions: Sequence[Position]) -> tuple[ClosedPosition, ...]:
    """Return what the fills of closed positions bought and sold, in one query."""
    traded = _traded(positions=positions)
    return tuple(_closed(position, traded.get(position.pk, {})) for position in positions)


def _traded(*, positions: Sequence[Position]) -> dict[int, dict[str, Any]]:
    """Return what the fills of each position bought and sold, in one query."""
    fills = SliceEntry.objects.filter(slice__position__in=positions, kind=SliceEntry.Kind.FILL)
    bought, sold = Q(quantity__gt=0), Q(quantity__lt=0)
    sums = fills.order_by().values("slice__position_id").annotate(
        bought=Sum("quantity", filter=bought),
        paid=Sum("notional", filter=bought),
        sold=Sum("quantity", filter=sold),
        received=Sum("notional", filter=sold),
    )  # fmt: skip
    return {row["slice__position_id"]: dict(row) for row in sums}


def _closed(position: Position, traded: Mapping[str, Any]) -> ClosedPosition:
    bought, sold = traded.get("bought"), traded.get("sold")
    return ClosedPosition(
        position=position,
        bought_price=traded["paid"] / bought if bought else None,
        sold_price=traded["received"] / sold if sold else None,
        quantity=bought or ZERO,
    )


def ledger_read(*, portfolio: Portfolio, page: str | int | None) -> Page[LedgerEntry]:
    """Return one page of the bookings, newest first."""
    rows = LedgerEntry.objects.filter(portfolio=portfolio).order_by("-id")
    return Paginator(rows, ENTRIES_PER_PAGE).get_page(page)
