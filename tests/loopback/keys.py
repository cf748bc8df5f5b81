"""What exchanges say of a key, on loopback: answers by host and path, and what was asked.

Reached through ``EXCHANGE_GATEWAY``, so the first part of each path is the exchange's host. The bodies are
written after the examples in each exchange's documentation of its own API.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BINANCE_KEY = {
    "ipRestrict": False,
    "createTime": 1698645219000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": False,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": True,
    "enableSpotAndMarginTrading": False,
    "enablePortfolioMarginTrading": False,
}
BINANCE_ACCOUNT = {
    "canTrade": True,
    "canWithdraw": True,
    "canDeposit": True,
    "uid": 354937868,
    "balances": [],
}
BYBIT_KEY = {
    "id": "13770661",
    "note": "readOnlyKey",
    "apiKey": "XXXXXX",
    "readOnly": 1,
    "secret": "",
    "permissions": {
        "ContractTrade": ["Order", "Position"],
        "Spot": ["SpotTrade"],
        "Wallet": ["AccountTransfer"],
        "Options": [],
        "Exchange": ["ExchangeHistory"],
        "Earn": [],
    },
    "ips": ["*"],
    "type": 1,
    "userID": 24617703,
    "uta": 1,
    "isMaster": True,
}
KRAKEN_KEY = {
    "apiKeyName": "ensemble",
    "permissions": ["query-funds", "query-open-trades", "query-closed-trades", "query-ledger"],
    "iban": "AA12 N84G WOOD LAMP",
}
COINBASE_KEY = {
    "can_view": True,
    "can_trade": False,
    "can_transfer": False,
    "portfolio_uuid": "11111111-2222-4333-8444-555555555555",
    "portfolio_type": "DEFAULT",
}
OKX_KEY = {"acctLv": "2", "perm": "read_only", "uid": "43812", "mainUid": "44705892343619584", "ip": ""}
KUCOIN_KEY = {
    "remark": "account1",
    "apiKey": "6705f5c311545b000157d3eb",
    "apiVersion": 3,
    "permission": "General",
    "createdAt": 1728443843000,
    "uid": 165111215,
    "isMaster": True,
}

PATHS = {
    "binance": "GET api.binance.com/sapi/v1/account/apiRestrictions",
    "binance account": "GET api.binance.com/api/v3/account",
    "binance test": "GET demo-api.binance.com/api/v3/account",
    "bybit": "GET api.bybit.com/v5/user/query-api",
    "kraken": "POST api.kraken.com/0/private/GetApiKeyInfo",
    "coinbase": "GET api.coinbase.com/api/v3/brokerage/key_permissions",
    "okx": "GET www.okx.com/api/v5/account/config",
    "kucoin": "GET api.kucoin.com/api/v1/user/api-key",
    "hyperliquid": "POST api.hyperliquid.xyz/info",
}


def wrapped(venue: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return a description of a key in the envelope in which its venue sends it."""
    match venue:
        case "bybit":
            return {"retCode": 0, "retMsg": "", "result": body, "retExtInfo": {}, "time": 1676891757649}
        case "kraken":
            return {"error": [], "result": body}
        case "okx":
            return {"code": "0", "data": [body], "msg": ""}
        case "kucoin":
            return {"code": "200000", "data": body}
    return body


class KeyVenues:
    """The answers, which a test may change, and the requests so far as ``"GET host/path"``."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.bodies: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._answers: dict[str, tuple[int, str]] = {}
        for venue, body in (
            ("binance", BINANCE_KEY),
            ("bybit", BYBIT_KEY),
            ("kraken", KRAKEN_KEY),
            ("coinbase", COINBASE_KEY),
            ("okx", OKX_KEY),
            ("kucoin", KUCOIN_KEY),
        ):
            self.say(venue, body)
        self.answer(PATHS["binance account"], BINANCE_ACCOUNT)

    def say(self, venue: str, body: dict[str, Any], **changed: Any) -> None:
        """Let a venue describe the key like this from now on."""
        self.answer(PATHS[venue], wrapped(venue, {**body, **changed}))

    def answer(self, path: str, body: Any, *, status: int = 200) -> None:
        """Answer one path with a body, JSON or a raw text."""
        self._answers[path] = (status, body if isinstance(body, str) else json.dumps(body))

    def found(self, path: str) -> tuple[int, str]:
        """Return the answer to a path."""
        return self._answers.get(path, (404, '{"error": "nothing here"}'))


@contextmanager
def key_venues() -> Iterator[KeyVenues]:
    """Serve until the block ends."""
    venues = KeyVenues()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            path = f"{self.command} {self.path.lstrip('/').split('?')[0]}"
            venues.asked.append(path)
            venues.bodies.append(body)
            venues.headers.append(dict(self.headers))
            status, text = venues.found(path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    venues.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield venues
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
