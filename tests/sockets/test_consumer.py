"""VIEW-2, SEC-1: who gets onto the socket, what it says, and that the page equals the database.

The whole site (origin check, session, routing) with real PostgreSQL and Redis; only the server is left out.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client

from accounts.models import Portfolio, User
from allocation.models import Follow
from core.clock import utc_now
from dashboard import consumers, hub
from engine.follows import follow_pause, follow_remove, follow_resume, follows_arrange
from engine.portfolios import cash_deposit, portfolio_settings_save
from engine.publishing import portfolio_changed, world_changed
from engine.selectors import portfolio_view
from markets.models import Mark
from portfolio_site.asgi import application
from tests.api.making import (
    decision_make,
    everything_make,
    follow_make,
    order_make,
    portfolio_make,
    trader_make,
)
from tests.sockets.views import Page

ORIGIN = b"http://localhost"
Connect = Callable[..., Any]


class Visitor:
    """A browser's socket: a session cookie, an origin, and the page it keeps."""

    def __init__(self, portfolio_id: int, *, session: str | None, origin: bytes = ORIGIN) -> None:
        headers = [(b"origin", origin), (b"host", b"localhost")]
        if session is not None:
            headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode()))
        self.socket = WebsocketCommunicator(application, f"/ws/portfolios/{portfolio_id}/", headers=headers)
        self.page = Page()

    async def connect(self) -> bool:
        """Shake hands; tell whether it was accepted."""
        connected, _ = await self.socket.connect(timeout=5)
        return bool(connected)

    async def take(self) -> dict[str, Any]:
        """Take the next message."""
        return self.page.take(await self.socket.receive_from(timeout=5))

    async def code(self) -> int:
        """Wait for the close and return its code; messages before it are taken."""
        while True:
            output = await self.socket.receive_output(timeout=5)
            if output["type"] == "websocket.close":
                return int(output["code"])

    async def say(self, text: str | bytes) -> None:
        """Send one message."""
        kind = "text" if isinstance(text, str) else "bytes"
        await self.socket.send_input({"type": "websocket.receive", kind: text})


def _connections_close() -> None:
    """Wait for reads still running and close their connections: Channels' communicator has them kept open."""
    all_free = threading.Barrier(hub.READS_AT_ONCE)

    def close() -> None:
        all_free.wait(5)
        connections.close_all()

    for done in [hub.ReadGate._threads.submit(close) for _ in range(hub.READS_AT_ONCE)]:
        done.result(timeout=10)


@pytest.fixture
def session_of(client_of: Callable[[User], Client]) -> Callable[[User], str]:
    """Return a function: user → session key."""
    return lambda user: str(client_of(user).session.session_key)


@pytest.fixture
def portfolio(transactional_db: None, alice: User) -> Portfolio:
    return everything_make(owner=alice)


@pytest.fixture
async def visit(
    portfolio: Portfolio, alice: User, session_of: Callable[[User], str]
) -> AsyncIterator[Connect]:
    """Return a function that opens a socket to Alice's portfolio; all are closed in the end."""
    opened: list[Visitor] = []
    sessions = {alice.pk: await database_sync_to_async(session_of)(alice)}

    async def open_socket(
        user: User | None = alice, portfolio_id: int = portfolio.pk, **more: Any
    ) -> Visitor:
        if user is not None and user.pk not in sessions:
            sessions[user.pk] = await database_sync_to_async(session_of)(user)
        visitor = Visitor(portfolio_id, session=sessions[user.pk] if user else None, **more)
        opened.append(visitor)
        return visitor

    yield open_socket
    for visitor in opened:
        await visitor.socket.disconnect(timeout=5)
    await get_channel_layer().flush()
    await asyncio.to_thread(_connections_close)
    await database_sync_to_async(connections.close_all)()


@database_sync_to_async
def _view(portfolio: Portfolio) -> dict[str, Any]:
    """Read the view anew, as JSON would carry it."""
    fresh = Portfolio.objects.get(pk=portfolio.pk)
    return dict(json.loads(json.dumps(portfolio_view(portfolio=fresh))))


async def _same(visitor: Visitor, portfolio: Portfolio) -> dict[str, Any]:
    """Take messages until the page shows what the database says now; return that.

    :raises AssertionError: it does not within two seconds
    """
    expected = await _view(portfolio)
    try:
        async with asyncio.timeout(2):
            while visitor.page.view != expected:
                await visitor.take()
    except TimeoutError:
        assert visitor.page.view == expected
    assert visitor.page.gaps == 0
    return expected


