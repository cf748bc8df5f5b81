"""Binance's USD-M perpetuals: one-way positions, reduce-only orders; stops rest in a service of their own."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from core.decimals import ZERO, plain
from core.errors import BadAnswer
from execution.accounts import AccountCheck, AccountLook, CoinBalance, HeldPosition
from execution.client_ids import client_form, venue_form
from execution.venues.base import (
    CancelAnswer,
    OrderRef,
    OrderRequest,
    StopRequest,
    StopStatus,
    VenueOrder,
)
from execution.venues.binance import ALGO, BinanceOrders, Calls, market_codes
from execution.venues.binance_line import NoSuchOrder, binance_offset, binance_read, binance_write, order_id
from execution.venues.live_line import Line
from execution.venues.live_read import number, text
from execution.venues.live_types import skew_words
from markets.models import VenueInstrument

# Source: Binance documentation, "Event: Algo Order Update". FINISHED: what it became has ended.
STOP_STATUSES: Final = {
    "NEW": StopStatus.ARMED,
    "TRIGGERING": StopStatus.TRIGGERED,
    "TRIGGERED": StopStatus.TRIGGERED,
    "FINISHED": StopStatus.TRIGGERED,
    "CANCELED": StopStatus.CANCELLED,
    "EXPIRED": StopStatus.CANCELLED,
    "REJECTED": StopStatus.REJECTED,
}


class BinancePerp(BinanceOrders):
    """Orders, stops and positions of the USD-M market.

    Source: Binance USD-M futures documentation, "Trade" (New Order, New Algo Order), "Account". Since
    December 2025 conditional orders are kept by the algo service: they have ids of their own there, and the
    order that a touched one becomes is found through it.
    """

    calls = Calls(
        order="fapiPrivate",
        open_orders="fapiPrivateGetOpenOrders",
        trades="fapiPrivateGetUserTrades",
        trades_span=timedelta(days=7),
    )

    def order_params(self, request: OrderRequest) -> dict[str, Any]:
        """Return type, price and reduce-only.

        A market order bears no price: Binance refuses limits more than 5 % from its own mark, where ours are.
        """
        reduces = {"reduceOnly": "true"} if request.reduce_only else {}
        if request.market:
            return {"type": "MARKET", **reduces}
        return {"type": "LIMIT", "timeInForce": "GTC", "price": plain(request.limit_price), **reduces}

    def is_resting_stop(self, row: dict[str, Any]) -> bool:
        """Tell whether a listed order is a stop: none is, they are listed elsewhere."""
        return False

    def order_find(self, line: Line, market: VenueInstrument, order: OrderRef) -> VenueOrder | None:
        """Return an order with its fills, also what a touched stop became; None: there is none."""
        found = super().order_find(line, market, order)
        if found is not None:
            return found
        stop = self._algo(line, order)
        became = str((stop or {}).get("actualOrderId") or "")
        if stop is None or became in {"", "0"}:
            return None
        try:
            row = self.row(line, market, orderId=became)
        except NoSuchOrder as error:
            raise BadAnswer(f"Binance says that a stop became order {became} and has none") from error
        return self.order_read(line, market, row, client_order_id=order.client_order_id)

    def stop_send(self, line: Line, market: VenueInstrument, request: StopRequest) -> str:
        """Send a stop; touched by Binance's mark, it takes what is offered."""
        answer = binance_write(
            line,
            "fapiPrivatePostAlgoOrder",
            valid_until=request.valid_until,
            algoType="CONDITIONAL",
            symbol=market.market_id,
            side=request.side,
            type="STOP_MARKET",
            quantity=plain(request.quantity / market.contract_size),
            triggerPrice=plain(request.trigger_price),
            workingType="MARK_PRICE",
            reduceOnly="true",
            clientAlgoId=venue_form(client_order_id=request.client_order_id, venue="binance"),
        )
        return f"{ALGO}{order_id(answer, 'algoId')}"

    def stop_find(self, line: Line, market: VenueInstrument, stop: OrderRef) -> StopStatus | None:
        """Return how a stop stands; None: there is none."""
        row = self._algo(line, stop)
        if row is None:
            return None
        status = STOP_STATUSES.get(text(row, "algoStatus"))
        if status is None:
            raise BadAnswer(f"Binance shows a stop as {row['algoStatus']}")
        return status

    def stop_end(self, line: Line, market: VenueInstrument, stop: OrderRef) -> CancelAnswer | None:
        """Cancel a stop that rests; None: nothing to cancel."""
        name = venue_form(client_order_id=stop.client_order_id, venue="binance")
        try:
            binance_write(line, "fapiPrivateDeleteAlgoOrder", clientAlgoId=name)
        except NoSuchOrder:
            return None
        return CancelAnswer.CANCELLED

    def stops_listed(self, line: Line, *, account: str) -> list[OrderRef]:
        """Return all stops that rest, oldest first."""
        codes = market_codes(line)
        rows = binance_read(line, "fapiPrivateGetOpenAlgoOrders")
        if not isinstance(rows, list):
            raise BadAnswer("Binance answered with no list of stops")
        return [
            OrderRef(
                client_order_id=client_form(venue_id=text(row, "clientAlgoId"), venue="binance"),
                account=account,
                instrument_code=codes.get(text(row, "symbol"), (row["symbol"],))[0],
                policy=line.keys.policy,
                venue_order_id=f"{ALGO}{text(row, 'algoId')}",
            )
            for row in sorted(rows, key=lambda row: number(row, "algoId"))
            if STOP_STATUSES.get(text(row, "algoStatus")) == StopStatus.ARMED
        ]

    def look(self, line: Line) -> AccountLook:
        """Return margin and positions; equity is the margin balance in the account's quote."""
        account = _body(binance_read(line, "fapiPrivateV3GetAccount"), needs="assets")
        config = _body(binance_read(line, "fapiPrivateGetAccountConfig"), needs="dualSidePosition")
        modes = {text(row, "symbol"): row for row in _list(binance_read(line, "fapiPrivateGetSymbolConfig"))}
        codes = market_codes(line)
        held = [
            _position(row, codes, modes.get(text(row, "symbol"), {}))
            for row in _list(binance_read(line, "fapiPrivateV3GetPositionRisk"))
            if number(row, "positionAmt") != 0
        ]
        ours = [row for row in account["assets"] if row.get("asset") == line.keys.quote]
        return AccountLook(
            balances=tuple(
                CoinBalance(
                    coin=text(row, "asset"),
                    free=number(row, "availableBalance"),
                    locked=max(ZERO, number(row, "walletBalance") - number(row, "availableBalance")),
                )
                for row in account["assets"]
                if number(row, "walletBalance") != 0
            ),
            positions=tuple(held),
            equity=number(ours[0], "marginBalance") if ours else ZERO,
            position_mode="hedge" if config["dualSidePosition"] else "one_way",
            seen_at=line.clock.now(),
        )

    def check(self, line: Line) -> AccountCheck:
        """Tell whether positions are one-way, what stands for margin, and whether the clocks agree."""
        config = _body(binance_read(line, "fapiPrivateGetAccountConfig"), needs="dualSidePosition")
        clock = skew_words(binance_offset(line))
        problems, notes = list(clock.problems), list(clock.notes)
        if config["dualSidePosition"]:
            problems.append("the account is in hedge mode; set its position mode to one-way")
        if config.get("canTrade") is not True:
            problems.append("Binance does not let this account trade")
        if config.get("multiAssetsMargin"):
            notes.append("multi-assets mode is on: other coins stand for margin too, and may be sold for it")
        modes = _list(binance_read(line, "fapiPrivateGetSymbolConfig"))
        isolated = sum(row.get("marginType") == "ISOLATED" for row in modes)
        if isolated:
            notes.append(f"margin is isolated in {isolated} markets, cross in the others")
        return AccountCheck(problems=tuple(problems), notes=tuple(notes))

    def _algo(self, line: Line, stop: OrderRef) -> dict[str, Any] | None:
        name = venue_form(client_order_id=stop.client_order_id, venue="binance")
        try:
            return _body(binance_read(line, "fapiPrivateGetAlgoOrder", clientAlgoId=name), needs="algoStatus")
        except NoSuchOrder:
            return None


def _position(
    row: dict[str, Any], codes: dict[str, tuple[str, Decimal]], modes: dict[str, Any]
) -> HeldPosition:
    code, size = codes.get(text(row, "symbol"), (row["symbol"], Decimal(1)))
    return HeldPosition(
        instrument_code=code,
        quantity=number(row, "positionAmt") * size,
        entry_price=number(row, "entryPrice"),
        unrealized_pnl=number(row, "unRealizedProfit"),
        leverage=number(modes, "leverage") if "leverage" in modes else None,
        margin_mode={"CROSSED": "cross", "ISOLATED": "isolated"}.get(str(modes.get("marginType")), ""),
    )


def _body(body: Any, *, needs: str) -> dict[str, Any]:
    if not isinstance(body, dict) or needs not in body:
        raise BadAnswer(f"Binance answered without {needs}")
    return body


def _list(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, list):
        raise BadAnswer("Binance answered with no list")
    return body
