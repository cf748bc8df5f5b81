"""Live prices: one request for the venue, one more per builder's dex, while somebody needs them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog
from django.db import connection

from core.clock import Clock
from core.errors import EnsembleError, RateLimited
from markets.domain.returns import hour_of
from markets.feed_hooks import FeedHooks, Stop, guarded
from markets.hyperliquid import (
    Contexts,
    InfoClient,
    Meta,
    contexts_from,
    instruments_from_meta,
    usable_mids,
)
from markets.models import LIVE, World
from markets.selectors import instrument_codes, world_get
from markets.services import (
    contexts_write,
    instruments_refresh,
    marks_write,
    samples_write,
    world_ensure,
)

log = structlog.get_logger(__name__)
LIVE_POLL_S: Final = 5.0
LIVE_POLL_SLOWEST_S: Final = 60.0
META_EVERY_S: Final = 3600.0
CONTEXTS_EVERY_S: Final = 300.0
LIVE_WAIT_S: Final = 4.0  # longest wait for room in the budget


class LivePoller:
    """Polls live prices while somebody needs them: one request for the venue, one more per builder's dex."""

    def __init__(self, *, clock: Clock, hooks: FeedHooks, client: InfoClient | None = None) -> None:
        self._clock = clock
        self._hooks = hooks
        self._client = client
        self._failures = 0
        self._meta_s: dict[str, float] = {}
        self._contexts_s = float("-inf")
        self._sampled_at: datetime | None = None  # the hour whose prices were kept last

    def run(self, stop: Stop) -> None:
        """Poll every 5 seconds until stopped; failures stretch the pause up to a minute, with jitter."""
        with asyncio.Runner() as runner:
            try:
                while not stop.is_set():
                    guarded("live_poll_failed", lambda: self.poll(runner))
                    stop.wait(self.pause_s())
            finally:
                if self._client is not None:
                    runner.run(self._client.close())
                connection.close()

    def pause_s(self) -> float:
        """Return the seconds until the next poll."""
        if not self._failures:
            return LIVE_POLL_S
        slowest = min(LIVE_POLL_SLOWEST_S, LIVE_POLL_S * 2.0 ** min(self._failures, 10))
        return random.uniform(LIVE_POLL_S, slowest)  # noqa: S311 - jitter, no secret

    def poll(self, runner: asyncio.Runner) -> None:
        """Fetch live prices once and write the marks of known instruments, if anybody needs them."""
        if not self._hooks.live_wanted():
            self._failures = 0
            return
        dexes = ("", *sorted(self._hooks.live_dexes()))
        world = world_ensure(name=LIVE, now=self._clock.now())
        try:
            for dex in dexes:
                self._instruments(runner, dex)
            mids: dict[str, Decimal] = {}
            for dex in dexes:
                mids |= runner.run(self._mids(dex))
        except EnsembleError as error:
            self._failures += 1
            pressed = isinstance(error, RateLimited)
            log.warning(
                "live_prices_unavailable", error=str(error), failures=self._failures, rate_limited=pressed
            )
            return
        self._failures = 0
        self._write(world, mids)
        self._contexts(runner, dexes)

    def _write(self, world: World, mids: Mapping[str, Decimal]) -> None:
        known = instrument_codes()
        now = self._clock.now()
        prices = {code: price for code, price in mids.items() if code in known}
        if prices:
            marks_write(world=world, prices=prices, quoted_at=now, received_at=now)
            if self._sampled_at != hour_of(now) and samples_write(world=world, prices=prices, at=now):
                self._sampled_at = hour_of(now)
            self._hooks.on_marks(world_get(name=world.name))

    def _instruments(self, runner: asyncio.Runner, dex: str) -> None:
        """Take over the venue's rules of a dex once an hour."""
        now_s = self._clock.monotonic_s()
        if now_s - self._meta_s.get(dex, float("-inf")) < META_EVERY_S:
            return
        meta = runner.run(self._meta(dex))
        note = f"Hyperliquid meta{f' of dex {dex}' if dex else ''}, {self._clock.now():%d %b %Y}"
        instruments_refresh(instruments=instruments_from_meta(meta, source_note=note))
        self._meta_s[dex] = now_s

    def _contexts(self, runner: asyncio.Runner, dexes: Iterable[str]) -> None:
        """Read every five minutes how much trades; prices never wait for it, and without it ranks say so."""
        now_s = self._clock.monotonic_s()
        if now_s - self._contexts_s < CONTEXTS_EVERY_S:
            return
        self._contexts_s = now_s
        try:
            for dex in dexes:
                answer = runner.run(self._context(dex))
                contexts_write(contexts=contexts_from(answer), at=self._clock.now())
        except EnsembleError as error:
            log.warning("live_contexts_unavailable", error=str(error))

    async def _context(self, dex: str) -> Contexts:
        request = _of_dex("metaAndAssetCtxs", dex)
        answer: Contexts = await self._info().ask(request, Contexts, max_wait_s=LIVE_WAIT_S)  # type: ignore[arg-type]
        return answer

    async def _meta(self, dex: str) -> Meta:
        return await self._info().ask(_of_dex("meta", dex), Meta, max_wait_s=LIVE_WAIT_S)

    async def _mids(self, dex: str) -> dict[str, Decimal]:
        mids = await self._info().ask(_of_dex("allMids", dex), dict[str, Decimal], max_wait_s=LIVE_WAIT_S)
        return usable_mids(mids)

    def _info(self) -> InfoClient:
        """Return the client, made inside the loop it belongs to."""
        if self._client is None:
            self._client = InfoClient()
        return self._client


def _of_dex(request: str, dex: str) -> dict[str, str]:
    return {"type": request, "dex": dex} if dex else {"type": request}