# ---------------------------------------------------------------- who gets in
async def test_the_owner_gets_the_view(visit: Connect, portfolio: Portfolio) -> None:
    """VIEW-2: first a snapshot: epoch, number, and the document that page and API show."""
    visitor = await visit()
    assert await visitor.connect()
    snapshot = await visitor.take()
    assert set(snapshot) == {"type", "epoch", "seq", "view"}
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 0)
    await _same(visitor, portfolio)
    assert visitor.page.view["portfolio"]["name"] == "Four models"


@pytest.mark.parametrize(("who", "which", "code"), [
    ("charlie", "alices", 4404),
    ("root", "alices", 4404),
    ("charlie", "missing", 4404),
    ("alice", "missing", 4404),
    ("alice", "huge", 4404),
    (None, "alices", 4401),
    (None, "missing", 4401),
])  # fmt: skip
async def test_outsiders_are_closed_with_a_code_and_told_nothing(
    visit: Connect, portfolio: Portfolio, alice: User, charlie: User, who: str | None, which: str, code: int
) -> None:
    """SEC-1: foreign and missing are one; not signed in is another; not a word of the view in either."""
    root = await database_sync_to_async(User.objects.create_superuser)(
        "root@example.com", "a long enough password"
    )
    user = {"charlie": charlie, "alice": alice, "root": root, None: None}[who]
    portfolio_id = {"alices": portfolio.pk, "missing": 987654321, "huge": 10**25}[which]
    visitor = await visit(user, portfolio_id)
    assert await visitor.connect()
    output = await visitor.socket.receive_output(timeout=5)
    assert (output["type"], output["code"]) == ("websocket.close", code)


@pytest.mark.parametrize("origin", [b"https://evil.example", b"http://localhost.evil.example", b"null"])
async def test_another_sites_page_cannot_use_the_session(visit: Connect, origin: bytes) -> None:
    """SEC-1: the handshake of a foreign origin is refused, the right cookie notwithstanding."""
    visitor = await visit(origin=origin)
    assert not await visitor.connect()


