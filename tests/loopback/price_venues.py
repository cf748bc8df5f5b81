"""Venues on loopback that tell prices and nothing else: Binance's spot and USD-M markets, and Kraken's spot.

`python -m tests.loopback.price_venues` prints its port and runs until its standard input is closed. Point
`EXCHANGE_GATEWAY` at it: requests and sockets come as `/<the venue's host>/<path>`. Formats follow the
venues' documentation: Binance "Exchange information", "24hr ticker price change statistics", "Individual
symbol ticker streams", "Live subscribing/unsubscribing"; Kraken "Get tradable asset pairs", "Get ticker
information", websocket v2 "Ticker (Level 1)".

`POST /control` says how to answer; `GET /stats` says what was asked.
"""

import asyncio
import json
import time
from collections import Counter
from typing import Any

from aiohttp import WSMsgType, web

from tests.loopback.serving import app_serve, hang_up
from tests.loopback.venue_markets import PERP, SPOT, exchange_info, perp_symbol, spot_symbol

HOSTS = {"api.binance.com": "spot", "fapi.binance.com": "perp", "api.kraken.com": "kraken"}
SOCKETS = {"stream.binance.com:9443": "spot", "fstream.binance.com": "perp", "ws.kraken.com": "kraken"}
FINE = {"tick": "0.00010000", "step": "0.10000000", "smallest": "0.10000000"}
MARKETS = {
    "spot": [*SPOT, *(spot_symbol(base, "USDT", **FINE) for base in ("FOO", "BAR", "EUR", "WBTC"))],
    "perp": [*PERP, perp_symbol("FUT", "USDT", tick="0.0010", step="1", smallest="1", notional="5")],
}
KRAKEN = {
    "BAZUSD": {
        "altname": "BAZUSD",
        "wsname": "BAZ/USD",
        "aclass_base": "currency",
        "base": "BAZ",
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "cost_decimals": 5,
        "pair_decimals": 4,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "5",
        "costmin": "0.5",
        "tick_size": "0.0001",
        "status": "online",
    }
}


