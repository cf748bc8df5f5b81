"""The socket of one portfolio: who gets in, what it may say, and one sender, so that messages keep order."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import orjson
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError

from accounts.models import User
from accounts.selectors import portfolio_get
from accounts.words import language_chosen, said_within
from core.errors import NotFound
from dashboard.hub import NO_SUCH_PORTFOLIO, PortfolioHub, hub_registry, now_text
from dashboard.outbox import Outbox

logger = logging.getLogger(__name__)

SIGNED_OUT: Final = 4401
SESSION_CHECK_S: Final = 25.0
LONGEST_MESSAGE: Final = 1000  # characters; the two messages a client may send have about 20


class PortfolioConsumer(AsyncWebsocketConsumer):
    """``/ws/portfolios/<id>/``: a snapshot, then numbered changes; see ``docs/live-view.md``.

    A socket that may not stay is accepted and closed with a code of its own (4401 signed out, 4404 no
    such portfolio), since a browser is not told why a handshake was refused.
    """

    channel_layer_alias = None  # the hub listens for all its sockets

    async def connect(self) -> None:
        """Let the owner in; anyone else is closed with a code that says why."""
        self._hub: PortfolioHub | None = None
        self._outbox = Outbox()
        self._tasks: list[asyncio.Task[None]] = []
        self._portfolio_id: int = self.scope["url_route"]["kwargs"]["portfolio_id"]
        user = self.scope["user"]
        self._language = _language_of(self.scope)
        refused = await self._refusal(user)
        await self.accept()
        if refused is not None:
            await self.close(refused)
            return
        self._hub = hub_registry().attach(user=user, portfolio_id=self._portfolio_id, outbox=self._outbox)
        self._tasks = [asyncio.create_task(self._send_forever()), asyncio.create_task(self._session_watch())]

    async def disconnect(self, code: int) -> None:
        """Leave the hub; the last socket ends it."""
        for task in self._tasks:
            task.cancel()
        if self._hub is not None:
            hub, self._hub = self._hub, None
            await hub_registry().detach(hub=hub, outbox=self._outbox)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer a ping, or resend the snapshot."""
        if self._hub is None:
            return
        match _message_type(text_data):
            case "ping":
                self._outbox.put(orjson.dumps({"type": "pong", "at": now_text()}).decode())
            case "resync":
                self._hub.resync(self._outbox)
            case _:
                detail = 'Only {"type": "ping"} and {"type": "resync"} are understood here.'
                self._outbox.put(orjson.dumps({"type": "error", "detail": detail}).decode())

    async def _send_forever(self) -> None:
        """Send what the outbox holds; at its end close with its code."""
        try:
            while (text := await self._outbox.get()) is not None:
                await self.send(text_data=message_said(text, language=self._language))
            await self.close(self._outbox.close_code)
        except OSError as error:  # what an ASGI server raises once the client has gone
            logger.debug("a socket of portfolio %s went away while sending (%s)", self._portfolio_id, error)

    async def _session_watch(self) -> None:
        """Close the socket when its session has ended, or the portfolio is no longer this person's."""
        while True:
            await asyncio.sleep(SESSION_CHECK_S)
            try:
                refused = await self._refusal(await _user_now(self.scope["session"]))
            except (OperationalError, InterfaceError) as error:
                logger.warning("session of a socket not checked (%s); it stays until it can be", error)
                continue
            if refused is not None:
                self._outbox.close(refused)
                return

    async def _refusal(self, user: User | AnonymousUser) -> int | None:
        """Return the close code for someone who may not listen, None for the owner."""
        if not user.is_authenticated:
            return SIGNED_OUT
        try:
            await _portfolio_get(user=user, portfolio_id=self._portfolio_id)
        except NotFound:
            return NO_SUCH_PORTFOLIO
        return None


def message_said(text: str, *, language: str) -> str:
    """Return a message of the hub, which is the same for all its sockets, in the language of one of them."""
    if language == settings.LANGUAGE_CODE:
        return text
    return orjson.dumps(said_within(orjson.loads(text), language=language)).decode()


def _language_of(scope: dict[str, Any]) -> str:
    """Return the language of the page that opened the socket: its person's, else its cookie's, else the
    browser's."""
    cookies, headers = scope.get("cookies", {}), dict(scope.get("headers", []))
    return language_chosen(
        user=scope.get("user"),
        cookie=cookies.get(settings.LANGUAGE_COOKIE_NAME, ""),
        accepted=headers.get(b"accept-language", b"").decode("latin-1"),
    )


_portfolio_get = database_sync_to_async(portfolio_get)


async def _user_now(session: Any) -> User | AnonymousUser:
    """Return whom a session belongs to now, read anew from where sessions are kept."""
    return await get_user({"session": type(_unwrapped(session))(session.session_key)})


def _unwrapped(session: Any) -> Any:
    """Return the session store behind Channels' lazy object."""
    return getattr(session, "_wrapped", session)


def _message_type(text: str | None) -> str | None:
    """Return the ``type`` of a client's message, None for anything that is not a short JSON object."""
    if text is None or len(text) > LONGEST_MESSAGE:
        return None
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    kind = message.get("type") if isinstance(message, dict) else None
    return kind if isinstance(kind, str) else None
