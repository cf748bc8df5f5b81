"""VIEW-2 on the real server: two hundred sockets over many portfolios, a slow reader, a restarted Redis."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connections
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from accounts.models import Portfolio, User
from core.clock import utc_now
from dashboard import hub as hub_module
from dashboard.hub import HubRegistry
from dashboard.outbox import LONGEST, Outbox
from engine.portfolios import portfolio_settings_save
from engine.publishing import portfolio_group
from portfolio_site.embedded import EmbeddedRedis
from portfolio_site.processes import Child
from tests.api.making import everything_make, portfolio_make
from tests.running import TestProcesses, wait_until
from tests.sockets.views import FakeReader, Page, view_make

PORTFOLIOS = 8
SOCKETS = 200
SMALL_BUFFER = 16 * 1024  # bytes


class Reader:
    """A connection and the page it keeps."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.page = Page()

    async def take(self, *, within_s: float = 10) -> dict[str, Any]:
        """Take the next message."""
        async with asyncio.timeout(within_s):
            return self.page.take(str(await self.connection.recv()))

    async def named(self, name: str) -> float:
        """Take messages until the portfolio has this name; return the loop's time at that moment."""
        while self.page.view is None or self.page.view["portfolio"]["name"] != name:
            await self.take()
        return time.perf_counter()


@asynccontextmanager
async def _reader(base: str, portfolio_id: int, session: str) -> AsyncIterator[Reader]:
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)  # so that not reading is felt soon
    wire.connect(("127.0.0.1", urlsplit(base).port))
    async with connect(
        f"{base.replace('http', 'ws')}/ws/portfolios/{portfolio_id}/",
        origin=base,
        additional_headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"},
        max_size=None,
        ping_interval=None,
        compression=None,
        sock=wire,
    ) as connection:
        yield Reader(connection)


@pytest.fixture
def portfolios(processes: TestProcesses, alice: User) -> list[Portfolio]:
    """Eight portfolios of Alice's, the first with something of everything."""
    return [everything_make(owner=alice)] + [
        portfolio_make(owner=alice, name=f"Number {number}") for number in range(1, PORTFOLIOS)
    ]


@pytest.fixture
def web(processes: TestProcesses) -> tuple[str, Child]:
    return processes.web()


@pytest.fixture
def base(web: tuple[str, Child]) -> str:
    return web[0]


@pytest.fixture
def session(alice: User, client_of: Callable[[User], Client]) -> str:
    return str(client_of(alice).session.session_key)


@pytest.mark.slow
async def test_two_hundred_sockets_hear_every_commit(
    base: str, portfolios: list[Portfolio], session: str
) -> None:
    """VIEW-2: 200 sockets over 8 portfolios; each commit reaches those of its portfolio, no others."""
    rename = database_sync_to_async(portfolio_settings_save)
    readers: list[Reader] = []
    async with asyncio.timeout(120), AsyncExitStack() as stack:
        for number in range(SOCKETS):
            portfolio = portfolios[number % PORTFOLIOS]
            readers.append(await stack.enter_async_context(_reader(base, portfolio.pk, session)))
        await asyncio.gather(*(reader.take() for reader in readers))
        assert all(reader.page.seq == 0 for reader in readers)

        slowest = 0.0
        for round_ in range(3):
            for number, portfolio in enumerate(portfolios):
                name = f"Round {round_} of {number}"
                mine = readers[number::PORTFOLIOS]
                committed = time.perf_counter()
                await rename(portfolio=portfolio, now=utc_now(), name=name)
                heard = await asyncio.gather(*(reader.named(name) for reader in mine))
                slowest = max(slowest, max(heard) - committed)
        for number, reader in enumerate(readers):
            assert reader.page.gaps == 0
            assert reader.page.view["portfolio"]["name"] == f"Round 2 of {number % PORTFOLIOS}"
            snapshots = [m for m in reader.page.messages if m["type"] == "snapshot"]
            assert len(snapshots) == 1, "nobody had to ask again"
        assert slowest < 3, "seconds from the call that commits to the last of its sockets"
    await database_sync_to_async(connections.close_all)()


@pytest.mark.slow
async def test_a_reader_that_stops_reading_is_cut_off(
    web: tuple[str, Child], portfolios: list[Portfolio], session: str
) -> None:
    """VIEW-2: one who asks and never reads is closed with 1013; another on the same portfolio goes on."""
    (base, server), portfolio = web, portfolios[0]
    async with (
        asyncio.timeout(120),
        _reader(base, portfolio.pk, session) as slow,
        _reader(base, portfolio.pk, session) as quick,
    ):
        await slow.take()
        await quick.take()
        slow.connection.transport.pause_reading()
        asking = asyncio.create_task(_ask_without_reading(slow.connection))
        await database_sync_to_async(portfolio_settings_save)(
            portfolio=portfolio, now=utc_now(), name="Still here"
        )
        await quick.named("Still here")
        await asking
        cut_off = partial(wait_until, lambda: "a slow socket is cut off" in server.log_text(), what="cut off")
        await asyncio.to_thread(cut_off)
        slow.connection.transport.resume_reading()
        with suppress(ConnectionClosed):
            while True:
                await slow.take()
        assert slow.connection.close_code == 1013
        await quick.connection.send('{"type": "ping"}')
        while (await quick.take())["type"] != "pong":
            pass
    await database_sync_to_async(connections.close_all)()


async def _ask_without_reading(connection: ClientConnection) -> None:
    """Have snapshots fill the buffers between here and the server, then more pings than the outbox holds."""
    for _ in range(4_000):
        await connection.send('{"type": "resync"}')
    for _ in range(2 * LONGEST):
        await connection.send('{"type": "ping"}')


async def test_redis_restarted_while_a_socket_is_open(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ISSUE "Faults": while Redis is away the heartbeat keeps the page right; after it, pokes work again."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.5)
    redis = EmbeddedRedis(var_dir=tmp_path)
    child = redis.start()
    layer = settings.CHANNEL_LAYERS["default"]
    hosts = [f"unix://{redis.socket_path}?db=0"]
    settings.CHANNEL_LAYERS = {"default": {**layer, "CONFIG": {**layer["CONFIG"], "hosts": hosts}}}
    reader = FakeReader(view_make())
    registry, outbox, page = HubRegistry(reader=reader), Outbox(), Page()
    hub = registry.attach(user=User(pk=1), portfolio_id=7, outbox=outbox)

    async def shown(equity: str, *, within_s: float) -> float:
        started = time.perf_counter()
        reader.view = view_make(equity=equity)
        async with asyncio.timeout(within_s):
            while page.view is None or page.view["kpis"]["equity"] != equity:
                text = await outbox.get()
                assert text is not None
                page.take(text)
        return time.perf_counter() - started

    try:
        await shown("1", within_s=5)
        child.kill()
        await asyncio.to_thread(child.wait, timeout_s=5)
        await shown("2", within_s=5)
        child = redis.start()
        monkeypatch.setattr(hub_module, "HEARTBEAT_S", 60.0)
        await shown("3", within_s=5)  # the last short heartbeat; from here on only a poke brings news

        async def poke_until_heard() -> None:
            while True:
                with suppress(OSError):
                    await get_channel_layer().group_send(portfolio_group(7), {"type": "poke"})
                await asyncio.sleep(0.1)

        poking = asyncio.create_task(poke_until_heard())
        await shown("4", within_s=15)
        poking.cancel()
        assert page.gaps == 0
    finally:
        await registry.detach(hub=hub, outbox=outbox)
        await get_channel_layer().flush()
        child.kill()
