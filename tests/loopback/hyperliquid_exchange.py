"""Hyperliquid's perpetuals on loopback, with books of its own: it recovers who signed, and checks nonces.

Answers follow the recorded ones of `/exchange` (statuses "resting", "filled" and "error", the words of the
errors) and Hyperliquid's documentation ("Exchange endpoint", "Info endpoint", "Nonces and API wallets").
"""

import time
from decimal import Decimal
from typing import Any

import msgspec
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

from tests.loopback.exchange_line import Answer, LoopbackExchange, Seen
from tests.loopback.venue_markets import HYPERLIQUID, meta_and_contexts

D = Decimal
PRIVATE_KEY = "0x" + "11" * 32  # of the API wallet that signs; known to everybody, worth nothing
SIGNER = Account.from_key(PRIVATE_KEY).address.lower()
ACCOUNT = "0x" + "ab" * 20
ENDED = "Order was never placed, already canceled, or filled."
TAKER = D("0.00045")
MAINNET_HOSTS = {"api.hyperliquid.xyz"}


class Refusal(Exception):
    """An error of Hyperliquid, in its words."""


class HyperliquidExchange(LoopbackExchange):
    """The perpetuals of one account, `ACCOUNT`, for which the wallet `SIGNER` signs."""

    def books_new(self) -> dict[str, Any]:
        """Return an account with money and no prices."""
        return {
            "skew_ms": 0,
            "next": 41569108690,
            "agents": {SIGNER: ACCOUNT},
            "hidden": set(),
            "twice": False,
            "page": 2000,
            "nonces": set(),
            "prices": {},
            "depths": {},
            "value": D(100000),
            "positions": {},
            "orders": [],
            "fills": [],
        }

    # ------------------------------------------------------------ what a test does
    def price(self, coin: str, price: str, *, depth: str | None = None) -> None:
        """Set a price and let what waits meet it; `depth`: all that can be had of it, in coins."""
        with self.lock:
            self.books["prices"][coin] = D(price)
            self.books["depths"][coin] = D(depth) if depth else None
            for order in list(self.books["orders"]):
                if order["coin"] == coin and order["status"] == "open":
                    self._meet(order)

    def order(self, cloid: str) -> dict[str, Any] | None:
        """Return the newest order of a client id."""
        with self.lock:
            return next((o for o in reversed(self.books["orders"]) if o["cloid"] == cloid), None)

    def orders(self, cloid: str) -> int:
        """Return how many orders were ever taken under a client id."""
        with self.lock:
            return sum(order["cloid"] == cloid for order in self.books["orders"])

    def foreign(self, coin: str, *, buy: bool, size: str, price: str) -> str:
        """Place an order of somebody else on this account, without a client id; return the venue's id."""
        with self.lock:
            asset = [name for name, _, _ in HYPERLIQUID].index(coin)
            limit = {"limit": {"tif": "Gtc"}}
            status = self._order({"a": asset, "b": buy, "p": price, "s": size, "r": False, "t": limit})
            return str(status["resting"]["oid"])

    def end(self, cloid: str, status: str = "marginCanceled") -> None:
        """End an order at the venue's own will."""
        with self.lock:
            order = self.order(cloid)
            assert order is not None
            order["status"], order["at"] = status, self._now_ms()

    # ------------------------------------------------------------ the wire
    def answer(self, seen: Seen) -> Answer:
        """Route one request."""
        if seen.path == "/info":
            return self._info(seen.json)
        body = seen.json
        try:
            self._signed_check(body, mainnet=seen.host in MAINNET_HOSTS)
            handler = {"order": self._orders_act, "cancelByCloid": self._cancels_act}.get(
                body["action"]["type"]
            )
            if handler is None:
                return Answer("Failed to deserialize the JSON body into the target type", 422)
            return Answer({"status": "ok", "response": handler(body["action"])})
        except Refusal as refusal:
            return Answer({"status": "err", "response": str(refusal)})

    def _signed_check(self, body: dict[str, Any], *, mainnet: bool) -> None:
        """Recover who signed the action, as the chain does, and look at nonce and lifetime."""
        data = msgspec.msgpack.encode(body["action"]) + body["nonce"].to_bytes(8, "big") + b"\x00"
        if "expiresAfter" in body:
            data += b"\x00" + body["expiresAfter"].to_bytes(8, "big")
        typed = {
            "domain": {
                "name": "Exchange",
                "version": "1",
                "chainId": 1337,
                "verifyingContract": "0x0000000000000000000000000000000000000000",
            },
            "types": {
                "Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}],
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
            },
            "primaryType": "Agent",
            "message": {"source": "a" if mainnet else "b", "connectionId": keccak(data)},
        }
        signature = body["signature"]
        vrs = (signature["v"], int(signature["r"], 16), int(signature["s"], 16))
        signer = Account.recover_message(encode_typed_data(full_message=typed), vrs=vrs).lower()
        if signer not in self.books["agents"]:
            raise Refusal(f"User or API Wallet {signer} does not exist.")
        now = self._now_ms()
        if body["nonce"] in self.books["nonces"]:
            raise Refusal(f"Invalid nonce: duplicate nonce {body['nonce']}")
        if not now - 2 * 86_400_000 < body["nonce"] < now + 86_400_000:
            raise Refusal(f"Invalid nonce: {body['nonce']} is too far from {now}")
        self.books["nonces"].add(body["nonce"])
        if body.get("expiresAfter", now + 1) < now:
            raise Refusal("Action expired")

    def _now_ms(self) -> int:
        return int(time.time() * 1000) + self.books["skew_ms"]

    def _number(self) -> int:
        self.books["next"] += 1
        return int(self.books["next"])

    # ------------------------------------------------------------ orders
    def _orders_act(self, action: dict[str, Any]) -> dict[str, Any]:
        statuses = []
        for wanted in action["orders"]:
            try:
                statuses.append(self._order(wanted))
            except Refusal as refusal:
                statuses.append({"error": f"{refusal} asset={wanted['a']}"})
        return {"type": "order", "data": {"statuses": statuses}}

    def _order(self, wanted: dict[str, Any]) -> dict[str, Any]:
        coin, size_decimals, _ = HYPERLIQUID[wanted["a"]]
        size, price = D(wanted["s"]), D(wanted["p"])
        for text in (wanted["s"], wanted["p"]):
            if text != f"{D(text).normalize():f}":
                raise Refusal("Order has trailing zeros.")  # signed over another text than the chain's
        if -size.as_tuple().exponent > size_decimals or size <= 0:
            raise Refusal("Order has invalid size.")
        if not _price_fits(price, size_decimals):
            raise Refusal("Price must be divisible by tick size.")
        if size * price < 10 and not wanted["r"]:
            raise Refusal("Order must have minimum value of $10.")
        held = self.books["positions"].get(coin, D(0))
        if wanted["r"] and (held == 0 or (held > 0) == wanted["b"]):
            raise Refusal("Reduce only order would increase position.")
        if not wanted["r"] and size * price / 20 > self.books["value"]:
            raise Refusal("Insufficient margin to place order.")
        trigger = wanted["t"].get("trigger")
        order = {
            "coin": coin,
            "side": "B" if wanted["b"] else "A",
            "limitPx": price,
            "sz": size,
            "oid": self._number(),
            "timestamp": self._now_ms(),
            "triggerCondition": f"Price {'above' if wanted['b'] else 'below'} {trigger['triggerPx']}"
            if trigger
            else "N/A",
            "isTrigger": bool(trigger),
            "triggerPx": D(trigger["triggerPx"]) if trigger else D(0),
            "children": [],
            "isPositionTpsl": False,
            "reduceOnly": wanted["r"],
            "orderType": "Stop Market" if trigger else "Limit",
            "origSz": size,
            "tif": None if trigger else wanted["t"]["limit"]["tif"],
            "cloid": wanted.get("c"),
            "status": "open",
            "at": self._now_ms(),
        }
        self.books["orders"].append(order)
        before = order["sz"]
        self._meet(order)
        named = {"cloid": order["cloid"]} if order["cloid"] else {}
        if order["status"] == "iocCancelRejected":
            raise Refusal("Order could not immediately match against any resting orders.")
        if order["status"] == "filled" or (order["tif"] == "Ioc" and order["sz"] < before):
            filled = order["origSz"] - order["sz"]
            return {
                "filled": {
                    "totalSz": f"{filled:f}",
                    "avgPx": f"{self.books['prices'][coin]:f}",
                    "oid": order["oid"],
                }
                | named
            }
        return {"resting": {"oid": order["oid"]} | named}

    def _meet(self, order: dict[str, Any]) -> None:
        """Fill an order as far as the price and its depth go."""
        coin, buy = order["coin"], order["side"] == "B"
        price = self.books["prices"].get(coin)
        if order["isTrigger"] and order["triggerCondition"] != "Triggered":
            if price is None or (price < order["triggerPx"] if buy else price > order["triggerPx"]):
                return
            order["triggerCondition"] = "Triggered"
        size = order["sz"]
        held = self.books["positions"].get(coin, D(0))
        if order["reduceOnly"]:
            size = min(size, max(D(0), -held if buy else held))
            if not size:
                order["status"], order["at"] = "reduceOnlyCanceled", self._now_ms()
                return
        if price is not None and (price <= order["limitPx"] if buy else price >= order["limitPx"]):
            depth = self.books["depths"].get(coin)
            size = size if depth is None else min(size, depth)
            if depth is not None:
                self.books["depths"][coin] = depth - size
            if size > 0:
                self._fill(order, size, price)
        if order["sz"] == 0:
            order["status"], order["at"] = "filled", self._now_ms()
        elif order["tif"] == "Ioc":
            word = "canceled" if order["sz"] < order["origSz"] else "iocCancelRejected"
            order["status"], order["at"] = word, self._now_ms()

    def _fill(self, order: dict[str, Any], size: Decimal, price: Decimal) -> None:
        buy = order["side"] == "B"
        positions = self.books["positions"]
        held = positions.get(order["coin"], D(0))
        order["sz"] -= size
        positions[order["coin"]] = held + (size if buy else -size)
        fee = (size * price * TAKER).quantize(D("0.000001"))
        self.books["value"] -= fee
        self.books["fills"].append(
            {
                "coin": order["coin"],
                "px": f"{price:f}",
                "sz": f"{size:f}",
                "side": order["side"],
                "time": self._now_ms(),
                "startPosition": f"{held:f}",
                "dir": "Open Long" if buy else "Close Long",
                "closedPnl": "0.0",
                "hash": "0x" + "0" * 64,
                "oid": order["oid"],
                "crossed": True,
                "fee": f"{fee:f}",
                "tid": self._number(),
                "feeToken": "USDC",
                "twapId": None,
            }
        )

    def _cancels_act(self, action: dict[str, Any]) -> dict[str, Any]:
        statuses: list[Any] = []
        for cancel in action["cancels"]:
            order = self.order(cancel["cloid"])
            if order is None or order["status"] != "open" or order["cloid"] in self.books["hidden"]:
                statuses.append({"error": f"{ENDED} asset={cancel['asset']}"})
                continue
            order["status"], order["at"] = "canceled", self._now_ms()
            statuses.append("success")
        return {"type": "cancel", "data": {"statuses": statuses}}

    # ------------------------------------------------------------ questions
    def _info(self, question: dict[str, Any]) -> Answer:
        kind = question["type"]
        if kind == "metaAndAssetCtxs":
            return Answer(meta_and_contexts(HYPERLIQUID))
        if kind == "exchangeStatus":
            return Answer({"specialStatuses": None, "time": self._now_ms()})
        if kind == "userRole":
            account = self.books["agents"].get(question["user"].lower())
            return Answer({"role": "agent", "data": {"user": account}} if account else {"role": "missing"})
        if question["user"].lower() != ACCOUNT:
            return Answer([] if kind != "clearinghouseState" else self._state(empty=True))
        return Answer(getattr(self, f"_info_{kind}")(question))

    def _info_orderStatus(self, question: dict[str, Any]) -> dict[str, Any]:
        order = self.order(question["oid"])
        if order is None or order["cloid"] in self.books["hidden"]:
            return {"status": "unknownOid"}
        shown = {"order": _shown(order), "status": order["status"], "statusTimestamp": order["at"]}
        return {"status": "order", "order": shown}

    def _info_frontendOpenOrders(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        return [_shown(order) for order in self.books["orders"] if order["status"] == "open"]

    def _info_userFillsByTime(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        rows = [fill for fill in self.books["fills"] if fill["time"] >= question["startTime"]]
        if self.books["twice"]:
            rows = [row for row in rows for _ in range(2)]
        return rows[: self.books["page"]]

    def _info_clearinghouseState(self, question: dict[str, Any]) -> dict[str, Any]:
        return self._state()

    def _state(self, *, empty: bool = False) -> dict[str, Any]:
        value = D(0) if empty else self.books["value"]
        positions = {} if empty else self.books["positions"]
        return {
            "marginSummary": {
                "accountValue": f"{value:f}",
                "totalNtlPos": "0.0",
                "totalRawUsd": "0.0",
                "totalMarginUsed": "0.0",
            },
            "withdrawable": f"{max(D(0), value - 10):f}",
            "assetPositions": [
                {
                    "type": "oneWay",
                    "position": {
                        "coin": coin,
                        "szi": f"{size:f}",
                        "entryPx": "50000.0",
                        "positionValue": "0.0",
                        "unrealizedPnl": "1.5",
                        "leverage": {"type": "cross", "value": 20},
                    },
                }
                for coin, size in positions.items()
            ],
            "time": self._now_ms(),
        }


def _shown(order: dict[str, Any]) -> dict[str, Any]:
    row = {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in order.items()}
    del row["status"], row["at"]
    return row


def _price_fits(price: Decimal, size_decimals: int) -> bool:
    """Tell whether a price keeps five significant digits and 6 - size decimals; integers always do."""
    digits = price.normalize().as_tuple()
    if digits.exponent >= 0:
        return True
    return len(digits.digits) <= 5 and -digits.exponent <= 6 - size_decimals
