"""Hyperliquid's perpetuals: signed actions out, questions by address, client ids are its own cloids.

Sources: Hyperliquid docs, "Exchange endpoint", "Info endpoint", "Signing", "Nonces and API wallets", "Error
responses". Prices and sizes go out as the shortest text, without trailing zeros. An action bears a time after
which the chain refuses it (``expiresAfter``), so that none that was held up surprises us.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from core.decimals import ZERO, plain
from core.errors import BadAnswer, RetryLater, UnknownOutcome
from core.types import OrderSide
from execution.accounts import AccountCheck, AccountLook, CoinBalance, HeldPosition
from execution.domain.orders import market_limit
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
    VenueStatus,
)
from execution.venues.live_line import OFFSETS, Line, NotSent, Silent
from execution.venues.live_read import at_ms, ms_of, number, text
from execution.venues.live_types import DuplicateId, VenueRefusal, fill_told, skew_words
from markets.models import VenueInstrument

FILLS_PAGE: Final = 2000
ACTION_LIFETIME: Final = timedelta(seconds=5)
FILLS_WITHIN: Final = timedelta(seconds=30)  # the fills of an order that was cancelled are told by then
SIDES: Final = {"B": OrderSide.BUY.value, "A": OrderSide.SELL.value}
# What an action is answered with where it was not carried out and may be tried again.
_TRY_LATER: Final = ("nonce", "expire", "too many cumulative requests", "rate limit", "try again")


class _Nonces:
    """Nonces of this process: milliseconds, each once per signer and never falling."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}

    def next(self, *, signer: str, now: datetime) -> int:
        """Return a nonce that was not given before."""
        with self._lock:
            self._last[signer] = max(ms_of(now), self._last.get(signer, 0) + 1)
            return self._last[signer]


NONCES: Final = _Nonces()


