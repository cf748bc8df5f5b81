"""A recorded trader's equity and positions at any moment of the recording. Pure and deterministic.

Two forms of record: round trips (entry and exit of each trade known) and a wallet's fills (each with the
signed position before it). The price of a code at a moment is passed in, since records hold none between
trades.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.decimals import ZERO, to_money, to_price
from traders.domain.reads import TraderPosition
from traders.domain.trades import OwnTrade

PriceAt = Callable[[str, datetime], Decimal]


@dataclass(frozen=True, slots=True)
class RecordedState:
    """Equity (quote currency) and open positions by code at one moment."""

    equity: Decimal
    positions: tuple[TraderPosition, ...]


@dataclass(frozen=True, slots=True)
class Trip:
    """One round trip.

    :param quantity: signed; negative is short
    :param entry_fee: paid at the entry, ≥ 0; part of ``net_pnl`` too
    :param net_pnl: realized at the exit, after both commissions
    """

    code: str
    quantity: Decimal
    entry_at: datetime
    exit_at: datetime
    entry_price: Decimal
    entry_fee: Decimal
    net_pnl: Decimal
    exit_price: Decimal


@dataclass(frozen=True, slots=True)
class RecordedTrips:
    """A trader whose round trips are known, starting flat with ``start_equity``."""

    trips: tuple[Trip, ...]
    start_equity: Decimal

    def events(self) -> tuple[datetime, ...]:
        """Return the moments at which a quantity changes, rising."""
        return tuple(sorted({at for trip in self.trips for at in (trip.entry_at, trip.exit_at)}))

    def trades(self) -> dict[str, tuple[OwnTrade, ...]]:
        """Return what was bought and sold by code, by rising time."""
        by_code: dict[str, list[OwnTrade]] = defaultdict(list)
        for trip in self.trips:
            by_code[trip.code].append(OwnTrade(trip.entry_at, trip.quantity, trip.entry_price))
            by_code[trip.code].append(OwnTrade(trip.exit_at, -trip.quantity, trip.exit_price))
        return {code: tuple(sorted(rows, key=lambda trade: trade.at)) for code, rows in by_code.items()}

    def state_at(self, at: datetime, price_at: PriceAt) -> RecordedState:
        """Return the state at ``at``; a trip is open from its entry until just before its exit.

        Equity = start + net P&L of closed trips + (unrealized P&L - entry fee) of open ones. Trips of one
        code that overlap are one position: the net quantity, the entry averaged over the trips of the net's
        side, open since the earliest of them.
        """
        equity = self.start_equity
        open_trips: dict[str, list[Trip]] = defaultdict(list)
        for trip in self.trips:
            if trip.exit_at <= at:
                equity += trip.net_pnl
            elif trip.entry_at <= at:
                mark = price_at(trip.code, at)
                equity += trip.quantity * (mark - trip.entry_price) - trip.entry_fee
                open_trips[trip.code].append(trip)
        positions = (_net_position(open_trips[code], price_at(code, at)) for code in sorted(open_trips))
        return RecordedState(
            equity=to_money(equity),
            positions=tuple(position for position in positions if position is not None),
        )


def _net_position(trips: Sequence[Trip], mark: Decimal) -> TraderPosition | None:
    quantity = sum((trip.quantity for trip in trips), ZERO)
    if quantity == 0:
        return None
    same_side = [trip for trip in trips if (trip.quantity > 0) == (quantity > 0)]
    cost = sum((trip.quantity * trip.entry_price for trip in same_side), ZERO)
    return TraderPosition(
        code=trips[0].code,
        quantity=quantity,
        entry_price=to_price(cost / sum((trip.quantity for trip in same_side), ZERO)),
        mark_price=mark,
        opened_at=min(trip.entry_at for trip in same_side),
    )


@dataclass(frozen=True, slots=True)
class Fill:
    """One recorded fill of a wallet.

    :param quantity: signed; negative is a sell
    :param before: signed position in this code before the fill, as the venue reported it
    :param closed_pnl: realized by this fill before fees, 0 where it opened
    """

    code: str
    at: datetime
    quantity: Decimal
    price: Decimal
    before: Decimal
    closed_pnl: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class _Leg:
    """One code's position after each of its fills; index 0 is what was held when the recording begins.

    ``flow`` is the cash that changed hands so far: -Σ quantity x price - Σ fees.
    """

    times: tuple[datetime, ...]
    quantities: tuple[Decimal, ...]
    entries: tuple[Decimal, ...]
    opened_at: tuple[datetime | None, ...]
    flows: tuple[Decimal, ...]
    start_price: Decimal


@dataclass(frozen=True, slots=True)
class RecordedWallet:
    """A wallet rebuilt from its fills. Make it with :func:`wallet_rebuild`.

    :param start_equity: assumed; the largest gross notional held at any of its own fills, since none is
        recorded
    :param gaps: times at which a fill's own "before" differed from what the fills until then add up to
    """

    legs: dict[str, _Leg]
    start_equity: Decimal
    gaps: tuple[tuple[str, datetime], ...]
    fills: tuple[Fill, ...] = ()

    def trades(self) -> dict[str, tuple[OwnTrade, ...]]:
        """Return what was bought and sold by code, by rising time."""
        by_code: dict[str, list[OwnTrade]] = defaultdict(list)
        for fill in self.fills:
            by_code[fill.code].append(OwnTrade(fill.at, fill.quantity, fill.price))
        return {code: tuple(sorted(rows, key=lambda trade: trade.at)) for code, rows in by_code.items()}

    def events(self) -> tuple[datetime, ...]:
        """Return the moments at which a quantity changes, rising."""
        return tuple(sorted({at for leg in self.legs.values() for at in leg.times}))

    def state_at(self, at: datetime, price_at: PriceAt) -> RecordedState:
        """Return the state at ``at``.

        Equity = assumed start + Σ (quantity x price now - quantity x price at the start + cash flow since).
        """
        equity = self.start_equity
        positions = []
        for code, leg in sorted(self.legs.items()):
            index = bisect_right(leg.times, at)
            quantity, mark = leg.quantities[index], price_at(code, at)
            equity += quantity * mark - leg.quantities[0] * leg.start_price + leg.flows[index]
            if quantity != 0:
                positions.append(
                    TraderPosition(
                        code=code,
                        quantity=quantity,
                        entry_price=leg.entries[index],
                        mark_price=mark,
                        opened_at=leg.opened_at[index],
                    )
                )
        return RecordedState(equity=to_money(equity), positions=tuple(positions))


def wallet_rebuild(*, fills: Iterable[Fill], start_at: datetime, price_at: PriceAt) -> RecordedWallet:
    """Rebuild a wallet's positions from its fills, given in the order in which they happened.

    Before its first fill a code holds that fill's ``before``. Where a later ``before`` differs from the
    chain, the position is taken to have changed to it at that moment and price; the places are kept in
    ``gaps``.
    """
    by_code: dict[str, list[Fill]] = defaultdict(list)
    recorded = tuple(fills)
    for fill in recorded:
        by_code[fill.code].append(fill)
    gaps: list[tuple[str, datetime]] = []
    legs = {
        code: _leg(code_fills, start_price=price_at(code, start_at), gaps=gaps)
        for code, code_fills in by_code.items()
    }
    held = RecordedWallet(legs=legs, start_equity=ZERO, gaps=tuple(gaps))
    peak = max(_gross(held, at, price_at) for at in (start_at, *held.events()))
    return RecordedWallet(legs=legs, start_equity=to_money(peak), gaps=tuple(gaps), fills=recorded)


def _gross(wallet: RecordedWallet, at: datetime, price_at: PriceAt) -> Decimal:
    quantities = ((code, leg.quantities[bisect_right(leg.times, at)]) for code, leg in wallet.legs.items())
    return sum((abs(quantity) * price_at(code, at) for code, quantity in quantities if quantity), ZERO)


def _leg(fills: Sequence[Fill], *, start_price: Decimal, gaps: list[tuple[str, datetime]]) -> _Leg:
    quantity = fills[0].before
    entry = entry_before(fills) if quantity else ZERO
    opened_at: datetime | None = None
    flow = ZERO
    rows: list[tuple[Decimal, Decimal, datetime | None, Decimal]] = [(quantity, entry, opened_at, flow)]
    for fill in fills:
        steps = [fill.quantity]
        if fill.before != quantity:
            gaps.append((fill.code, fill.at))
            steps.insert(0, fill.before - quantity)
        for step in steps:
            after = quantity + step
            entry, opened_at = _booked(quantity, entry, opened_at, after=after, fill=fill)
            quantity = after
            flow -= step * fill.price
        flow -= fill.fee
        rows.append((quantity, entry, opened_at, flow))
    quantities, entries, opened, flows = zip(*rows, strict=True)
    return _Leg(
        times=tuple(fill.at for fill in fills),
        quantities=quantities,
        entries=entries,
        opened_at=opened,
        flows=flows,
        start_price=start_price,
    )


def _booked(
    quantity: Decimal, entry: Decimal, opened_at: datetime | None, *, after: Decimal, fill: Fill
) -> tuple[Decimal, datetime | None]:
    """Return average entry and opening time after a position went from ``quantity`` to ``after``."""
    if after == 0:
        return ZERO, None
    if quantity == 0 or (quantity > 0) != (after > 0):
        return fill.price, fill.at
    if abs(after) > abs(quantity):
        return to_price((quantity * entry + (after - quantity) * fill.price) / after), opened_at
    return entry, opened_at


def entry_before(fills: Sequence[Fill]) -> Decimal:
    """Return the average entry of what was open before the first fill of a code.

    The first fill that reduces says it: closed P&L = (price - average entry) x quantity closed, and the
    average is a weighted mean of the entry sought and the prices added since. Without such a fill, or where
    the result is no price, the first recorded price is taken.
    """
    quantity = fills[0].before
    fixed, share = ZERO, Decimal(1)  # average entry = fixed + share x entry sought
    for fill in fills:
        if fill.before != quantity:
            break
        after = quantity + fill.quantity
        if abs(after) > abs(quantity) and (after > 0) == (quantity > 0):
            fixed = (fixed * quantity + fill.price * fill.quantity) / after
            share = share * quantity / after
            quantity = after
            continue
        closed = min(abs(fill.quantity), abs(quantity)) * (1 if quantity > 0 else -1)
        entry = to_price((fill.price - fill.closed_pnl / closed - fixed) / share)
        return entry if entry > 0 else fills[0].price
    return fills[0].price
