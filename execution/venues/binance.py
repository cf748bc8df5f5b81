"""What Binance's spot and USD-M markets have in common: orders, their fills, what works on an account.

Orders are asked about by our client id, which Binance finds again for as long as it keeps the order. It
refuses a client id only while an order of it works, so nothing here relies on that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from core.decimals import ZERO, plain
from core.errors import BadAnswer, RetryLater
from execution.client_ids import client_form, venue_form
from execution.models import VenueSend
from execution.venues.base import (
    CancelAnswer,
    OpenOrder,
    OrderRef,
    OrderRequest,
    VenueFill,
    VenueOrder,
    VenueStatus,
)
from execution.venues.binance_line import NoSuchOrder, binance_read, binance_write, order_id
from execution.venues.live_line import Line
from execution.venues.live_read import at_ms, ms_of, number, text
from execution.venues.live_types import fill_told
from markets.models import VenueInstrument

PAGE: Final = 1000
ALGO: Final = "algo-"  # stands before the algo service's ids
STATUSES: Final = {
    "NEW": VenueStatus.OPEN,
    "PENDING_NEW": VenueStatus.OPEN,
    "PARTIALLY_FILLED": VenueStatus.OPEN,
    "FILLED": VenueStatus.FILLED,
    "CANCELED": VenueStatus.CANCELLED,
    "PENDING_CANCEL": VenueStatus.CANCELLED,
    "REJECTED": VenueStatus.REJECTED,
    "EXPIRED": VenueStatus.EXPIRED,
    "EXPIRED_IN_MATCH": VenueStatus.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Calls:
    """ccxt's names of the requests of one market, and the longest time its list of trades spans at once."""

    order: str  # with Post, Get and Delete before "Order"
    open_orders: str
    trades: str
    trades_span: timedelta

    def verb(self, verb: str) -> str:
        """Return the name of the request about one order."""
        return f"{self.order}{verb}Order"