class PriceVenues:
    """Markets, prices and faults, and what was asked so far."""

    def __init__(self) -> None:
        self.sockets: list[tuple[str, web.WebSocketResponse, asyncio.Transport]] = []
        self.reset()

    def reset(self) -> None:
        """Forget scripts and counts."""
        self.markets = {kind: list(rows) for kind, rows in MARKETS.items()}
        self.prices: dict[str, dict[str, Any]] = {"spot": {}, "perp": {}, "kraken": {}}
        self.fault: dict[str, Any] = {}
        self.socket_does = "tell"
        self.handshake: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.subscribed: list[list[str]] = []
        self.opened = self.pings = 0

    async def control(self, request: web.Request) -> web.Response:
        """Take a script.

        `prices`: kind → market → fields of its ticker, told to those who subscribed; `quiet` prices are not
        told. `fault`: status, headers, body of every answer. `socket_does`: "tell", "mute" (no word, no
        pong), "pong" (pongs alone). `handshake`: status and headers of refused sockets. `text`: sent as it
        is on every socket; `cut` ends them. `delist`: markets of Binance that are gone.
        """
        script = await request.json()
        if script.get("reset"):
            self.reset()
        for name in ("fault", "socket_does", "handshake"):
            if name in script:
                setattr(self, name, script[name])
        for kind, markets in {**script.get("prices", {}), **script.get("quiet", {})}.items():
            for market, fields in markets.items():
                self.prices[kind][market] = self.prices[kind].get(market, {}) | fields
        for kind, gone in script.get("delist", {}).items():
            self.markets[kind] = [row for row in self.markets[kind] if row["symbol"] not in gone]
        for kind, socket, transport in [*self.sockets]:
            for market in script.get("prices", {}).get(kind, {}):
                if self.socket_does == "tell" and any(market in names for names in self.subscribed):
                    await socket.send_str(self.frame(kind, market))
            for text in script.get("text", []):
                await socket.send_str(text)
            if script.get("cut"):
                transport.abort()
        return web.json_response({})

    async def stats(self, _: web.Request) -> web.Response:
        """Tell what was asked."""
        return web.json_response(
            {
                "asked": self.asked,
                "sockets": len(self.sockets),
                "sockets_opened": self.opened,
                "subscribed": self.subscribed,
                "pings": self.pings,
            }
        )

    # ------------------------------------------------------------ requests
    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of any of the venues, or open a socket."""
        host, _, path = request.path.lstrip("/").partition("/")
        if host in SOCKETS:
            return await self.socket(request, SOCKETS[host])
        kind, name = HOSTS[host], path.rpartition("/")[2]
        self.asked[f"{kind} {name}"] += 1
        if self.fault.get("cut"):
            return hang_up(request)
        if self.fault:
            return web.Response(
                status=self.fault.get("status", 200),
                headers=self.fault.get("headers"),
                text=self.fault.get("body", "{}"),
                content_type="application/json",
            )
        return web.json_response(self.body(kind, name, request))

    def body(self, kind: str, name: str, request: web.Request) -> Any:
        """Return the answer to one request."""
        if name == "exchangeInfo":
            return exchange_info(self.markets[kind], server_ms=_now_ms())
        if name == "24hr":
            only = request.query.get("symbols")
            names = json.loads(only) if only else self.prices[kind]
            return [
                _statistics(market, self.prices[kind][market])
                for market in names
                if market in self.prices[kind]
            ]
        if name == "AssetPairs":
            return {"error": [], "result": KRAKEN}
        if name == "Assets":
            return {"error": [], "result": {"BAZ": _asset("BAZ"), "ZUSD": _asset("USD")}}
        if name == "Ticker":
            told = {market: _kraken_ticker(row) for market, row in self.prices["kraken"].items()}
            return {"error": [], "result": told}
        raise web.HTTPNotFound

    # ------------------------------------------------------------ sockets
    async def socket(self, request: web.Request, kind: str) -> web.StreamResponse:
        """Hold a socket as the venue does: confirm a subscription, and tell each market's ticker at once."""
        self.opened += 1
        if self.handshake:
            return web.Response(status=self.handshake["status"], headers=self.handshake.get("headers"))
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        place = (kind, socket, request.transport)
        self.sockets.append(place)
        try:
            async for message in socket:
                if message.type is WSMsgType.PING:
                    self.pings += 1
                    if self.socket_does != "mute":
                        await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self.heard(socket, kind, json.loads(message.data))
        except ConnectionError:
            pass
        finally:
            self.sockets.remove(place)
        return socket

    async def heard(self, socket: web.WebSocketResponse, kind: str, asked: dict[str, Any]) -> None:
        """Answer one message of a socket."""
        if asked["method"] == "ping":
            self.pings += 1
            if self.socket_does != "mute":
                await socket.send_json({"method": "pong"})
            return
        if kind == "kraken":
            markets = [name.replace("/", "") for name in asked["params"]["symbol"]]
        else:
            markets = [name.partition("@")[0].upper() for name in asked["params"]]
            assert all(name.endswith("@ticker") for name in asked["params"])
        self.subscribed.append(markets)
        if self.socket_does != "tell":
            return
        if kind != "kraken":
            await socket.send_json({"result": None, "id": asked["id"]})
        for market in markets:
            if market in self.prices[kind]:
                await socket.send_str(self.frame(kind, market))

    def frame(self, kind: str, market: str) -> str:
        """Return one ticker as the venue's socket tells it."""
        row = self.prices[kind][market]
        if kind == "kraken":
            ticker = {name: float(row[name]) for name in ("bid", "ask", "last")}
            size = {"symbol": "BAZ/USD", "bid_qty": 1.0, "ask_qty": 1.0, "volume": 9.0, "vwap": 1.0}
            return json.dumps({"channel": "ticker", "type": "update", "data": [size | ticker]})
        at = row.get("at_ms", _now_ms())
        told = {
            "e": "24hrTicker", "E": at, "s": market, "p": "0.1", "P": "1.0", "w": "1.0",
            "c": row["last"], "Q": "1.0", "o": "1.0", "h": "9.0", "l": "1.0", "v": "5.0", "q": "5.0",
            "O": at - 86_400_000, "C": at, "F": 1, "L": 2, "n": 2,
        }  # fmt: skip
        if kind == "spot":
            told |= {"x": "1.0", "b": row["bid"], "B": "1.0", "a": row["ask"], "A": "1.0"}
        return json.dumps(told)


def _statistics(market: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return Binance's 24-hour statistics of a market; USD-M has no book in it."""
    told = {
        "symbol": market, "priceChange": "0.1", "priceChangePercent": "1.0", "weightedAvgPrice": "1.0",
        "lastPrice": row["last"], "lastQty": "1.0", "openPrice": "1.0", "highPrice": "9.0", "lowPrice": "1.0",
        "volume": "5.0", "quoteVolume": "123456.5", "openTime": 1, "closeTime": row.get("at_ms", _now_ms()),
        "firstId": 1, "lastId": 2, "count": 2,
    }  # fmt: skip
    if "bid" in row:
        told |= {"bidPrice": row["bid"], "bidQty": "1.0", "askPrice": row["ask"], "askQty": "1.0"}
    return told


def _asset(name: str) -> dict[str, Any]:
    return {"aclass": "currency", "altname": name, "decimals": 8, "display_decimals": 5, "status": "enabled"}


def _kraken_ticker(row: dict[str, Any]) -> dict[str, Any]:
    pair = ["9.0", "9.0"]
    return {
        "a": [row["ask"], "1", "1.0"], "b": [row["bid"], "1", "1.0"], "c": [row["last"], "1.0"],
        "v": pair, "p": pair, "t": [1, 1], "l": pair, "h": pair, "o": "9.0",
    }  # fmt: skip


def _now_ms() -> int:
    return int(time.time() * 1000)


def app_make() -> web.Application:
    """Return the servers of all venues."""
    venues = PriceVenues()
    app = web.Application()
    app.router.add_post("/control", venues.control)
    app.router.add_get("/stats", venues.stats)
    app.router.add_get("/{path:.*}", venues.answer)
    return app


if __name__ == "__main__":
    asyncio.run(app_serve(app_make()))
