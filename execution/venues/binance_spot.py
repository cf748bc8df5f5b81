"""Binance's spot market: no shorts, no leverage; stops are stop-loss limit orders of the order book."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from core.decimals import plain
from core.errors import BadAnswer
from execution.accounts import AccountCheck, AccountLook, CoinBalance
from execution.client_ids import client_form, venue_form
from execution.domain.orders import market_limit
from execution.venues.base import CancelAnswer, OrderRef, OrderRequest, StopRequest, StopStatus, VenueStatus
from execution.venues.binance import STATUSES, BinanceOrders, Calls, market_codes
from execution.venues.binance_line import NoSuchOrder, binance_offset, binance_read, binance_write, order_id
from execution.venues.live_line import Line
from execution.venues.live_read import number, text
from execution.venues.live_types import skew_words
from markets.models import VenueInstrument

STOP_TYPES: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})


class BinanceSpot(BinanceOrders):
    """Orders, stops and balances of the spot market.

    Source: Binance spot API documentation, "Trading endpoints", "Account endpoints". A stop that rests locks
    the coins it would sell: another sale of them is refused until it is cancelled.
    """

    calls = Calls(
        order="private",
        open_orders="privateGetOpenOrders",
        trades="privateGetMyTrades",
        trades_span=timedelta(hours=24),
    )

    def order_params(self, request: OrderRequest) -> dict[str, Any]:
        """Return type, price and time in force: a market order is one that ends at once, with its limit."""
        return {
            "type": "LIMIT",
            "timeInForce": "IOC" if request.market else "GTC",
            "price": plain(request.limit_price),
        }

    def is_resting_stop(self, row: dict[str, Any]) -> bool:
        """Tell whether an order is a stop that is not in the book yet."""
        return row.get("type") in STOP_TYPES and row.get("status") == "NEW" and row.get("isWorking") is False

    def stop_send(self, line: Line, market: VenueInstrument, request: StopRequest) -> str:
        """Send a stop; touched, it sells at the touched price less 5 % at worst."""
        limit = market_limit(side=request.side, mark=request.trigger_price, instrument=market.spec())
        answer = binance_write(
            line,
            self.calls.verb("Post"),
            valid_until=request.valid_until,
            symbol=market.market_id,
            side=request.side,
            type="STOP_LOSS_LIMIT",
            timeInForce="GTC",
            quantity=plain(request.quantity / market.contract_size),
            price=plain(limit),
            stopPrice=plain(request.trigger_price),
            newClientOrderId=venue_form(client_order_id=request.client_order_id, venue="binance"),
            newOrderRespType="ACK",
        )
        return order_id(answer, "orderId")

    def stop_find(self, line: Line, market: VenueInstrument, stop: OrderRef) -> StopStatus | None:
        """Return how a stop stands; None: there is none."""
        name = venue_form(client_order_id=stop.client_order_id, venue="binance")
        try:
            row = self.row(line, market, origClientOrderId=name)
        except NoSuchOrder:
            return None
        if self.is_resting_stop(row):
            return StopStatus.ARMED
        status = STATUSES.get(text(row, "status"))
        if status == VenueStatus.REJECTED:
            return StopStatus.REJECTED
        touched = row.get("isWorking") is True or number(row, "executedQty") > 0
        if status == VenueStatus.OPEN or touched:
            return StopStatus.TRIGGERED
        return StopStatus.CANCELLED

    def stop_end(self, line: Line, market: VenueInstrument, stop: OrderRef) -> CancelAnswer | None:
        """Cancel a stop that rests; one that was touched is an order, and stays. None: nothing to cancel."""
        status = self.stop_find(line, market, stop)
        if status != StopStatus.ARMED:
            return None if status is None else CancelAnswer.ALREADY_ENDED
        return self.order_end(line, market, stop)

    def stops_listed(self, line: Line, *, account: str) -> list[OrderRef]:
        """Return all stops that rest."""
        codes = market_codes(line)
        return [
            OrderRef(
                client_order_id=client_form(venue_id=text(row, "clientOrderId"), venue="binance"),
                account=account,
                instrument_code=codes.get(text(row, "symbol"), (row["symbol"],))[0],
                policy=line.keys.policy,
                venue_order_id=text(row, "orderId"),
            )
            for row in self.rows_open(line)
            if self.is_resting_stop(row)
        ]

    def look(self, line: Line) -> AccountLook:
        """Return the coins of the account; what they are worth is for the reader to say."""
        body = self._account(line)
        balances = [
            CoinBalance(coin=text(row, "asset"), free=number(row, "free"), locked=number(row, "locked"))
            for row in body["balances"]
        ]
        return AccountLook(
            balances=tuple(balance for balance in balances if balance.total),
            positions=(),
            equity=None,
            position_mode="",
            seen_at=line.clock.now(),
        )

    def check(self, line: Line) -> AccountCheck:
        """Tell whether the account may trade, and whether the clocks agree."""
        body = self._account(line)
        clock = skew_words(binance_offset(line))
        barred = () if body.get("canTrade") is True else ("Binance does not let this account trade",)
        return AccountCheck(problems=(*clock.problems, *barred), notes=clock.notes)

    def _account(self, line: Line) -> dict[str, Any]:
        body = binance_read(line, "privateGetAccount", omitZeroBalances="true")
        if not isinstance(body, dict) or not isinstance(body.get("balances"), list):
            raise BadAnswer("Binance answered with no account")
        return body
