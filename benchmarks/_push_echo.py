"""The baseline of `benchmarks.push_latency`: a server whose only socket repeats what is said in one group."""

from __future__ import annotations

import os
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")

import django

django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402

GROUP: Final = "bench.echo"


class Echo(AsyncWebsocketConsumer):
    """Joins the group and repeats it."""

    async def connect(self) -> None:
        """Let anyone in and say so."""
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        await self.send(text_data="ready")

    async def echo(self, message: dict[str, Any]) -> None:
        """Repeat one message."""
        await self.send(text_data=message["type"])


async def _alive(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ready"})


application = ProtocolTypeRouter({"http": _alive, "websocket": Echo.as_asgi()})
