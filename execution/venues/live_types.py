"""What a real venue must offer to be traded with, one driver per venue and market; and the fee of a fill."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from core.decimals import ZERO, plain, to_money
from core.errors import EnsembleError
from core.instruments import STABLECOINS
from core.types import OrderSide
from execution.accounts import AccountCheck, AccountLook
from execution.models import VenueSend
from execution.venues.base import (
    CancelAnswer,
    OpenOrder,
    OrderRef,
    OrderRequest,
    StopRequest,
    StopStatus,
    VenueFill,
    VenueOrder,
)
from execution.venues.live_line import Line
from markets.models import LIVE, Mark, VenueInstrument

READ_WINDOW_MS = 5000
SKEW_NOTED = timedelta(seconds=1)
SKEW_REFUSED = timedelta(milliseconds=READ_WINDOW_MS / 2)


class VenueRefusal(EnsembleError):
    """The venue said no, and nothing happened. The message is its own."""


class DuplicateId(EnsembleError):
    """The venue has an order with this client id already."""


class Driver(Protocol):
    """One venue's market, spot or perpetuals, in its own words.

    Questions raise ``RetryLater``. What sends also raises ``UnknownOutcome``, ``VenueRefusal`` and, where
    the client id is taken, ``DuplicateId``.
    """

    def order_send(self, line: Line, market: VenueInstrument, request: OrderRequest) -> str:
        """Send an order; return the venue's id of it."""
        ...

    def order_find(self, line: Line, market: VenueInstrument, order: OrderRef) -> VenueOrder | None:
        """Return an order with its fills; None: the venue says that it does not have it."""
        ...

    def order_end(self, line: Line, market: VenueInstrument, order: OrderRef) -> CancelAnswer | None:
        """Cancel what is left of an order; None: there is nothing to cancel, which says no more than that."""
        ...

    def orders_listed(self, line: Line) -> list[OpenOrder]:
        """Return all orders that work, whoever sent them, oldest first."""
        ...

    def fills_listed(
        self, line: Line, sends: list[tuple[VenueSend, VenueInstrument]], *, since: datetime
    ) -> list[VenueFill]:
        """Return the fills of these orders made at or after ``since``, oldest first."""
        ...

    def is_order_id(self, venue_order_id: str) -> bool:
        """Tell whether fills are told under this id of the venue; a stop may have had another one before."""
        ...

    def stop_send(self, line: Line, market: VenueInstrument, request: StopRequest) -> str:
        """Send a stop; return the venue's id of it."""
        ...

    def stop_find(self, line: Line, market: VenueInstrument, stop: OrderRef) -> StopStatus | None:
        """Return how a stop stands; None: the venue says that it does not have it."""
        ...

    def stop_end(self, line: Line, market: VenueInstrument, stop: OrderRef) -> CancelAnswer | None:
        """Cancel a stop; None: there is nothing to cancel, which says no more than that."""
        ...

    def stops_listed(self, line: Line, *, account: str) -> list[OrderRef]:
        """Return all stops that rest, whoever sent them, oldest first."""
        ...

    def look(self, line: Line) -> AccountLook:
        """Return what the account holds."""
        ...

    def check(self, line: Line) -> AccountCheck:
        """Tell whether the account can be traded with."""
        ...


@dataclass(frozen=True, slots=True)
class FeeRead:
    """A fee as ``VenueFill`` tells it; see there."""

    fee: Decimal
    fee_base_quantity: Decimal = ZERO
    fee_raw: str = ""


def fee_read(
    *,
    market: VenueInstrument,
    base_coin: str,
    side: str,
    quantity: Decimal,
    price: Decimal,
    coin: str,
    amount: Decimal,
) -> FeeRead:
    """Turn a fee in any coin into one in the market's quote currency.

    Of a purchase the venue may keep some of what was bought: its value is taken at the price of the fill.
    Another coin (Binance's BNB) counts at its mark; where there is no mark, at the market's taker fee, and
    ``fee_raw`` says so. One dollar coin counts as another.

    :param quantity: units of the instrument; positive, like ``price``
    :param amount: of ``coin``; negative for a rebate
    """
    if coin == market.quote or (coin in STABLECOINS and market.quote in STABLECOINS):
        raw = "" if coin == market.quote else f"{plain(amount)} {coin}"
        return FeeRead(fee=to_money(amount), fee_raw=raw)
    if coin == base_coin and side == OrderSide.BUY:
        kept = amount * market.contract_size
        return FeeRead(fee=to_money(kept * price), fee_base_quantity=kept, fee_raw=f"{plain(amount)} {coin}")
    mark = Mark.objects.filter(world_id=LIVE, instrument_id=coin).values_list("price", flat=True).first()
    if mark is not None:
        return FeeRead(fee=to_money(amount * mark), fee_raw=f"{plain(amount)} {coin}")
    return FeeRead(
        fee=to_money(quantity * price * market.taker_fee),
        fee_raw=f"{plain(amount)} {coin}, which has no price here: counted as the taker fee",
    )


def fill_told(
    *,
    market: VenueInstrument,
    base_coin: str,
    side: str,
    quantity: Decimal,
    price: Decimal,
    fee_coin: str,
    fee_amount: Decimal,
    trade_id: str,
    order_id: str,
    world_at: datetime,
    client_order_id: str,
) -> VenueFill:
    """Return one trade of a venue as a fill, its fee in the market's quote currency (see ``fee_read``)."""
    fee = fee_read(
        market=market,
        base_coin=base_coin,
        side=side,
        quantity=quantity,
        price=price,
        coin=fee_coin,
        amount=fee_amount,
    )
    return VenueFill(
        client_order_id=client_order_id,
        venue_fill_id=fill_name(market, trade_id, order_id),
        quantity=quantity,
        price=price,
        fee=fee.fee,
        world_at=world_at,
        fee_base_quantity=fee.fee_base_quantity,
        fee_raw=fee.fee_raw,
    )


def fill_name(market: VenueInstrument, trade_id: str, order_id: str) -> str:
    """Return a name for a fill that no other fill of the venue has.

    Venues count trades per market, and both sides of a trade bear its number: two accounts of ours may meet.
    """
    place = f"{market.policy}{'-sandbox' if market.sandbox else ''}"
    return f"{place}:{market.market_id}:{trade_id}:{order_id}"


def skew_words(offset: timedelta) -> AccountCheck:
    """Return what to say about a venue's clock that is ``offset`` ahead of ours."""
    off_s = offset.total_seconds()
    said = f"this server's clock is {abs(off_s):.1f} s {'behind' if off_s > 0 else 'ahead of'} the venue's"
    if abs(offset) > SKEW_REFUSED:
        return AccountCheck(problems=(f"{said}; set it right",), notes=())
    return AccountCheck(problems=(), notes=(said,) if abs(offset) > SKEW_NOTED else ())
