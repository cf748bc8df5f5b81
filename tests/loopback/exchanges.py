"""Exchanges on loopback for reading accounts: Binance, Bybit, Coinbase and Kraken behind one gateway.

`python -m tests.loopback.exchanges` prints its port and runs until its standard input is closed. Its address
is for `EXCHANGE_GATEWAY`: the first part of a path is the exchange's host. Answers stand in
`tests/data/exchange_accounts`. `POST /control` says how to answer, `GET /stats` what was asked.
"""

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.loopback.serving import app_serve, half_answer, hang_up

DATA = Path(__file__).parent.parent / "data" / "exchange_accounts"
TOLD_APART_BY = ("category", "cursor", "settleCoin")  # parameters that an answer depends on
SIGNED = {  # hosts whose signed requests carry this header or parameter
    "api.binance.com": "signature",
    "fapi.binance.com": "signature",
    "dapi.binance.com": "signature",
    "api.bybit.com": "X-BAPI-SIGN",
    "api.coinbase.com": "Authorization",
    "api.kraken.com": "API-Sign",
}
PUBLIC = ("/ticker/price", "/market/tickers", "/market/products", "/public/", "/exchangeInfo")


class Exchanges:
    """The answers, faults to come, and what was asked so far."""

    def __init__(self) -> None:
        self.bodies: dict[str, Any] = {}
        for file in sorted(DATA.glob("*.json")):
            self.bodies |= json.loads(file.read_text())
        self.reset()

    def reset(self) -> None:
        """Forget scripts and counts."""
        self.answers: dict[str, Any] = {}
        self.rules: list[dict[str, Any]] = []
        self.headers: dict[str, dict[str, str]] = {}
        self.chance = random.Random(0)
        self.delay_s = 0.0
        self.asked: Counter[str] = Counter()
        self.unsigned: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.connections: set[int] = set()

    async def control(self, request: web.Request) -> web.Response:
        """Take a script: reset, answers by name, rules, headers by host, delay_s."""
        script = await request.json()
        if script.get("reset"):
            self.reset()
        self.answers.update(script.get("answers", {}))
        self.rules = script.get("rules", self.rules)
        self.headers.update(script.get("headers", {}))
        self.delay_s = script.get("delay_s", self.delay_s)
        return web.json_response({})

    async def stats(self, _: web.Request) -> web.Response:
        """Tell what was asked, by name, and which signed requests came without a signature."""
        return web.json_response(
            {
                "asked": self.asked,
                "unsigned": self.unsigned,
                "heads": self.heads,
                "connections": len(self.connections),
            }
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request by its name, or fail as a rule says."""
        host, path = request.match_info["host"], request.match_info["path"]
        given = {name: request.query[name] for name in TOLD_APART_BY if name in request.query}
        name = " ".join(
            [f"{request.method} {host}/{path}", *(f"{key}={given[key]}" for key in sorted(given))]
        )
        self.asked[name] += 1
        self.heads.append(dict(request.headers))
        self.connections.add(id(request.transport))
        if not any(part in f"/{path}" for part in PUBLIC):
            wanted = SIGNED.get(host, "")
            if wanted not in request.headers and wanted not in request.query:
                self.unsigned.append(name)
                return web.json_response({"code": -2014, "msg": "API-key format invalid."}, status=401)
        await asyncio.sleep(self.delay_s)
        body = self.answers.get(name, self.bodies.get(name))
        for rule in self.rules:
            if rule["path"] not in name or rule.get("times", 1) <= 0:
                continue
            if "share" in rule and self.chance.random() >= rule["share"]:
                continue
            if "times" in rule:
                rule["times"] -= 1
            return await self.misbehave(request, rule, body)
        if body is None:
            return web.json_response({"error": [f"EGeneral:Unknown method {name}"]}, status=404)
        return web.json_response(body, headers=self.headers.get(host))

    async def misbehave(self, request: web.Request, rule: dict[str, Any], body: Any) -> web.StreamResponse:
        """Fail in one of the ways real servers do."""
        fault, text = rule["do"], json.dumps(body)
        if fault.isdigit():
            said = rule.get("body", {"code": -1000, "msg": "An unknown error occurred."})
            return web.json_response(said, status=int(fault), headers=rule.get("headers"))
        if fault == "html":
            return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
        if fault == "cut_json":
            return web.Response(text=text[: len(text) // 2], content_type="application/json")
        if fault == "nonsense":
            return web.json_response({"unexpected": True})
        if fault == "hang":
            await asyncio.sleep(60)
        if fault == "half":
            await half_answer(request, text)
        return hang_up(request)  # "cut", and the end of "half"


async def serve() -> None:
    """Serve it until standard input ends."""
    exchanges = Exchanges()
    app = web.Application()
    app.router.add_post("/control", exchanges.control)
    app.router.add_get("/stats", exchanges.stats)
    app.router.add_route("*", "/{host}/{path:.*}", exchanges.answer)
    await app_serve(app)


if __name__ == "__main__":
    asyncio.run(serve())
