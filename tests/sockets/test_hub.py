"""VIEW-2: one hub per open portfolio reads once for all its sockets and sends numbered changes.

The view comes from a stand-in, the pokes from the real Redis.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError
from redis import Redis

from accounts.models import User
from core.errors import NotFound
from dashboard import hub as hub_module
from dashboard.hub import MERGE_S, HubRegistry, PortfolioHub
from dashboard.outbox import Outbox
from engine.publishing import portfolio_group, world_group
from tests.sockets.views import FakeReader, Page, view_make

POKE = {"type": "poke"}
PROMPT_S = MERGE_S / 2  # less than the merging pause, with room for a busy machine


class Socket:
    """One socket's outbox, with the page at its other end."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.page = Page()

    async def take(self, *, within_s: float = 3.0) -> dict[str, Any]:
        """Return the next message."""
        async with asyncio.timeout(within_s):
            text = await self.outbox.get()
        assert text is not None, f"closed with {self.outbox.close_code}"
        return self.page.take(text)

    async def silent(self, *, for_s: float) -> bool:
        """Tell whether nothing arrives for this long."""
        try:
            await self.take(within_s=for_s)
        except TimeoutError:
            return True
        return False


class Room:
    """A registry with a stand-in for the database."""

    def __init__(self) -> None:
        self.reader = FakeReader(view_make(world="replay:set"))
        self.registry = HubRegistry(reader=self.reader)
        self._joined: list[tuple[PortfolioHub, Socket]] = []

    async def join(self, portfolio_id: int = 7) -> Socket:
        """Connect a socket; returns once it has its snapshot and the hub listens to both groups."""
        socket = Socket()
        hub = self.registry.attach(user=User(pk=1), portfolio_id=portfolio_id, outbox=socket.outbox)
        self._joined.append((hub, socket))
        assert (await socket.take())["type"] == "snapshot"
        await self.settled(hub)
        return socket

    async def settled(self, hub: PortfolioHub) -> None:
        """Wait until the pokes of starting to listen are answered and the merging pauses are over."""
        async with asyncio.timeout(5):
            reads = -1
            while reads != self.reader.reads.total():
                reads = self.reader.reads.total()
                await asyncio.sleep(MERGE_S * 1.5)

    async def poke(self, group: str) -> None:
        """Say "look again"."""
        await get_channel_layer().group_send(group, POKE)

    async def close(self) -> None:
        """Disconnect everybody."""
        for hub, socket in self._joined:
            await self.registry.detach(hub=hub, outbox=socket.outbox)
        self._joined.clear()


@pytest.fixture
async def room(redis_client: Redis) -> AsyncIterator[Room]:
    room = Room()
    yield room
    await room.close()
    await get_channel_layer().flush()


async def test_a_poke_sends_the_difference_numbered(room: Room) -> None:
    """VIEW-2: snapshot 0, then change 1, 2, …; applied, the page shows what the database says."""
    socket = await room.join()
    assert (socket.page.seq, socket.page.view) == (0, room.reader.view)

    for number, equity in enumerate(("10001", "10002", "10003"), start=1):
        room.reader.view = view_make(equity=equity, world="replay:set")
        await room.poke(portfolio_group(7))
        message = await socket.take()
        assert message["type"] == "change"
        assert message["seq"] == number
        assert message["set"] == {"kpis": {"equity": equity}}
        assert message["drop"] == {}
        assert socket.page.view == room.reader.view
    assert socket.page.gaps == 0


async def test_first_poke_at_once_later_ones_merged(room: Room) -> None:
    """SPEC "Push": the first change leaves at once, later ones merge for 200 ms."""
    socket = await room.join()
    loop = asyncio.get_running_loop()
    reads = room.reader.reads.total()

    room.reader.view = view_make(equity="1")
    started = loop.time()
    await room.poke(portfolio_group(7))
    await socket.take()
    assert loop.time() - started < PROMPT_S

    for equity in ("2", "3", "4", "5"):
        room.reader.view = view_make(equity=equity)
        await room.poke(portfolio_group(7))
    message = await socket.take()
    assert message["set"]["kpis"] == {"equity": "5"}
    assert MERGE_S * 0.9 < loop.time() - started < MERGE_S * 2
    assert await socket.silent(for_s=MERGE_S * 2)
    assert room.reader.reads.total() == reads + 2


async def test_a_change_of_the_books_does_not_wait_for_prices(room: Room) -> None:
    """SPEC "Push": a commit right after a price change leaves at once; further prices wait their 200 ms."""
    socket = await room.join()
    loop = asyncio.get_running_loop()

    room.reader.view = view_make(equity="1", world="replay:set")
    await room.poke(world_group("replay:set"))
    await socket.take()

    started = loop.time()
    room.reader.view = view_make(equity="2", world="replay:set")
    await room.poke(portfolio_group(7))
    await socket.take()
    assert loop.time() - started < PROMPT_S

    room.reader.view = view_make(equity="3", world="replay:set")
    await room.poke(world_group("replay:set"))
    await socket.take()
    assert loop.time() - started > MERGE_S * 0.9