class HyperliquidPerp:
    """Orders, trigger orders and positions of the perpetuals of Hyperliquid's own exchange."""

    def order_send(self, line: Line, market: VenueInstrument, request: OrderRequest) -> str:
        """Send an order; return the venue's id of it. A market order has its limit, and ends at once."""
        order = {
            "a": market.asset_number,
            "b": request.side == OrderSide.BUY,
            "p": plain(request.limit_price),
            "s": plain(request.quantity),
            "r": request.reduce_only,
            "t": {"limit": {"tif": "Ioc" if request.market else "Gtc"}},
            "c": request.client_order_id,
        }
        return self._order(line, order, valid_until=request.valid_until)

    def order_find(self, line: Line, market: VenueInstrument, order: OrderRef) -> VenueOrder | None:
        """Return an order with its fills; None: there is none, or it is a stop that no price has touched."""
        found = self._status(line, order.client_order_id)
        if found is None or _is_resting_stop(found[0], found[1]):
            return None
        row, word, stands_since = found
        oid, asked = text(row, "oid"), number(row, "origSz")
        executed = asked if word == "filled" else asked - number(row, "sz")
        fills: tuple[VenueFill, ...] = ()
        if executed > 0 or _ended(word):
            since = at_ms(row.get("timestamp")) - timedelta(seconds=1)
            fills = tuple(
                self._fill(fill, market, client_order_id=order.client_order_id)
                for fill in self._fills(line, since=since)
                if text(fill, "oid") == oid
            )
        filled = sum((fill.quantity for fill in fills), ZERO)
        lately = line.clock.now() - stands_since < FILLS_WITHIN
        if _ended(word) and filled < executed and (lately or word == "filled"):
            raise RetryLater(
                f"Hyperliquid has filled {plain(executed)} and told {plain(filled)} of it so far"
            )
        return VenueOrder(
            client_order_id=order.client_order_id,
            venue_order_id=oid,
            status=_status_of(word),
            filled_quantity=filled,
            reason="" if word in {"open", "filled", "triggered"} else f"Hyperliquid: {word}",
            fills=fills,
        )

    def order_end(self, line: Line, market: VenueInstrument, order: OrderRef) -> CancelAnswer | None:
        """Cancel what is left of an order; None: there is nothing to cancel."""
        action = {
            "type": "cancelByCloid",
            "cancels": [{"asset": market.asset_number, "cloid": order.client_order_id}],
        }
        answer = _first_status(self._act(line, action, valid_until=line.clock.now() + ACTION_LIFETIME))
        if answer == "success":
            return CancelAnswer.CANCELLED
        error = answer.get("error", "") if isinstance(answer, dict) else str(answer)
        if "never placed, already canceled, or filled" in error:
            return None
        raise VenueRefusal(f"Hyperliquid: {error[:160]}")

    def orders_listed(self, line: Line) -> list[OpenOrder]:
        """Return all orders that work, oldest first; stops that only rest are left out."""
        return [
            OpenOrder(
                client_order_id=str(row.get("cloid") or ""),
                venue_order_id=text(row, "oid"),
                instrument_code=text(row, "coin"),
                side=SIDES[text(row, "side")],
                quantity=number(row, "origSz"),
                filled_quantity=number(row, "origSz") - number(row, "sz"),
            )
            for row in self._open(line)
            if not _is_resting_stop(row, "open")
        ]

    def fills_listed(
        self, line: Line, sends: list[tuple[VenueSend, VenueInstrument]], *, since: datetime
    ) -> list[VenueFill]:
        """Return the fills of these orders made at or after ``since``, oldest first."""
        by_order = {send.venue_order_id: (send, market) for send, market in sends}
        fills: list[VenueFill] = []
        for row in self._fills(line, since=since):
            if text(row, "oid") in by_order:
                send, market = by_order[text(row, "oid")]
                fills.append(self._fill(row, market, client_order_id=send.client_order_id))
        return fills

    def is_order_id(self, venue_order_id: str) -> bool:
        """Tell whether fills are told under this id: a stop keeps its own."""
        return bool(venue_order_id)

    def stop_send(self, line: Line, market: VenueInstrument, request: StopRequest) -> str:
        """Send a stop; touched by the mark, it takes what is offered within 5 % of its price."""
        limit = market_limit(side=request.side, mark=request.trigger_price, instrument=market.spec())
        trigger = {"isMarket": True, "triggerPx": plain(request.trigger_price), "tpsl": "sl"}
        order = {
            "a": market.asset_number,
            "b": request.side == OrderSide.BUY,
            "p": plain(limit),
            "s": plain(request.quantity),
            "r": True,
            "t": {"trigger": trigger},
            "c": request.client_order_id,
        }
        return self._order(line, order, valid_until=request.valid_until)

    def stop_find(self, line: Line, market: VenueInstrument, stop: OrderRef) -> StopStatus | None:
        """Return how a stop stands; None: there is none."""
        found = self._status(line, stop.client_order_id)
        if found is None:
            return None
        row, word, _ = found
        if _is_resting_stop(row, word):
            return StopStatus.ARMED
        status = _status_of(word)
        if status == VenueStatus.REJECTED:
            return StopStatus.REJECTED
        if status == VenueStatus.CANCELLED and row.get("triggerCondition") != "Triggered":
            return StopStatus.CANCELLED
        return StopStatus.TRIGGERED

    def stop_end(self, line: Line, market: VenueInstrument, stop: OrderRef) -> CancelAnswer | None:
        """Cancel a stop that rests; one that was touched is an order, and stays. None: nothing to cancel."""
        status = self.stop_find(line, market, stop)
        if status != StopStatus.ARMED:
            return None if status is None else CancelAnswer.ALREADY_ENDED
        return self.order_end(line, market, stop)

    def stops_listed(self, line: Line, *, account: str) -> list[OrderRef]:
        """Return all stops that rest, oldest first."""
        return [
            OrderRef(
                client_order_id=str(row.get("cloid") or ""),
                account=account,
                instrument_code=text(row, "coin"),
                policy=line.keys.policy,
                venue_order_id=text(row, "oid"),
            )
            for row in self._open(line)
            if _is_resting_stop(row, "open")
        ]

    def look(self, line: Line) -> AccountLook:
        """Return margin and positions; equity is the account value, unrealized P&L included."""
        state = self._state(line)
        value = number(state["marginSummary"], "accountValue")
        free = number(state, "withdrawable")
        return AccountLook(
            balances=(CoinBalance(coin="USDC", free=free, locked=max(ZERO, value - free)),),
            positions=tuple(
                _position(row["position"])
                for row in state["assetPositions"]
                if number(row["position"], "szi") != 0
            ),
            equity=value,
            position_mode="one_way",
            seen_at=line.clock.now(),
        )

    def check(self, line: Line) -> AccountCheck:
        """Tell whether the key may act for the account, and whether the clocks agree."""
        state = self._state(line)
        clock = skew_words(hyperliquid_offset(line))
        problems, notes = list(clock.problems), list(clock.notes)
        signer, account = _signer(line), line.client.walletAddress.lower()
        if signer != account:
            role = _info(line, {"type": "userRole", "user": signer})
            acts_for = role.get("data", {}).get("user", "") if isinstance(role, dict) else ""
            if not isinstance(role, dict) or role.get("role") != "agent" or acts_for.lower() != account:
                problems.append(f"the key is no API wallet of {account}; approve it on Hyperliquid first")
        if any(row.get("type") != "oneWay" for row in state["assetPositions"]):
            problems.append("the account holds positions that are not one-way")
        return AccountCheck(problems=tuple(problems), notes=tuple(notes))

    # ------------------------------------------------------------ the wire
    def _order(self, line: Line, order: dict[str, Any], *, valid_until: datetime) -> str:
        answer = _first_status(
            self._act(line, {"type": "order", "orders": [order], "grouping": "na"}, valid_until=valid_until)
        )
        if isinstance(answer, dict):
            for word in ("resting", "filled"):
                if word in answer:
                    return text(answer[word], "oid")
            if "error" in answer:
                _refusal_raise(str(answer["error"]))
        if answer in {"waitingForTrigger", "waitingForFill"}:
            return ""
        raise UnknownOutcome(f"Hyperliquid answered an order with {str(answer)[:80]}")

    def _act(self, line: Line, action: dict[str, Any], *, valid_until: datetime) -> Any:
        """Sign an action and send it; return the part of the answer that is about it."""
        offset = OFFSETS.offset(line, measure=hyperliquid_offset)
        nonce = NONCES.next(signer=_signer(line), now=line.clock.now() + offset)
        expires_ms = ms_of(valid_until + offset)
        signature = line.client.sign_l1_action(action, nonce, None, expires_ms)
        body = {"action": action, "nonce": nonce, "signature": signature, "expiresAfter": expires_ms}
        try:
            heard = line.ask("privatePostExchange", body)
        except NotSent as error:
            raise RetryLater(str(error)) from error
        except Silent as error:
            raise UnknownOutcome(str(error)) from error
        if heard.status == 429:
            raise line.pause(for_s=0)
        if heard.status == 422:
            raise VenueRefusal("Hyperliquid cannot read the request (422)")
        answer = heard.body
        if heard.status != 200 or not isinstance(answer, dict):
            raise UnknownOutcome(f"Hyperliquid answered {heard.status} with nothing usable")
        if answer.get("status") == "err":
            OFFSETS.forget(line)  # it may be about the time we sent
            _refusal_raise(str(answer.get("response", "")))
        if answer.get("status") != "ok":
            raise UnknownOutcome("Hyperliquid answered with neither ok nor an error")
        return answer.get("response")

    def _status(self, line: Line, cloid: str) -> tuple[dict[str, Any], str, datetime] | None:
        """Return an order's row, its status word and since when; None: Hyperliquid does not have it."""
        body = _info(line, {"type": "orderStatus", "user": line.client.walletAddress, "oid": cloid})
        if isinstance(body, dict) and body.get("status") == "unknownOid":
            return None
        try:
            row, word = body["order"]["order"], str(body["order"]["status"])
            stands_since = at_ms(body["order"]["statusTimestamp"])
        except (KeyError, TypeError) as error:
            raise BadAnswer("Hyperliquid answered with no order") from error
        if row.get("cloid") != cloid:
            raise BadAnswer("Hyperliquid answered about another order")
        return row, word, stands_since

    def _open(self, line: Line) -> list[dict[str, Any]]:
        rows = _info(line, {"type": "frontendOpenOrders", "user": line.client.walletAddress})
        if not isinstance(rows, list):
            raise BadAnswer("Hyperliquid answered with no list of orders")
        return sorted(rows, key=lambda row: number(row, "oid"))

    def _fills(self, line: Line, *, since: datetime) -> list[dict[str, Any]]:
        """Return the account's fills since a time, oldest first, each once, in as many pages as it takes."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        begin_ms = ms_of(since)
        while True:
            question = {
                "type": "userFillsByTime",
                "user": line.client.walletAddress,
                "startTime": begin_ms,
                "aggregateByTime": False,
            }
            page = _info(line, question)
            if not isinstance(page, list):
                raise BadAnswer("Hyperliquid answered with no list of fills")
            found |= {(text(row, "tid"), text(row, "oid")): row for row in page}
            if len(page) < FILLS_PAGE:
                return sorted(found.values(), key=lambda row: (number(row, "time"), number(row, "tid")))
            newest_ms = max(int(number(row, "time")) for row in page)
            if newest_ms == begin_ms:
                raise BadAnswer("Hyperliquid has more fills of one millisecond than it tells")
            begin_ms = newest_ms

    def _fill(self, row: dict[str, Any], market: VenueInstrument, *, client_order_id: str) -> VenueFill:
        return fill_told(
            market=market,
            base_coin=market.market_id,
            side=SIDES[text(row, "side")],
            quantity=number(row, "sz"),
            price=number(row, "px"),
            fee_coin=text(row, "feeToken"),
            fee_amount=number(row, "fee"),
            trade_id=text(row, "tid"),
            order_id=text(row, "oid"),
            world_at=at_ms(row.get("time")),
            client_order_id=client_order_id,
        )

    def _state(self, line: Line) -> dict[str, Any]:
        state = _info(line, {"type": "clearinghouseState", "user": line.client.walletAddress})
        if not isinstance(state, dict) or not {"marginSummary", "assetPositions"} <= set(state):
            raise BadAnswer("Hyperliquid answered with no account")
        return state


def hyperliquid_offset(line: Line) -> timedelta:
    """Return Hyperliquid's time less ours, from the middle of a round trip.

    :raises RetryLater: no usable answer
    """
    asked_at = line.clock.now()
    body = _info(line, {"type": "exchangeStatus"})
    middle = asked_at + (line.clock.now() - asked_at) / 2
    return at_ms(body.get("time") if isinstance(body, dict) else None) - middle


def _info(line: Line, question: dict[str, Any]) -> Any:
    try:
        heard = line.ask("publicPostInfo", question)
    except (NotSent, Silent) as error:
        raise RetryLater(str(error)) from error
    if heard.status == 429:
        raise line.pause(for_s=0)
    if heard.status != 200 or heard.body is None:
        raise BadAnswer(f"Hyperliquid answered {heard.status} with nothing usable")
    return heard.body


def _signer(line: Line) -> str:
    from eth_account import Account

    return str(Account.from_key(line.client.privateKey).address).lower()


def _position(row: dict[str, Any]) -> HeldPosition:
    leverage = row.get("leverage") or {}
    return HeldPosition(
        instrument_code=text(row, "coin"),
        quantity=number(row, "szi"),
        entry_price=number(row, "entryPx"),
        unrealized_pnl=number(row, "unrealizedPnl"),
        leverage=Decimal(str(leverage["value"])) if "value" in leverage else None,
        margin_mode=str(leverage.get("type", "")),
    )


def _first_status(response: Any) -> Any:
    try:
        return response["data"]["statuses"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise UnknownOutcome("Hyperliquid answered without saying what became of it") from error


def _refusal_raise(said: str) -> None:
    words = said.lower()
    if any(word in words for word in _TRY_LATER):
        raise RetryLater(f"Hyperliquid: {said[:160]}")
    if "cloid" in words and ("duplicate" in words or "already" in words):
        raise DuplicateId(f"Hyperliquid: {said[:160]}")
    raise VenueRefusal(f"Hyperliquid: {said[:160]}")


def _is_resting_stop(row: dict[str, Any], word: str) -> bool:
    return word == "open" and row.get("isTrigger") is True and row.get("triggerCondition") != "Triggered"


def _status_of(word: str) -> VenueStatus:
    """Return what a status word means; the many kinds of "…Canceled" and "…Rejected" are what they end in."""
    if word in {"open", "triggered"}:
        return VenueStatus.OPEN
    if word == "filled":
        return VenueStatus.FILLED
    if word.endswith("ejected"):
        return VenueStatus.REJECTED
    if word.endswith("anceled") or word == "scheduledCancel":
        return VenueStatus.CANCELLED
    raise BadAnswer(f"Hyperliquid shows an order as {word}")


def _ended(word: str) -> bool:
    return _status_of(word) != VenueStatus.OPEN
