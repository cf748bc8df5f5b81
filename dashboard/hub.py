"""One hub per open portfolio and web process: it reads once for all its sockets and sends numbered changes.

A *poke* on the channel layer says only "look again". The hub reads a fresh view from the database,
compares it with the last one and sends the difference; where only prices moved it reads only those.
The first poke is answered at once, later ones are merged for 200 ms; a change of the books does not wait
for the merging of price changes. A poke that is lost costs at most one heartbeat. While the database does
not answer, the last view stands and the sockets are told since when; afterwards they get a snapshot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import orjson
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from accounts.models import User
from accounts.selectors import portfolio_get
from core.clock import utc_now
from core.errors import NotFound
from core.events import PortfolioView, view_diff
from core.ids import epoch_new
from dashboard.outbox import Outbox
from engine.publishing import portfolio_group, world_group
from engine.selectors import portfolio_reading, portfolio_repriced, view_build

logger = logging.getLogger(__name__)

MERGE_S: Final = 0.2
HEARTBEAT_S: Final = 5.0
RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 5.0
READS_AT_ONCE: Final = 4
PRICE_READS_AT_ONCE: Final = 1  # so that a change of the books never queues behind everyone's new prices
NO_SUCH_PORTFOLIO: Final = 4404

Reading = Any  # what a view was built from; only the reader looks inside
Look = Literal[
    "all", "news", "prices"
]  # everything; what may have changed by a commit; prices and worth alone
ViewReader = Callable[[User, int, Look, Reading | None], tuple[Reading, PortfolioView]]


def view_read(
    user: User, portfolio_id: int, look: Look, last: Reading | None
) -> tuple[Reading, PortfolioView]:
    """Read the view of one of the person's portfolios.

    :param last: the last reading, on which "news" and "prices" build; without one everything is read
    :raises NotFound: it is not, or no longer, theirs (looked at with "all")
    """
    if look == "all" or last is None:
        reading = portfolio_reading(portfolio=portfolio_get(user=user, portfolio_id=portfolio_id))
    elif look == "news":
        reading = portfolio_reading(portfolio=last.portfolio, last=last)
    else:
        reading = portfolio_repriced(reading=last)
    return reading, view_build(context=reading)


def now_text() -> str:
    """Return the wall time as it is written in messages."""
    return utc_now().isoformat().replace("+00:00", "Z")


class ReadGate:
    """Runs reads in threads, at most ``READS_AT_ONCE`` together, of which a part may be of prices alone."""

    _threads = ThreadPoolExecutor(max_workers=READS_AT_ONCE, thread_name_prefix="view-read")

    def __init__(self, *, reader: ViewReader) -> None:
        self._read = database_sync_to_async(reader, thread_sensitive=False, executor=self._threads)
        self._any = asyncio.Semaphore(READS_AT_ONCE)
        self._prices = asyncio.Semaphore(PRICE_READS_AT_ONCE)

    async def read(
        self, *, user: User, portfolio_id: int, look: Look, last: Reading | None
    ) -> tuple[Reading, PortfolioView]:
        """Return a reading and its view; raises what the reader raises."""
        if look == "prices":
            async with self._prices, self._any:
                return await self._read(user, portfolio_id, look, last)
        async with self._any:
            return await self._read(user, portfolio_id, look, last)


class PortfolioHub:
    """Holds the last view of one portfolio and tells its sockets what changes."""

    def __init__(self, *, user: User, portfolio_id: int, gate: ReadGate) -> None:
        self.portfolio_id = portfolio_id
        self.epoch = epoch_new()
        self.seq = 0
        self.view: PortfolioView | None = None
        self._reading: Reading | None = None
        self._user = user
        self._gate = gate
        self._outboxes: set[Outbox] = set()
        self._snapshot: str | None = None
        self._read_at = now_text()
        self._stale = False
        self._retry_s = RETRY_FIRST_S
        self._wake = asyncio.Event()
        self._books_poked = self._prices_poked = False
        self._books_ready_at = self._prices_ready_at = self._heartbeat_at = 0.0  # seconds of the loop's clock
        self._ears: dict[str, asyncio.Task[None]] = {}
        self._refresher = asyncio.create_task(self._refresh_forever())

    # ---------------------------------------------------------------- sockets
    def attach(self, outbox: Outbox) -> None:
        """Send this socket the snapshot (when the first read is done) and every change after it."""
        self._outboxes.add(outbox)
        if self.view is not None:
            self.resync(outbox)

    def detach(self, outbox: Outbox) -> bool:
        """Forget a socket; return whether any is left."""
        self._outboxes.discard(outbox)
        return bool(self._outboxes)

    def resync(self, outbox: Outbox) -> None:
        """Send one socket the whole view; before the first read it comes by itself."""
        if self.view is not None:
            outbox.restart(self._snapshot_text())
            if self._stale:
                outbox.put(self._stale_text())

    async def end(self) -> None:
        """Stop reading and listening."""
        tasks = [self._refresher, *self._ears.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---------------------------------------------------------------- pokes
    def poke_books(self) -> None:
        """Look again: something was committed for this portfolio."""
        self._books_poked = True
        self._wake.set()

    def poke_prices(self) -> None:
        """Look again: the world has new prices."""
        self._prices_poked = True
        self._wake.set()

    async def _listen(self, group: str, poke: Callable[[], None]) -> None:
        """Call ``poke`` for each message to ``group``; while Redis is away the heartbeat has to do."""
        layer = get_channel_layer()
        retry_s = RETRY_FIRST_S
        while True:
            channel = ""
            try:
                channel = await layer.new_channel("hub.")
                await layer.group_add(group, channel)
                retry_s = RETRY_FIRST_S
                poke()  # what was committed before we listened
                while True:
                    await layer.receive(channel)
                    poke()
            except (RedisError, OSError) as error:
                logger.warning("not listening to %s (%s); trying again in %.1f s", group, error, retry_s)
            finally:
                if channel:
                    await _group_leave(layer, group, channel)
            await asyncio.sleep(retry_s)
            retry_s = min(RETRY_LONGEST_S, retry_s * 2)

    def _ears_turn(self, world: str | None) -> None:
        """Listen to the portfolio's group and to that of its world, which its first follow fixes."""
        wanted: dict[str, Callable[[], None]] = {portfolio_group(self.portfolio_id): self.poke_books}
        if world:
            wanted[world_group(world)] = self.poke_prices
        for group in self._ears.keys() - wanted.keys():
            self._ears.pop(group).cancel()
        for group in wanted.keys() - self._ears.keys():
            self._ears[group] = asyncio.create_task(self._listen(group, wanted[group]))

    # ---------------------------------------------------------------- reading
    async def _refresh_forever(self) -> None:
        self._ears_turn(None)
        loop = asyncio.get_running_loop()
        while True:
            look = await self._due() if self._reading is not None else "all"
            poked, self._books_poked, self._prices_poked = self._books_poked, False, False
            started = loop.time()
            try:
                self._reading, view = await self._gate.read(
                    user=self._user, portfolio_id=self.portfolio_id, look=look, last=self._reading
                )
            except NotFound:
                self._close_all(NO_SUCH_PORTFOLIO)
                return
            except Exception:  # whatever it is, open pages must be told and the hub must live on
                logger.exception(
                    "portfolio %s could not be read; again in %.1f s", self.portfolio_id, self._retry_s
                )
                self._failed(at=loop.time())
                continue
            self._prices_ready_at = started + MERGE_S
            if poked:  # a heartbeat begins no pause: the next change is a first one
                self._books_ready_at = started + MERGE_S
            if look == "all":
                self._heartbeat_at = started + HEARTBEAT_S
            self._publish(view)
            self._ears_turn(view["portfolio"]["world"])

    async def _due(self) -> Look:
        """Wait until it is time to read; return how much of it."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            books_at = self._books_ready_at if self._books_poked else self._heartbeat_at
            prices_at = self._prices_ready_at if self._prices_poked else self._heartbeat_at
            if self._heartbeat_at <= now:
                return "all"
            if min(books_at, prices_at) <= now:
                return "news" if books_at <= now else "prices"
            self._wake.clear()
            try:
                async with asyncio.timeout_at(min(books_at, prices_at)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _failed(self, *, at: float) -> None:
        """Keep the old view, tell the sockets since when it stands, and try again later."""
        if not self._stale:
            self._stale = True
            self._send_all(self._stale_text())
        self._books_ready_at = self._prices_ready_at = self._heartbeat_at = at + self._retry_s
        self._retry_s = min(RETRY_LONGEST_S, self._retry_s * 2)

    # ---------------------------------------------------------------- sending
    def _publish(self, view: PortfolioView) -> None:
        """Send what changed; after the first read and after a failure, the whole."""
        old, self.view = self.view, view
        self._read_at, self._retry_s = now_text(), RETRY_FIRST_S
        change = view_diff(view if old is None else old, view)
        changed = bool(change["set"] or change["drop"])
        if changed:
            self.seq += 1
            self._snapshot = None
        if old is None or self._stale:
            self._stale = False
            for outbox in self._outboxes:
                outbox.restart(self._snapshot_text())
        elif changed:
            head = {"type": "change", "epoch": self.epoch, "seq": self.seq, "at": self._read_at}
            self._send_all(_text({**head, **change}))

    def _send_all(self, text: str) -> None:
        for outbox in self._outboxes:
            outbox.put(text)

    def _close_all(self, code: int) -> None:
        for outbox in self._outboxes:
            outbox.close(code)

    def _snapshot_text(self) -> str:
        """Return the snapshot message, serialised once per change."""
        if self._snapshot is None:
            head = {"type": "snapshot", "epoch": self.epoch, "seq": self.seq}
            self._snapshot = _text({**head, "view": self.view})
        return self._snapshot

    def _stale_text(self) -> str:
        return _text({"type": "stale", "since": self._read_at})


class HubRegistry:
    """The hubs of one event loop: made with a portfolio's first socket, ended with its last."""

    def __init__(self, *, reader: ViewReader = view_read) -> None:
        self._gate = ReadGate(reader=reader)
        self.hubs: dict[int, PortfolioHub] = {}

    def attach(self, *, user: User, portfolio_id: int, outbox: Outbox) -> PortfolioHub:
        """Connect a socket of the portfolio's owner; the caller has checked that it is the owner's."""
        hub = self.hubs.get(portfolio_id)
        if hub is None:
            hub = PortfolioHub(user=user, portfolio_id=portfolio_id, gate=self._gate)
            self.hubs[portfolio_id] = hub
        hub.attach(outbox)
        return hub

    async def detach(self, *, hub: PortfolioHub, outbox: Outbox) -> None:
        """Disconnect a socket."""
        if not hub.detach(outbox):
            if self.hubs.get(hub.portfolio_id) is hub:
                del self.hubs[hub.portfolio_id]
            await hub.end()


_registries: WeakKeyDictionary[asyncio.AbstractEventLoop, HubRegistry] = WeakKeyDictionary()


def hub_registry() -> HubRegistry:
    """Return the running event loop's registry."""
    return _registries.setdefault(asyncio.get_running_loop(), HubRegistry())


def _text(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode()


async def _group_leave(layer: Any, group: str, channel: str) -> None:
    try:
        await layer.group_discard(group, channel)
    except (RedisError, OSError) as error:
        logger.info("left %s without telling Redis (%s)", group, error)