async def test_signing_out_closes_the_socket(visit: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-1: the session is looked at again and again; once it is gone the socket goes too."""
    monkeypatch.setattr(consumers, "SESSION_CHECK_S", 0.1)
    visitor = await visit()
    await visitor.connect()
    await visitor.take()
    await asyncio.sleep(0.3)
    await visitor.say('{"type": "ping"}')
    assert (await visitor.take())["type"] == "pong", "a living session keeps its socket"
    await database_sync_to_async(Session.objects.all().delete)()
    assert await visitor.code() == 4401


@pytest.mark.parametrize("change", ["deactivated", "password", "handed over"])
async def test_losing_the_right_closes_the_socket(
    visit: Connect,
    portfolio: Portfolio,
    alice: User,
    charlie: User,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    """SEC-1: a deactivated person, a changed password, a portfolio that is no longer theirs."""
    monkeypatch.setattr(consumers, "SESSION_CHECK_S", 0.1)
    visitor = await visit()
    await visitor.connect()
    await visitor.take()

    def happen() -> None:
        match change:
            case "deactivated":
                User.objects.filter(pk=alice.pk).update(is_active=False)
            case "password":
                alice.set_password("quite another one")
                alice.save()
            case _:
                Portfolio.objects.filter(pk=portfolio.pk).update(owner=charlie)

    await database_sync_to_async(happen)()
    assert await visitor.code() == (4404 if change == "handed over" else 4401)


# ---------------------------------------------------------------- what it may say
async def test_ping_resync_and_nonsense(visit: Connect, portfolio: Portfolio) -> None:
    """VIEW-2: a ping is answered, a resync too; anything else gets an error and changes nothing."""
    visitor = await visit()
    await visitor.connect()
    await visitor.take()
    await visitor.say('{"type": "ping"}')
    pong = await visitor.take()
    assert pong["type"] == "pong"
    assert pong["at"].endswith("Z")
    await visitor.say('{"type": "resync"}')
    again = await visitor.take()
    assert (again["type"], again["epoch"]) == ("snapshot", visitor.page.epoch)
    assert again["view"] == await _view(portfolio)
    objects = ('{"type": 1}', '{"type": "close_all"}', '{"typ": "ping"}')
    for nonsense in ("", "{", "[]", "null", *objects, "x" * 2_000_000, b"\xff\x00"):
        await visitor.say(nonsense)
        answer = await visitor.take()
        assert answer == {
            "type": "error",
            "detail": 'Only {"type": "ping"} and {"type": "resync"} are understood here.',
        }


# ---------------------------------------------------------------- the page equals the database
async def test_every_published_change_keeps_the_page_equal_to_the_database(
    visit: Connect, portfolio: Portfolio
) -> None:
    """VIEW-2: old snapshot + changes = fresh snapshot, through every service that publishes.

    The world of this portfolio stands still, so that two readings of one state are equal.
    """
    follow = await database_sync_to_async(
        lambda: Follow.objects.select_related("trader", "portfolio").get()
    )()
    trader = await database_sync_to_async(trader_make)(key="qwen")

    def second_follow() -> None:
        follow_make(portfolio=portfolio, trader=trader, place=2, weight=0)
        portfolio_changed(portfolio_id=portfolio.pk)

    def arrange() -> None:
        ids = [f.pk for f in Follow.objects.filter(portfolio=portfolio).order_by("-place")]
        follows_arrange(portfolio=portfolio, follow_ids=ids, now=utc_now())

    def price_moves() -> None:
        Mark.objects.filter(instrument_id="BTC").update(price=108_000)
        world_changed(world=portfolio.world)

    def order_ends() -> None:
        order = order_make(portfolio=portfolio, follow=follow)
        order.status = "cancelled"
        order.save()
        decision_make(portfolio=portfolio, follow=follow, order=order, text="Cancelled")
        portfolio_changed(portfolio_id=portfolio.pk)

    def conflict_ends() -> None:
        portfolio.conflicts.update(ended_at=utc_now())
        portfolio_changed(portfolio_id=portfolio.pk)

    steps: list[Callable[[], Any]] = [
        lambda: follow_pause(follow=follow, now=utc_now()),
        lambda: follow_resume(follow=follow, now=utc_now()),
        second_follow,
        arrange,
        price_moves,
        order_ends,
        conflict_ends,
        lambda: portfolio_settings_save(portfolio=portfolio, now=utc_now(), name="Renamed", blocked=["ETH"]),
        lambda: cash_deposit(portfolio=portfolio, amount=Decimal(1_000), key="deposit-1", now=utc_now()),
        lambda: follow_remove(follow=follow, keep_positions=True, now=utc_now()),
    ]
    visitor = await visit()
    await visitor.connect()
    await visitor.take()
    before = await _same(visitor, portfolio)
    for step in steps:
        await database_sync_to_async(step)()
        after = await _same(visitor, portfolio)
        assert after != before, "this step was meant to change what the page shows"
        before = after
    changes = [message for message in visitor.page.messages if message["type"] == "change"]
    assert len(changes) >= len(steps)
    assert [message["seq"] for message in changes] == list(range(1, len(changes) + 1))
    assert [message["type"] for message in visitor.page.messages].count("snapshot") == 1


async def test_each_portfolio_hears_its_own_changes_alone(
    visit: Connect, portfolio: Portfolio, alice: User, charlie: User
) -> None:
    """SEC-1: what happens in Charlie's portfolio is not said on Alice's socket."""
    charlies = await database_sync_to_async(portfolio_make)(owner=charlie, name="Charlie's secret")
    hers, his = await visit(), await visit(charlie, charlies.pk)
    for visitor in (hers, his):
        await visitor.connect()
        await visitor.take()
    await _same(hers, portfolio)
    await asyncio.sleep(hub.MERGE_S * 2)
    await database_sync_to_async(portfolio_settings_save)(
        portfolio=charlies, now=utc_now(), name="Charlie's other secret"
    )
    await _same(his, charlies)
    assert await hers.socket.receive_nothing(timeout=hub.MERGE_S * 2)
    assert "secret" not in json.dumps(hers.page.messages)


async def test_a_reconnect_continues_with_the_fresh_state(visit: Connect, portfolio: Portfolio) -> None:
    """VIEW-2: what happened in between is in the new snapshot; a new hub has a new epoch."""
    first = await visit()
    await first.connect()
    await first.take()
    await first.socket.disconnect()
    await database_sync_to_async(portfolio_settings_save)(portfolio=portfolio, now=utc_now(), name="Renamed")
    second = await visit()
    await second.connect()
    snapshot = await second.take()
    assert snapshot["epoch"] != first.page.epoch
    assert snapshot["view"]["portfolio"]["name"] == "Renamed"
    await _same(second, portfolio)
