"""Binance on loopback, spot and USD-M, with books of its own: it checks signatures, filters, funds and ids.

Formats and codes follow Binance's API documentation (spot: "Trading endpoints", "Account endpoints",
"Filters", "Errors"; USD-M futures: "Trade", "Account", "Error codes"). Orders meet the price a test sets.
"""

import hashlib
import hmac
import time
from copy import deepcopy
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from tests.loopback.exchange_line import Answer, LoopbackExchange, Seen
from tests.loopback.venue_markets import PERP, SPOT, exchange_info

D = Decimal
API_KEY, SECRET = "loopback-key", "loopback-secret"
OPEN = {"NEW", "PARTIALLY_FILLED"}
SPOT_HOSTS = {"api.binance.com", "demo-api.binance.com"}
TAKER = {"spot": D("0.001"), "perp": D("0.0005")}


class Refusal(Exception):
    """An error of Binance."""

    def __init__(self, code: int, words: str, status: int = 400) -> None:
        self.answer = Answer({"code": code, "msg": words}, status)


class BinanceExchange(LoopbackExchange):
    """Both markets of one account, `API_KEY`."""

    def books_new(self) -> dict[str, Any]:
        """Return an account with money, one-way, and no prices."""
        return {
            "skew_ms": 0,
            "next": 1000,
            "fee_coin": "",
            "hidden": set(),
            "twice": False,
            "page": 1000,
            "config": {"canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False},
            "symbols": {"spot": deepcopy(SPOT), "perp": deepcopy(PERP)},
            "prices": {},
            "depths": {},
            "coins": {"USDT": D(100000), "USDC": D(5000), "BNB": D(10)},
            "margin": D(100000),
            "positions": {},
            "orders": [],
            "trades": [],
            "algos": [],
        }

    # ------------------------------------------------------------ what a test does
    def price(self, market: str, symbol: str, price: str, *, depth: str | None = None) -> None:
        """Set a price and let what waits meet it; `depth`: all that can be had of it, in base units."""
        with self.lock:
            self.books["prices"][market, symbol] = D(price)
            self.books["depths"][market, symbol] = D(depth) if depth else None
            for algo in self.books["algos"]:
                if algo["algoStatus"] == "NEW" and algo["symbol"] == symbol and market == "perp":
                    self._algo_touch(algo)
            for order in list(self.books["orders"]):
                if order["market"] == market and order["symbol"] == symbol and order["status"] in OPEN:
                    self._meet(order)

    def order(self, client_id: str) -> dict[str, Any] | None:
        """Return the newest order of a client id."""
        with self.lock:
            return next((o for o in reversed(self.books["orders"]) if o["clientOrderId"] == client_id), None)

    def orders(self, client_id: str) -> int:
        """Return how many orders were ever taken under a client id."""
        with self.lock:
            return sum(order["clientOrderId"] == client_id for order in self.books["orders"])

    def foreign(self, market: str, symbol: str, side: str, quantity: str, price: str) -> str:
        """Place an order of somebody else on this account; return its client id."""
        with self.lock:
            name = f"web_{self._number()}"
            self._order_take(
                market,
                {
                    "symbol": symbol,
                    "side": side,
                    "type": "LIMIT",
                    "timeInForce": "GTC",
                    "quantity": quantity,
                    "price": price,
                    "newClientOrderId": name,
                },
            )
            return name

    def end(self, client_id: str, status: str = "EXPIRED") -> None:
        """End an order at the venue's own will."""
        with self.lock:
            order = self.order(client_id)
            assert order is not None
            order["status"] = status

    # ------------------------------------------------------------ the wire
    def answer(self, seen: Seen) -> Answer:
        """Route one request."""
        market = "spot" if seen.host in SPOT_HOSTS else "perp"
        name = seen.path.rpartition("/")[2]
        try:
            if name == "time":
                return Answer({"serverTime": self._now_ms()})
            if name == "exchangeInfo":
                return Answer(exchange_info(self.books["symbols"][market], server_ms=self._now_ms()))
            if name == "price":
                known = self.books["prices"].items()
                return Answer([{"symbol": s, "price": f"{p:f}"} for (of, s), p in known if of == market])
            params = self._checked(seen)
            handler = getattr(self, f"_{seen.method.lower()}_{name}")
            return Answer(handler(market, params))
        except Refusal as refusal:
            return refusal.answer

    def _checked(self, seen: Seen) -> dict[str, str]:
        if seen.headers.get("x-mbx-apikey") != API_KEY:
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        text = seen.query or seen.body
        signed, _, signature = text.rpartition("&signature=")
        wanted = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if signature != wanted:
            raise Refusal(-1022, "Signature for this request is not valid.")
        params = dict(parse_qsl(signed))
        sent, window, now = int(params["timestamp"]), int(params.get("recvWindow", 5000)), self._now_ms()
        if sent >= now + 1000:
            raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now - sent > window:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
        return params

    def _now_ms(self) -> int:
        return int(time.time() * 1000) + self.books["skew_ms"]

    def _number(self) -> int:
        self.books["next"] += 1
        return int(self.books["next"])

    # ------------------------------------------------------------ orders
    def _post_order(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        if market == "perp" and params["type"] not in {"LIMIT", "MARKET"}:
            raise Refusal(-4120, "Order type not supported for this endpoint. Please use the Algo Order API.")
        order = self._order_take(market, params)
        if market == "spot":
            return {
                "symbol": order["symbol"],
                "orderId": order["orderId"],
                "orderListId": -1,
                "clientOrderId": order["clientOrderId"],
                "transactTime": order["time"],
            }
        return self._shown(order)

    def _order_take(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        self._filters_check(market, params)
        quantity, price = D(params["quantity"]), D(params.get("price", "0"))
        taken = [o for o in self.books["orders"] if o["market"] == market and o["status"] in OPEN]
        if any(order["clientOrderId"] == params["newClientOrderId"] for order in taken):
            raise (
                Refusal(-2010, "Duplicate order sent.")
                if market == "spot"
                else Refusal(-4116, "ClientOrderId is duplicated.")
            )
        order = {
            "market": market,
            "symbol": params["symbol"],
            "orderId": self._number(),
            "clientOrderId": params["newClientOrderId"],
            "price": price,
            "origQty": quantity,
            "executedQty": D(0),
            "status": "NEW",
            "timeInForce": params.get("timeInForce", "GTC"),
            "type": params["type"],
            "side": params["side"],
            "stopPrice": D(params.get("stopPrice", "0")),
            "isWorking": params["type"] != "STOP_LOSS_LIMIT",
            "reduceOnly": params.get("reduceOnly") == "true",
            "time": self._now_ms(),
        }
        self._funds_check(order)
        self.books["orders"].append(order)
        if order["isWorking"]:
            self._meet(order, arriving=True)
        return order

    def _filters_check(self, market: str, params: dict[str, str]) -> None:
        found = [s for s in self.books["symbols"][market] if s["symbol"] == params["symbol"]]
        if not found:
            raise Refusal(-1121, "Invalid symbol.")
        rules = {rule["filterType"]: rule for rule in found[0]["filters"]}
        quantity, price = D(params["quantity"]), D(params.get("price", "0"))
        lot, tick = rules["LOT_SIZE"], D(rules["PRICE_FILTER"]["tickSize"])
        if quantity % D(lot["stepSize"]) or not D(lot["minQty"]) <= quantity <= D(lot["maxQty"]):
            raise (
                Refusal(-1013, "Filter failure: LOT_SIZE")
                if market == "spot"
                else Refusal(-1111, "Precision is over the maximum defined for this asset.")
            )
        if price % tick:
            raise (
                Refusal(-1013, "Filter failure: PRICE_FILTER")
                if market == "spot"
                else Refusal(-4014, "Price not increased by tick size.")
            )
        value = quantity * (price or self.books["prices"].get((market, params["symbol"]), D(0)))
        if market == "spot" and value < D(rules["NOTIONAL"]["minNotional"]):
            raise Refusal(-1013, "Filter failure: NOTIONAL")
        if (
            market == "perp"
            and params.get("reduceOnly") != "true"
            and value < D(rules["MIN_NOTIONAL"]["notional"])
        ):
            raise Refusal(
                -4164, "Order's notional must be no smaller than 100 (unless you choose reduce only)."
            )

    def _funds_check(self, order: dict[str, Any]) -> None:
        if order["market"] == "perp":
            held = self.books["positions"].get(order["symbol"], D(0))
            if order["reduceOnly"] and (held == 0 or (held > 0) == (order["side"] == "BUY")):
                raise Refusal(-2022, "ReduceOnly Order is rejected.")
            if not order["reduceOnly"] and order["origQty"] * order["price"] / 20 > self.books["margin"]:
                raise Refusal(-2019, "Margin is insufficient.")
            return
        coin, amount = self._locks(order)
        if amount > self.books["coins"].get(coin, D(0)) - self._locked(coin):
            raise Refusal(-2010, "Account has insufficient balance for requested action.")

    def _locks(self, order: dict[str, Any]) -> tuple[str, Decimal]:
        """Return what a spot order locks: the coin and how much of it."""
        left = order["origQty"] - order["executedQty"]
        base, quote = self._coins(order["symbol"])
        return (quote, left * order["price"]) if order["side"] == "BUY" else (base, left)

    def _locked(self, coin: str) -> Decimal:
        locks = [
            self._locks(order)
            for order in self.books["orders"]
            if order["market"] == "spot" and order["status"] in OPEN
        ]
        return sum((amount for of, amount in locks if of == coin), D(0))

    def _coins(self, symbol: str) -> tuple[str, str]:
        row = next(s for s in self.books["symbols"]["spot"] if s["symbol"] == symbol)
        return row["baseAsset"], row["quoteAsset"]

    def _meet(self, order: dict[str, Any], *, arriving: bool = False) -> None:
        """Fill an order as far as the price and its depth go."""
        market, symbol = order["market"], order["symbol"]
        price = self.books["prices"].get((market, symbol))
        if not order["isWorking"]:
            buy = order["side"] == "BUY"
            if price is None or (price < order["stopPrice"] if buy else price > order["stopPrice"]):
                return
            order["isWorking"] = True
        left = order["origQty"] - order["executedQty"]
        if order["reduceOnly"]:
            held = self.books["positions"].get(symbol, D(0))
            left = min(left, max(D(0), -held if order["side"] == "BUY" else held))
            if not left:
                order["status"] = "EXPIRED"
                return
        if price is not None and self._reached(order, price):
            depth = self.books["depths"].get((market, symbol))
            quantity = left if depth is None else min(left, depth)
            if depth is not None:
                self.books["depths"][market, symbol] = depth - quantity
            if quantity > 0:
                self._trade(order, quantity, price, maker=not arriving)
        if order["executedQty"] == order["origQty"]:
            order["status"] = "FILLED"
        elif order["timeInForce"] == "IOC" or order["type"] == "MARKET":
            order["status"] = "EXPIRED"
        elif order["executedQty"] > 0:
            order["status"] = "PARTIALLY_FILLED"

    def _reached(self, order: dict[str, Any], price: Decimal) -> bool:
        if order["type"] == "MARKET":
            return True
        return price <= order["price"] if order["side"] == "BUY" else price >= order["price"]

    def _trade(self, order: dict[str, Any], quantity: Decimal, price: Decimal, *, maker: bool) -> None:
        market, buy = order["market"], order["side"] == "BUY"
        order["executedQty"] += quantity
        fee = quantity * price * TAKER[market]
        fee_coin = "USDT"
        if market == "spot":
            base, quote = self._coins(order["symbol"])
            coins = self.books["coins"]
            fee, fee_coin = (quantity * TAKER["spot"], base) if buy else (fee, quote)
            if self.books["fee_coin"]:
                fee, fee_coin = D("0.00007050"), self.books["fee_coin"]
            coins[base] = coins.get(base, D(0)) + (quantity if buy else -quantity)
            coins[quote] = coins.get(quote, D(0)) - (quantity * price if buy else -quantity * price)
            coins[fee_coin] -= fee
        else:
            positions = self.books["positions"]
            positions[order["symbol"]] = positions.get(order["symbol"], D(0)) + (
                quantity if buy else -quantity
            )
            self.books["margin"] -= fee
        self.books["trades"].append(
            {
                "market": market,
                "symbol": order["symbol"],
                "id": self._number(),
                "orderId": order["orderId"],
                "price": f"{price:f}",
                "qty": f"{quantity:f}",
                "quoteQty": f"{quantity * price:f}",
                "commission": f"{fee:f}",
                "commissionAsset": fee_coin,
                "time": self._now_ms(),
                "isBuyer": buy,
                "buyer": buy,
                "side": order["side"],
                "maker": maker,
            }
        )

    def _found(self, market: str, params: dict[str, str]) -> dict[str, Any] | None:
        """Return the newest order that is asked for, unless it is hidden."""
        for order in reversed(self.books["orders"]):
            if order["market"] != market or order["symbol"] != params["symbol"]:
                continue
            if order["clientOrderId"] in self.books["hidden"]:
                continue
            if params.get("origClientOrderId") == order["clientOrderId"]:
                return order
            if params.get("orderId") == str(order["orderId"]):
                return order
        return None

    def _get_order(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        order = self._found(market, params)
        if order is None:
            raise Refusal(-2013, "Order does not exist.")
        return self._shown(order)

    def _delete_order(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        order = self._found(market, params)
        if order is None or order["status"] not in OPEN:
            raise Refusal(-2011, "Unknown order sent.")
        order["status"] = "CANCELED"
        return self._shown(order)

    def _get_openOrders(self, market: str, params: dict[str, str]) -> list[dict[str, Any]]:
        return [
            self._shown(order)
            for order in self.books["orders"]
            if order["market"] == market and order["status"] in OPEN
        ]

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        row = {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in order.items()}
        del row["market"]
        row |= {"updateTime": order["time"], "positionSide": "BOTH", "origType": order["type"]}
        if order["market"] == "perp":
            del row["isWorking"]
        return row

    def _get_myTrades(self, market: str, params: dict[str, str]) -> list[dict[str, Any]]:
        if "startTime" in params and "endTime" in params:
            longest = 86_400_000 if market == "spot" else 7 * 86_400_000
            if int(params["endTime"]) - int(params["startTime"]) > longest:
                raise Refusal(-1127, "More than 24 hours between startTime and endTime.")
        rows = [
            {name: value for name, value in trade.items() if name != "market"}
            for trade in self.books["trades"]
            if trade["market"] == market
            and trade["symbol"] == params["symbol"]
            and int(params.get("startTime", 0)) <= trade["time"] <= int(params.get("endTime", 10**15))
            and trade["id"] >= int(params.get("fromId", 0))
            and params.get("orderId", str(trade["orderId"])) == str(trade["orderId"])
        ]
        if self.books["twice"]:
            rows = [row for row in rows for _ in range(2)]
        return rows[: min(int(params.get("limit", 500)), self.books["page"])]

    def _get_userTrades(self, market: str, params: dict[str, str]) -> list[dict[str, Any]]:
        return self._get_myTrades(market, params)

    # ------------------------------------------------------------ stops of the perpetuals
    def _post_algoOrder(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        if any(
            a["clientAlgoId"] == params["clientAlgoId"] and a["algoStatus"] == "NEW"
            for a in self.books["algos"]
        ):
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        self._filters_check(market, params | {"price": params["triggerPrice"]})
        algo = {
            "algoId": self._number(),
            "clientAlgoId": params["clientAlgoId"],
            "algoType": params["algoType"],
            "orderType": params["type"],
            "symbol": params["symbol"],
            "side": params["side"],
            "positionSide": "BOTH",
            "quantity": params["quantity"],
            "algoStatus": "NEW",
            "triggerPrice": params["triggerPrice"],
            "workingType": params["workingType"],
            "reduceOnly": params.get("reduceOnly") == "true",
            "actualOrderId": "",
            "createTime": self._now_ms(),
        }
        price = self.books["prices"].get(("perp", params["symbol"]))
        if price is not None and self._algo_reached(algo, price):
            raise Refusal(-2021, "Order would immediately trigger.")
        self.books["algos"].append(algo)
        return algo

    def _algo_reached(self, algo: dict[str, Any], price: Decimal) -> bool:
        trigger = D(algo["triggerPrice"])
        return price >= trigger if algo["side"] == "BUY" else price <= trigger

    def _algo_touch(self, algo: dict[str, Any]) -> None:
        if not self._algo_reached(algo, self.books["prices"]["perp", algo["symbol"]]):
            return
        params = {
            "symbol": algo["symbol"],
            "side": algo["side"],
            "type": "MARKET",
            "quantity": algo["quantity"],
            "reduceOnly": "true",
            "newClientOrderId": f"algo_{algo['algoId']}",
        }
        try:
            algo["actualOrderId"] = str(self._order_take("perp", params)["orderId"])
            algo["algoStatus"] = "TRIGGERED"
        except Refusal:
            algo["algoStatus"] = "REJECTED"

    def _get_algoOrder(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        for algo in reversed(self.books["algos"]):
            if algo["clientAlgoId"] == params["clientAlgoId"] not in self.books["hidden"]:
                return algo
        raise Refusal(-2013, "Order does not exist.")

    def _delete_algoOrder(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        for algo in self.books["algos"]:
            if algo["clientAlgoId"] == params["clientAlgoId"] and algo["algoStatus"] == "NEW":
                algo["algoStatus"] = "CANCELED"
                return {
                    "algoId": algo["algoId"],
                    "clientAlgoId": algo["clientAlgoId"],
                    "code": "200",
                    "msg": "success",
                }
        raise Refusal(-2011, "Unknown order sent.")

    def _get_openAlgoOrders(self, market: str, params: dict[str, str]) -> list[dict[str, Any]]:
        return [algo for algo in self.books["algos"] if algo["algoStatus"] == "NEW"]

    # ------------------------------------------------------------ accounts
    def _get_account(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        if market == "perp":
            asset = {
                "asset": "USDT",
                "walletBalance": f"{self.books['margin']:f}",
                "unrealizedProfit": "0.00000000",
                "marginBalance": f"{self.books['margin']:f}",
                "availableBalance": f"{self.books['margin'] - 10:f}",
            }
            return {"totalMarginBalance": asset["marginBalance"], "assets": [asset], "positions": []}
        return {
            "canTrade": self.books["config"]["canTrade"],
            "uid": 354937868,
            "permissions": ["SPOT"],
            "balances": [
                {
                    "asset": coin,
                    "free": f"{amount - self._locked(coin):f}",
                    "locked": f"{self._locked(coin):f}",
                }
                for coin, amount in self.books["coins"].items()
                if amount
            ],
        }

    def _get_accountConfig(self, market: str, params: dict[str, str]) -> dict[str, Any]:
        return {"feeTier": 0, "canDeposit": True, "canWithdraw": True, **self.books["config"]}

    def _get_symbolConfig(self, market: str, params: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {"symbol": row["symbol"], "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": 20}
            for row in self.books["symbols"]["perp"]
        ]

    def _get_positionRisk(self, market: str, params: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {
                "symbol": symbol,
                "positionSide": "BOTH",
                "positionAmt": f"{quantity:f}",
                "entryPrice": "50000.0",
                "unRealizedProfit": "1.50000000",
            }
            for symbol, quantity in self.books["positions"].items()
        ]