class BinanceOrders:
    """Orders of one of Binance's markets."""

    calls: Calls

    def order_params(self, request: OrderRequest) -> dict[str, Any]:
        """Return what only this market wants of a new order."""
        raise NotImplementedError

    def is_resting_stop(self, row: dict[str, Any]) -> bool:
        """Tell whether a listed order is a stop that no price has touched."""
        raise NotImplementedError

    def order_send(self, line: Line, market: VenueInstrument, request: OrderRequest) -> str:
        """Send an order; return the venue's id of it."""
        answer = binance_write(
            line,
            self.calls.verb("Post"),
            valid_until=request.valid_until,
            symbol=market.market_id,
            side=request.side,
            quantity=plain(request.quantity / market.contract_size),
            newClientOrderId=venue_form(client_order_id=request.client_order_id, venue="binance"),
            newOrderRespType="ACK",
            **self.order_params(request),
        )
        return order_id(answer, "orderId")

    def order_find(self, line: Line, market: VenueInstrument, order: OrderRef) -> VenueOrder | None:
        """Return an order with its fills; None: there is none, or it is a stop that no price has touched."""
        name = venue_form(client_order_id=order.client_order_id, venue="binance")
        try:
            row = self.row(line, market, origClientOrderId=name)
        except NoSuchOrder:
            return None
        if self.is_resting_stop(row):
            return None
        return self.order_read(line, market, row, client_order_id=order.client_order_id)

    def order_end(self, line: Line, market: VenueInstrument, order: OrderRef) -> CancelAnswer | None:
        """Cancel what is left of an order; None: Binance finds nothing to cancel."""
        name = venue_form(client_order_id=order.client_order_id, venue="binance")
        try:
            binance_write(line, self.calls.verb("Delete"), symbol=market.market_id, origClientOrderId=name)
        except NoSuchOrder:
            return None
        return CancelAnswer.CANCELLED

    def orders_listed(self, line: Line) -> list[OpenOrder]:
        """Return all orders that work, oldest first; stops that only rest are left out."""
        codes = market_codes(line)
        rows = [row for row in self.rows_open(line) if not self.is_resting_stop(row)]
        return [
            OpenOrder(
                client_order_id=client_form(venue_id=text(row, "clientOrderId"), venue="binance"),
                venue_order_id=text(row, "orderId"),
                instrument_code=codes.get(text(row, "symbol"), (text(row, "symbol"), Decimal(1)))[0],
                side=text(row, "side"),
                quantity=number(row, "origQty") * codes.get(row["symbol"], ("", Decimal(1)))[1],
                filled_quantity=number(row, "executedQty") * codes.get(row["symbol"], ("", Decimal(1)))[1],
            )
            for row in rows
        ]

    def fills_listed(
        self, line: Line, sends: list[tuple[VenueSend, VenueInstrument]], *, since: datetime
    ) -> list[VenueFill]:
        """Return the fills of these orders made at or after ``since``, oldest first."""
        fills: list[VenueFill] = []
        markets = {market.market_id: market for _, market in sends}
        for market_id, market in sorted(markets.items()):
            names = {send.venue_order_id: send.client_order_id for send, of in sends if of.pk == market.pk}
            fills += [
                fill_read(row, market, client_order_id=names[text(row, "orderId")])
                for row in self._trades_since(line, market_id, since=since)
                if text(row, "orderId") in names
            ]
        return sorted(fills, key=lambda fill: fill.world_at)

    def is_order_id(self, venue_order_id: str) -> bool:
        """Tell whether fills are told under this id: the algo service counts stops apart."""
        return bool(venue_order_id) and not venue_order_id.startswith(ALGO)

    def row(self, line: Line, market: VenueInstrument, **by: str) -> dict[str, Any]:
        """Return an order as Binance shows it.

        :raises NoSuchOrder: it has none
        """
        row = binance_read(line, self.calls.verb("Get"), symbol=market.market_id, **by)
        if not isinstance(row, dict):
            raise BadAnswer("Binance answered with no order")
        return row

    def rows_open(self, line: Line) -> list[dict[str, Any]]:
        """Return the orders of the whole market that have not ended, oldest first."""
        rows = binance_read(line, self.calls.open_orders)
        if not isinstance(rows, list):
            raise BadAnswer("Binance answered with no list of orders")
        return sorted(rows, key=lambda row: number(row, "orderId"))

    def order_read(
        self, line: Line, market: VenueInstrument, row: dict[str, Any], *, client_order_id: str
    ) -> VenueOrder:
        """Return an order with its fills from Binance's row of it.

        :raises RetryLater: it has ended and its fills are not all told yet
        """
        word = text(row, "status")
        status = STATUSES.get(word)
        if status is None:
            raise BadAnswer(f"Binance shows an order as {word}")
        executed = number(row, "executedQty") * market.contract_size
        fills: tuple[VenueFill, ...] = ()
        if executed > 0:
            trades = self._trades_of(line, market.market_id, order_id=text(row, "orderId"))
            fills = tuple(fill_read(trade, market, client_order_id=client_order_id) for trade in trades)
        filled = sum((fill.quantity for fill in fills), ZERO)
        if filled < executed and status != VenueStatus.OPEN:
            raise RetryLater(f"Binance has filled {plain(executed)} and told {plain(filled)} of it so far")
        return VenueOrder(
            client_order_id=client_order_id,
            venue_order_id=text(row, "orderId"),
            status=status,
            filled_quantity=filled,
            reason="" if status in {VenueStatus.OPEN, VenueStatus.FILLED} else f"Binance: {word}",
            fills=fills,
        )

    def _trades_of(self, line: Line, market_id: str, *, order_id: str) -> list[dict[str, Any]]:
        """Return the trades of one order, oldest first."""
        rows = self._trades(line, market_id, orderId=order_id)
        return [row for row in rows if text(row, "orderId") == order_id]

    def _trades_since(self, line: Line, market_id: str, *, since: datetime) -> list[dict[str, Any]]:
        """Return a market's trades since a time, oldest first."""
        found: list[dict[str, Any]] = []
        begin, now = since, line.clock.now()
        while begin <= now:
            end = begin + self.calls.trades_span - timedelta(milliseconds=1)
            found += self._trades(line, market_id, startTime=ms_of(begin), endTime=ms_of(end))
            if found:  # pages by id may have gone beyond the span
                end = max(end, at_ms(found[-1].get("time")))
            begin = end + timedelta(milliseconds=1)
        return found

    def _trades(self, line: Line, market_id: str, **first: Any) -> list[dict[str, Any]]:
        """Return trades, oldest first and each once, in as many pages as it takes.

        :param first: which ones; the pages after the first go on by id, and may hold others too
        """
        found: dict[int, dict[str, Any]] = {}
        by = first
        while True:
            page = binance_read(line, self.calls.trades, symbol=market_id, limit=PAGE, **by)
            if not isinstance(page, list):
                raise BadAnswer("Binance answered with no list of trades")
            before = len(found)
            found |= {int(number(row, "id")): row for row in page}
            if len(page) < PAGE or len(found) == before:
                return [found[trade_id] for trade_id in sorted(found)]
            by = {"fromId": max(found) + 1}


def fill_read(row: dict[str, Any], market: VenueInstrument, *, client_order_id: str) -> VenueFill:
    """Return one of Binance's trades as a fill."""
    buyer = row["isBuyer"] if "isBuyer" in row else row.get("side") == "BUY"
    return fill_told(
        market=market,
        base_coin=market.market_id.removesuffix(market.quote),
        side="BUY" if buyer else "SELL",
        quantity=number(row, "qty") * market.contract_size,
        price=number(row, "price"),
        fee_coin=text(row, "commissionAsset"),
        fee_amount=number(row, "commission"),
        trade_id=text(row, "id"),
        order_id=text(row, "orderId"),
        world_at=at_ms(row.get("time")),
        client_order_id=client_order_id,
    )


def market_codes(line: Line) -> dict[str, tuple[str, Decimal]]:
    """Return our code and the contract size of each market of the line's venue, by the venue's own name."""
    keys = line.keys
    rows = VenueInstrument.objects.filter(venue=keys.venue, sandbox=keys.sandbox, policy=keys.policy)
    return {
        market_id: (code, size)
        for market_id, code, size in rows.values_list("market_id", "instrument_id", "contract_size")
    }
