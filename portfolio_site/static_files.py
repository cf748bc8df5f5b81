"""Serve static files before Django sees the request.

WhiteNoise finds and describes them; its middleware would force every request through a thread and stream
files by a synchronous iterator, which Django's ASGI handler warns about on each.
"""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from portfolio_site.middleware import POLICY

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

EXTRA_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class StaticFiles:
    """ASGI application: answers for files under STATIC_URL, hands everything else to `application`."""

    def __init__(self, *, application: Application) -> None:
        self._application = application
        with warnings.catch_warnings():  # files are served from where they lie: STATIC_ROOT need not exist
            warnings.filterwarnings("ignore", message="No directory at")
            self._whitenoise = WhiteNoiseMiddleware(get_response=_nothing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = await self._file(scope)
        if file is None:
            await self._application(scope, receive, send)
            return
        headers = {
            f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
            for name, value in scope["headers"]
        }
        response = file.get_response(scope["method"], headers)
        body = b"" if response.file is None else await asyncio.to_thread(_whole, response.file)
        told = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await send(
            {
                "type": "http.response.start",
                "status": int(response.status),
                "headers": [*told, *EXTRA_HEADERS],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _file(self, scope: Scope) -> StaticFile | None:
        if scope["type"] != "http" or not scope["path"].startswith(self._whitenoise.static_prefix):
            return None
        if self._whitenoise.autorefresh:  # DEBUG: looks on the disk each time
            return await asyncio.to_thread(self._whitenoise.find_file, scope["path"])
        return self._whitenoise.files.get(scope["path"])


def _whole(file: Any) -> bytes:
    with file:
        return bytes(file.read())


def _nothing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("static files are looked up, this middleware is never called")
