"""A Hyperliquid `info` endpoint on loopback, a process that answers recorded bytes and can misbehave.

`python -m tests.loopback.hyperliquid` prints its port and runs until its standard input is closed.
`POST /info` answers, `/ws` is the socket; `POST /control` (JSON of a `Script`) says how; `GET /stats` says
what was asked.
"""

import asyncio
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.loopback.serving import app_serve, half_answer, hang_up

RECORDED = Path(__file__).parent.parent / "data" / "hyperliquid_info"
LIGHT = {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
EMPTY_PERP = "clearinghouseState__mainnet__14__go-hyperliquid"
DEFAULTS = {
    "clearinghouseState": "clearinghouseState__mainnet__12__hyperliquid-python-sdk",
    "allMids": "allMids__mainnet__02__go-hyperliquid",
    "meta": "meta__mainnet__02__go-hyperliquid",
    "spotMeta": "spotMeta__mainnet__00__go-hyperliquid",
    "portfolio": "portfolio__mainnet__00__hyperliquid-python-sdk",
}
PLAIN = {
    "spotClearinghouseState": '{"balances":[{"coin":"USDC","token":0,"total":"100.5","hold":"0.0"}]}',
    "userAbstraction": '"disabled"',
    "perpDexs": "[null]",
    "userVaultEquities": "[]",
    "delegatorSummary": '{"delegated":"0.0","undelegated":"0.0","totalPendingWithdrawal":"0.0"}',
    "vaultDetails": "null",
}


def recorded(name: str) -> str:
    """Return the exact body of a recorded answer."""
    return json.loads((RECORDED / f"{name}.json").read_text())["response_body"]


def weight_of(kind: str) -> int:
    """Return a request's weight by Hyperliquid's documentation, apart from what our client thinks."""
    return 2 if kind in LIGHT else 20


def heaviest_minute(spent: list[tuple[float, int]]) -> int:
    """Return the most weight that fell into any 60 seconds, of (when, weight) in order of time."""
    most = within = 0
    first = 0
    for at, weight in spent:
        within += weight
        while spent[first][0] <= at - 60:
            within -= spent[first][1]
            first += 1
        most = max(most, within)
    return most


class Loopback:
    """The endpoint's state: scripted answers and faults, and what was asked so far."""

    def __init__(self) -> None:
        self.sockets: list[tuple[web.WebSocketResponse, asyncio.Transport]] = []
        self.bodies = {kind: recorded(name) for kind, name in DEFAULTS.items()} | PLAIN
        self.reset()

    def reset(self) -> None:
        """Forget scripts and counts."""
        self.delay_s = 0.0
        self.delays: dict[str, float] = {}
        self.answers: dict[str, str] = {}
        self.rules: list[dict[str, Any]] = []
        self.chance = random.Random(0)
        self.asked: Counter[str] = Counter()
        self.by_user: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.spent: list[tuple[float, int]] = []
        self.open_now = 0
        self.open_most = 0
        self.socket_does = "tell"
        self.subscribed: list[str] = []
        self.pings = 0
        self.opened = 0

    async def control(self, request: web.Request) -> web.Response:
        """Take a script: reset, seed, delay_s, delays by user, answers by "type|user|dex", rules.

        And for sockets: `socket_does`, see `Loopback.socket`; `tell`, texts to send on each open one; `cut`
        and `half`, which end them all in the middle of nothing, or of a message.
        """
        script = await request.json()
        if script.get("reset"):
            self.reset()
        if "seed" in script:
            self.chance = random.Random(script["seed"])
        self.delay_s = script.get("delay_s", self.delay_s)
        self.delays.update(script.get("delays", {}))
        self.answers.update(script.get("answers", {}))
        if "rules" in script:
            self.rules = script["rules"]
        self.socket_does = script.get("socket_does", self.socket_does)
        if script.get("tell") and not self.sockets:
            return web.json_response({"error": "nobody listens"}, status=409)
        for socket, transport in [*self.sockets]:
            for text in [*script.get("tell", []), *script.get("tell_if_heard", [])]:
                await socket.send_str(text)
            if script.get("half"):
                transport.write(b"\x81\x7e\x10\x00half a message")
            if script.get("half") or script.get("cut"):
                await asyncio.sleep(0.01)
                transport.abort()
        return web.json_response({})

    async def stats(self, _: web.Request) -> web.Response:
        """Tell what was asked: counts, weight in all and in the heaviest minute, most requests at once."""
        return web.json_response(
            {
                "asked": self.asked,
                "by_user": self.by_user,
                "faults": self.faults,
                "total": sum(self.asked.values()),
                "weight": sum(w for _, w in self.spent),
                "heaviest_minute": heaviest_minute(self.spent),
                "open_most": self.open_most,
                "sockets": len(self.sockets),
                "sockets_opened": self.opened,
                "subscribed": self.subscribed,
                "pings": self.pings,
            }
        )

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Hold a socket as the venue does: confirm subscriptions, tell `allMids` at once, answer pings.

        Where `socket_does` is "refuse" there is none; "mute" never says a word; "pong" answers pings alone.
        """
        self.opened += 1
        if self.socket_does == "refuse":
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        place = (socket, request.transport)
        self.sockets.append(place)
        try:
            async for message in socket:
                if message.type is not web.WSMsgType.TEXT:
                    break
                await self.heard(socket, json.loads(message.data))
        except ConnectionError:
            pass
        finally:
            self.sockets.remove(place)
        return socket

    async def heard(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        """Answer one message of a socket."""
        if asked["method"] == "ping":
            self.pings += 1
            if self.socket_does != "mute":
                await socket.send_json({"channel": "pong"})
            return
        dex = asked["subscription"].get("dex", "")
        self.subscribed.append(dex)
        if self.socket_does == "tell":
            await socket.send_json({"channel": "subscriptionResponse", "data": asked})
            mids = json.loads(self.body_for("allMids", "", dex))
            await socket.send_json(
                {"channel": "allMids", "data": {"mids": mids} | ({"dex": dex} if dex else {})}
            )

    async def info(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or fail as a rule says."""
        asked = await request.json()
        kind, user, dex = asked["type"], str(asked.get("user", "")).lower(), asked.get("dex", "")
        user = user or asked.get("vaultAddress", "").lower() or asked.get("req", {}).get("coin", "").lower()
        self.asked[kind] += 1
        self.by_user[user] += 1
        self.spent.append((time.monotonic(), weight_of(kind)))
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            await asyncio.sleep(self.delays.get(user, self.delay_s))
            fault = self.fault_for(kind, user)
            body = self.body_for(kind, user, dex)
            return (
                await self.misbehave(request, fault, body)
                if fault
                else web.Response(text=body, content_type="application/json")
            )
        finally:
            self.open_now -= 1

    def body_for(self, kind: str, user: str, dex: str) -> str:
        """Return the scripted answer, else the recorded one; a builder's dex is empty unless scripted."""
        for key in (f"{kind}|{user}|{dex}", f"{kind}||{dex}"):
            if key in self.answers:
                return self.answers[key]
        return recorded(EMPTY_PERP) if kind == "clearinghouseState" and dex else self.bodies[kind]

    def fault_for(self, kind: str, user: str) -> str | None:
        """Return what the first matching rule wants: `times` more requests, or a `share` of them."""
        for rule in self.rules:
            if rule.get("type", kind) != kind or rule.get("user", user).lower() != user:
                continue
            if "times" in rule:
                if rule["times"] <= 0:
                    continue
                rule["times"] -= 1
            elif self.chance.random() >= rule.get("share", 1.0):
                continue
            self.faults[rule["do"]] += 1
            return rule["do"]
        return None

    async def misbehave(self, request: web.Request, fault: str, body: str) -> web.StreamResponse:
        """Fail in one of the ways real servers do."""
        if fault.isdigit():
            return web.Response(status=int(fault), text="null" if fault != "422" else "Failed to deserialize")
        if fault == "nonsense":
            return web.Response(text='{"unexpected": true}', content_type="application/json")
        if fault == "html":
            return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
        if fault == "null":
            return web.Response(text="null", content_type="application/json")
        if fault == "empty_list":
            return web.Response(text="[]", content_type="application/json")
        if fault == "cut_json":
            return web.Response(text=body[: len(body) // 2], content_type="application/json")
        if fault == "hang":
            await asyncio.sleep(60)
        if fault == "half":
            await half_answer(request, body)
        return hang_up(request)  # "cut", and the end of "half"


async def serve() -> None:
    """Serve it until standard input ends."""
    loopback = Loopback()
    app = web.Application()
    app.router.add_post("/info", loopback.info)
    app.router.add_get("/ws", loopback.socket)
    app.router.add_post("/control", loopback.control)
    app.router.add_get("/stats", loopback.stats)
    await app_serve(app)


if __name__ == "__main__":
    asyncio.run(serve())
