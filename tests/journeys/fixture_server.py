"""A loopback server: the real templates and files around made-up views, and a socket that obeys the test.

Run it by hand to look at the pages: ``python -m tests.journeys.fixture_server 8765``.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import sys
import threading
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import django
import uvicorn

from core.clock import utc_now
from core.events import view_apply
from portfolio_site.middleware import POLICY
from tests.journeys import fixture_view
from tests.journeys.fixture_view import candles_make, change_make, history_make, iso, story_make, view_make

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

STATIC = Path(__file__).resolve().parents[2] / "static"


def view_now(**sizes: int) -> dict[str, Any]:
    """A fixture view moved to the present, so that ages on the page are small."""
    ahead = utc_now() - fixture_view.NOW

    def shift(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shift(part) for key, part in value.items()}
        if isinstance(value, list):
            return [shift(part) for part in value]
        if isinstance(value, str) and value.startswith("2026-") and value.endswith("Z"):
            return iso(datetime.fromisoformat(value) + ahead)
        return value

    return shift(view_make(**sizes))


class FixtureServer:
    """Serves one view on a free port. Methods may be called from any thread."""

    def __init__(self, *, view: dict[str, Any] | None = None, port: int = 0) -> None:
        self.view = view or view_now()
        self.history = history_make(view=self.view)
        self.candles = candles_make(position=next(iter(self.view["positions"].values()), None))
        self.candles_asked: list[int | None] = []
        self.epoch, self.seq = "fixture", 1
        self.history_status = 200
        self.accepting = True
        self.silent = False
        self.close_code = 0
        self.asked: list[str] = []
        self.connections = 0
        self.language, self.zone = "en", "UTC"
        self._sockets: set[Any] = set()
        config = uvicorn.Config(
            self._app,
            host="127.0.0.1",
            port=port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            interface="asgi3",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> FixtureServer:
        """Start serving and wait until it does."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.01)
        if not self._server.started:
            raise RuntimeError("the fixture server did not start")
        return self

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(10)

    def change(self, change: dict[str, Any], *, lost: bool = False) -> None:
        """Apply a change and send it to every socket, unless it is `lost` on the way."""
        self.view = view_apply(self.view, change)
        self.seq += 1
        if not lost:
            self.send(
                {"type": "change", "epoch": self.epoch, "seq": self.seq, "at": iso(utc_now()), **change}
            )

    def snapshot(self) -> None:
        """Send the view to every socket unasked, as a hub does when it can read again."""
        self.send({"type": "snapshot", "epoch": self.epoch, "seq": self.seq, "view": self.view})

    def restart(self) -> None:
        """Begin a new epoch, as a restarted hub does."""
        self.epoch, self.seq = f"{self.epoch}+", 1

    def cut(self, code: int = 1012) -> None:
        """Close every socket."""
        self._call(self._cut(code))

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve())

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to every socket."""

        async def send() -> None:
            for socket in list(self._sockets):
                await socket({"type": "websocket.send", "text": self._said(message)})

        self._call(send())

    async def _cut(self, code: int) -> None:
        for socket in list(self._sockets):
            await socket({"type": "websocket.close", "code": code})
        self._sockets.clear()

    # ------------------------------------------------------------ ASGI
    async def _app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._socket(receive, send)
        else:
            status, kind, body = self._answer(scope)
            headers = [(b"content-type", kind.encode()), (b"content-security-policy", POLICY.encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: dict[str, Any]) -> tuple[int, str, bytes]:
        path = scope["path"]
        if path.startswith("/static/"):
            file = STATIC / path.removeprefix("/static/")
            if not file.is_file():
                return 404, "text/plain", b"no such file"
            return 200, mimetypes.guess_type(file)[0] or "application/octet-stream", file.read_bytes()
        if path.endswith("/equity.json"):
            return self.history_status, "application/json", json.dumps(self.history).encode()
        if path.endswith("/candles.json"):
            since = parse_qs(scope["query_string"].decode()).get("since")
            self.candles_asked.append(int(since[0]) if since else None)
            return self.history_status, "application/json", json.dumps(self.candles).encode()
        query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
        return 200, "text/html; charset=utf-8", self._page(path, query).encode()

    def _page(self, path: str, query: dict[str, str]) -> str:
        from django.template.loader import render_to_string
        from django.test import RequestFactory

        from accounts.models import Portfolio

        request = RequestFactory().get(path, query)
        request.user = SimpleNamespace(email="alice@example.com", is_authenticated=True)
        if "theme" in query:
            request.COOKIES["theme"] = query["theme"]
        name = self.view["portfolio"]["name"]
        portfolio = Portfolio(
            pk=1, name=name, world="replay:alpha_arena", policy="perp", risk_profile="balanced"
        )
        page = "traders" if path.endswith("/traders/") else "portfolio"
        more: dict[str, Any] = {}
        if "/positions/" in path:
            page, number = "position", path.rstrip("/").rsplit("/", 1)[1]
            shown = self.view["positions"].get(number)
            story = story_make(position=shown or {"id": int(number), "code": "BTC", "side": "LONG"})
            more = {"story": story, "position": story.position, "shown": shown}
        context = {
            "portfolio": portfolio,
            "portfolios": [portfolio, Portfolio(pk=2, name="Wallets, spot")],
            "mode_badge": portfolio.get_mode_display(),
            "nav": page,
            "view": self.view,
            "live": True,
            **more,
        }
        from django.utils import timezone, translation

        with translation.override(self.language), timezone.override(ZoneInfo(self.zone)):
            return render_to_string(f"dashboard/{page}.html", context, request=request)

    def _said(self, message: dict[str, Any]) -> str:
        from dashboard.consumers import message_said

        return message_said(json.dumps(message), language=self.language)

    async def _socket(self, receive: Any, send: Any) -> None:
        await receive()
        self.connections += 1
        if not self.accepting:
            return await send({"type": "websocket.close"})
        await send({"type": "websocket.accept"})
        if self.close_code:
            return await send({"type": "websocket.close", "code": self.close_code})
        await self._snapshot(send)
        self._sockets.add(send)
        try:
            while (message := await receive())["type"] == "websocket.receive":
                asked = json.loads(message["text"])["type"]
                self.asked.append(asked)
                if self.silent:
                    continue
                if asked == "ping":
                    await send(
                        {"type": "websocket.send", "text": json.dumps({"type": "pong", "at": iso(utc_now())})}
                    )
                elif asked == "resync":
                    await self._snapshot(send)
        finally:
            self._sockets.discard(send)
        return None

    async def _snapshot(self, send: Any) -> None:
        message = {"type": "snapshot", "epoch": self.epoch, "seq": self.seq, "view": self.view}
        await send({"type": "websocket.send", "text": self._said(message)})


if __name__ == "__main__":
    server = FixtureServer(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765).start()
    print(server.url)  # noqa: T201
    seed = 0
    try:
        while True:
            threading.Event().wait(1.5)
            seed += 1
            server.change(change_make(view=server.view, count=2, seed=seed))
    except KeyboardInterrupt:
        server.stop()