async def test_a_heartbeat_does_not_hold_a_change_up(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC "Push": a commit right after a heartbeat is a first change and leaves at once."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 1.0)
    socket = await room.join()
    loop = asyncio.get_running_loop()
    whole = room.reader.reads["all"]
    async with asyncio.timeout(5):
        while room.reader.reads["all"] == whole:  # noqa: ASYNC110 - counted in a thread
            await asyncio.sleep(0.01)
    started = loop.time()
    room.reader.view = view_make(equity="1", world="replay:set")
    await room.poke(portfolio_group(7))
    await socket.take()
    assert loop.time() - started < PROMPT_S


async def test_a_poke_without_a_change_sends_nothing(room: Room) -> None:
    """VIEW-2: what did not change is not sent and takes no number."""
    socket = await room.join()
    await room.poke(portfolio_group(7))
    assert await socket.silent(for_s=MERGE_S * 2)
    assert socket.page.seq == 0


async def test_a_lost_poke_costs_a_heartbeat(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """VIEW-2: without any poke the page is right again after one heartbeat."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.6)
    socket = await room.join()
    room.reader.view = view_make(equity="1")
    message = await socket.take()
    assert (message["type"], message["set"]["kpis"]) == ("change", {"equity": "1"})


async def test_prices_alone_do_not_read_the_books(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """VIEW-2: a price change reprices the last reading."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 60.0)
    socket = await room.join()
    before = room.reader.reads.copy()
    for number in range(3):
        room.reader.view = view_make(equity=str(number), world="replay:set")
        await room.poke(world_group("replay:set"))
        await socket.take()
    assert room.reader.reads - before == {"prices": 3}
    room.reader.view = view_make(equity="9", world="replay:set")
    await room.poke(portfolio_group(7))
    await socket.take()
    assert room.reader.reads - before == {"prices": 3, "news": 1}


async def test_prices_do_not_put_the_heartbeat_off(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """VIEW-2: however often prices move and commits come, everything is read again at the heartbeat."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.8)
    await room.join()
    whole = room.reader.reads["all"]
    async with asyncio.timeout(10):
        while room.reader.reads["all"] < whole + 2:
            await room.poke(world_group("replay:set"))
            await room.poke(portfolio_group(7))
            await asyncio.sleep(MERGE_S / 2)


async def test_one_read_serves_every_socket(room: Room) -> None:
    """VIEW-2: fifty sockets cost one read and get the same text."""
    sockets = [await room.join()]
    for _ in range(49):
        sockets.append(Socket())
        hub = room.registry.attach(user=User(pk=1), portfolio_id=7, outbox=sockets[-1].outbox)
        room._joined.append((hub, sockets[-1]))
        await sockets[-1].take()
    reads = room.reader.reads.total()
    room.reader.view = view_make(equity="1", world="replay:set")
    await room.poke(portfolio_group(7))
    messages = [await socket.take() for socket in sockets]
    assert room.reader.reads.total() == reads + 1
    assert all(message == messages[0] for message in messages)
    assert len(room.registry.hubs) == 1


async def test_a_late_socket_continues_from_its_snapshot(room: Room) -> None:
    """VIEW-2: a reconnect gets the whole with the number of its last change, then the next change fits."""
    first = await room.join()
    room.reader.view = view_make(equity="1", world="replay:set")
    await room.poke(portfolio_group(7))
    await first.take()

    late = Socket()
    hub = room.registry.attach(user=User(pk=1), portfolio_id=7, outbox=late.outbox)
    room._joined.append((hub, late))
    snapshot = await late.take()
    assert (snapshot["seq"], snapshot["view"]) == (1, room.reader.view)
    assert snapshot["epoch"] == first.page.epoch

    await room.settled(hub)
    room.reader.view = view_make(equity="2", world="replay:set")
    await room.poke(portfolio_group(7))
    await late.take()
    await first.take()
    assert late.page.gaps == first.page.gaps == 0
    assert late.page.view == first.page.view == room.reader.view


async def test_a_gap_is_healed_by_a_resync(room: Room) -> None:
    """VIEW-2: a page that missed a change notices, asks, and shows the same as everybody."""
    socket = await room.join()
    hub = room.registry.hubs[7]
    room.reader.view = view_make(equity="1", world="replay:set")
    await room.poke(portfolio_group(7))
    async with asyncio.timeout(3):
        assert await socket.outbox.get() is not None  # lost on the way: the page never takes it
    await room.settled(hub)

    room.reader.view = view_make(equity="2", world="replay:set")
    await room.poke(portfolio_group(7))
    await socket.take()
    assert socket.page.gaps == 1

    hub.resync(socket.outbox)
    assert (await socket.take())["seq"] == 2
    assert socket.page.view == room.reader.view


async def test_a_slow_socket_is_cut_off_alone(room: Room) -> None:
    """VIEW-2: who does not read is closed with 1013; the others get everything."""
    slow, quick = await room.join(), await room.join()
    slow.outbox._longest = 2
    for number in range(4):
        room.reader.view = view_make(equity=str(number), world="replay:set")
        await room.poke(portfolio_group(7))
        await quick.take()
    assert slow.outbox.close_code == 1013
    assert quick.outbox.close_code is None
    assert quick.page.view == room.reader.view


async def test_database_away_keeps_the_view_and_says_since_when(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VIEW-2: stale is told once, the view stays, newcomers learn it too, a snapshot heals it."""
    monkeypatch.setattr(hub_module, "RETRY_FIRST_S", 0.1)
    socket = await room.join()
    room.reader.error = OperationalError("the database is restarting")
    await room.poke(portfolio_group(7))
    assert (await socket.take())["type"] == "stale"
    since = socket.page.stale_since
    assert since is not None
    assert since.endswith("Z")
    assert socket.page.view == room.reader.view

    newcomer = Socket()
    hub = room.registry.attach(user=User(pk=1), portfolio_id=7, outbox=newcomer.outbox)
    room._joined.append((hub, newcomer))
    assert [(await newcomer.take())["type"] for _ in range(2)] == ["snapshot", "stale"]
    assert newcomer.page.stale_since == since
    reads = room.reader.reads.total()
    assert await socket.silent(for_s=0.5), "stale is told once, not with every try"
    assert room.reader.reads.total() > reads

    room.reader.error = None
    room.reader.view = view_make(equity="2")
    message = await socket.take(within_s=6)
    assert (message["type"], message["seq"]) == ("snapshot", 1)
    assert socket.page.view == room.reader.view
    assert socket.page.stale_since is None


async def test_an_unexpected_fault_does_not_end_the_hub(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """VIEW-2: even a fault of our own is told to the page and in the log, and tried again."""
    monkeypatch.setattr(hub_module, "RETRY_FIRST_S", 0.1)
    socket = await room.join()
    room.reader.error = ZeroDivisionError("a fault")
    await room.poke(portfolio_group(7))
    assert (await socket.take())["type"] == "stale"
    assert "portfolio 7 could not be read" in caplog.text
    room.reader.error = None
    assert (await socket.take(within_s=6))["type"] == "snapshot"


async def test_a_portfolio_that_is_gone_closes_its_sockets(room: Room) -> None:
    """SEC-1: once it is no longer this person's, nothing more is said."""
    socket = await room.join()
    room.reader.error = NotFound("gone")
    await room.poke(portfolio_group(7))
    async with asyncio.timeout(3):
        assert await socket.outbox.get() is None
    assert socket.outbox.close_code == 4404


async def test_the_first_follow_brings_the_worlds_prices(room: Room, redis_client: Redis) -> None:
    """VIEW-2: a portfolio without a world listens to its world from the moment it has one."""
    room.reader.view = view_make(world=None)
    socket = await room.join()
    room.reader.view = view_make(world="replay:set", equity="1")
    await room.poke(portfolio_group(7))
    await socket.take()
    await room.settled(room.registry.hubs[7])
    room.reader.view = view_make(world="replay:set", equity="2")
    await room.poke(world_group("replay:set"))
    assert (await socket.take())["set"] == {"kpis": {"equity": "2"}}


async def test_the_last_socket_ends_the_hub(room: Room, redis_client: Redis) -> None:
    """VIEW-2: a portfolio nobody looks at costs nothing: no reads, no subscriptions."""
    one, two = await room.join(), await room.join()
    hub = room.registry.hubs[7]
    await room.registry.detach(hub=hub, outbox=one.outbox)
    assert 7 in room.registry.hubs
    await room.registry.detach(hub=hub, outbox=two.outbox)
    room._joined.clear()
    assert room.registry.hubs == {}
    assert redis_client.pubsub_channels() == []
    reads = room.reader.reads.total()
    await room.poke(portfolio_group(7))
    await asyncio.sleep(MERGE_S)
    assert room.reader.reads.total() == reads


async def test_price_reads_leave_room_for_the_books(redis_client: Redis) -> None:
    """VIEW-2: of four reads at once at most one is for prices, so a commit is never behind them all."""
    room = Room()
    running, most, guard, go = 0, 0, threading.Lock(), threading.Event()

    def before_read() -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        go.wait(5)
        with guard:
            running -= 1

    room.reader.before_read = before_read
    gate = room.registry._gate

    def look(kind: hub_module.Look, count: int) -> list[asyncio.Task[Any]]:
        who = User(pk=1)
        reads = (gate.read(user=who, portfolio_id=n, look=kind, last=0) for n in range(count))
        return [asyncio.create_task(read) for read in reads]

    prices = look("prices", 10)
    await asyncio.sleep(0.2)
    assert running == 1
    books = look("news", 10)
    await asyncio.sleep(0.2)
    assert running == 4
    go.set()
    await asyncio.gather(*prices, *books)
    assert most == 4
