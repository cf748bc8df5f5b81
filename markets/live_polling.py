"""What is asked of the venue by request: its rules, how much trades, and prices that no socket tells."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

import structlog

from core.clock import Clock
from core.errors import EnsembleError, RateLimited
from markets.domain.allowance import BudgetPriority
from markets.hyperliquid import Contexts, InfoClient, Meta, contexts_from, instruments_from_meta
from markets.price_markets import price_markets_release
from markets.services import contexts_write, instruments_refresh

log = structlog.get_logger(__name__)
LIVE_POLL_S: Final = 5.0
LIVE_POLL_SLOWEST_S: Final = 60.0
META_EVERY_S: Final = 3600.0
CONTEXTS_EVERY_S: Final = 300.0
LIVE_WAIT_S: Final = 4.0  # longest wait for room in the budget


class LivePoller:
    """Asks for one thing at a time: one request for the venue, one more per builder's dex."""

    def __init__(self, *, clock: Clock, client: InfoClient | None = None) -> None:
        self.client = client or InfoClient()
        self._clock = clock
        self._failures = 0
        self._meta_s: dict[str, float] = {}
        self._contexts_s = float("-inf")

    @property
    def failing(self) -> bool:
        """Did the last poll fail?"""
        return self._failures > 0

    def pause_s(self) -> float:
        """Return the seconds until the next poll; failures stretch it up to a minute, with jitter."""
        if not self._failures:
            return LIVE_POLL_S
        slowest = min(LIVE_POLL_SLOWEST_S, LIVE_POLL_S * 2.0 ** min(self._failures, 10))
        return random.uniform(LIVE_POLL_S, slowest)  # noqa: S311 - jitter, no secret

    def rest(self) -> None:
        """Begin anew after nobody needed prices."""
        self._failures = 0

    def poll(
        self,
        runner: asyncio.Runner,
        *,
        dexes: Iterable[str],
        silent: Callable[[str], bool],
        tell: Callable[[Mapping[str, Decimal]], None],
        on_rules: Callable[[], None],
    ) -> None:
        """Ask what is due: rules once an hour, prices of dexes that are silent, volumes every five minutes.

        :param dexes: "" is the venue's own
        :param silent: did no socket tell prices of this dex lately?
        :param on_rules: called when instruments may have come, before their first prices
        """
        dexes = tuple(dexes)
        try:
            if [dex for dex in dexes if self._instruments(runner, dex)]:
                on_rules()
            for dex in filter(silent, dexes):
                tell(runner.run(self._mids(dex)))
        except EnsembleError as error:
            self._failures += 1
            pressed = isinstance(error, RateLimited)
            log.warning(
                "live_prices_unavailable", error=str(error), failures=self._failures, rate_limited=pressed
            )
            return
        self._failures = 0
        self._contexts(runner, dexes)

    def _instruments(self, runner: asyncio.Runner, dex: str) -> bool:
        """Take over the venue's rules of a dex once an hour; tell whether it did."""
        now_s = self._clock.monotonic_s()
        if now_s - self._meta_s.get(dex, float("-inf")) < META_EVERY_S:
            return False
        meta = runner.run(self._meta(dex))
        note = f"Hyperliquid meta{f' of dex {dex}' if dex else ''}, {self._clock.now():%d %b %Y}"
        instruments = instruments_from_meta(meta, source_note=note)
        instruments_refresh(instruments=instruments)
        price_markets_release(codes=[record.spec.code for record in instruments])
        self._meta_s[dex] = now_s
        return True

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
        answer: Contexts = await self.client.ask(request, Contexts, max_wait_s=LIVE_WAIT_S)  # type: ignore[arg-type]
        return answer

    async def _meta(self, dex: str) -> Meta:
        return await self.client.ask(_of_dex("meta", dex), Meta, max_wait_s=LIVE_WAIT_S)

    async def _mids(self, dex: str) -> dict[str, Decimal]:
        return await self.client.ask(
            _of_dex("allMids", dex),
            dict[str, Decimal],
            max_wait_s=LIVE_WAIT_S,
            priority=BudgetPriority.EXIT,  # while the socket is silent, stops live on these prices
        )


def _of_dex(request: str, dex: str) -> dict[str, str]:
    return {"type": request, "dex": dex} if dex else {"type": request}
