"""The source of public Hyperliquid wallets: perpetuals, builders' dexes (``dex:COIN``), spot, unified mode.

Equity, counted once:

- Standard accounts keep perpetuals and spot apart: the account value of every dex (cash and unrealized P&L)
  plus all spot balances at their mid.
- Unified and portfolio-margin accounts keep all collateral in spot, and the dexes' account values mean
  nothing: all spot balances at their mid plus the unrealized P&L of every open perpetual.

Spot balances are equity and never positions to copy. So are deposits in vaults and staked HYPE
(``wallet_asides``), said beside the trader. A vault is read like a wallet; vaults that trade for it (HLP's)
are read with it and netted. Sub-accounts are accounts of their own: follow their address.

Which kind an account is, and on which dexes it is active, is asked for once an hour. A read fails as
a whole when one of its parts does, because half a state would look like closed positions.
Sources: Hyperliquid docs, "Info endpoint", "Account abstraction modes"; recorded answers in ``tests/data``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec
from django.conf import settings

from core.clock import WorldTime
from core.decimals import ZERO
from core.errors import BadAnswer, EnsembleError, RateLimited
from core.instruments import STABLECOINS
from markets.hyperliquid import InfoClient
from traders.domain.reads import (
    ReadResult,
    RecentPnl,
    TraderRead,
)
from traders.sources.base import SourceHistory, read_failure
from traders.sources.hyperliquid_state import (
    PerpState,
    SpotBalance,
    SpotState,
    equity_of,
    positions_netted,
    positions_of,
    to_money_or_nan,
)
from traders.sources.wallet_asides import HYPE, WalletAside, aside_ask
from traders.sources.wallet_profiles import WalletProfile, WalletProfiles

T = TypeVar("T")
PERP_STATE: Final = "clearinghouseState"
SPOT_STATE: Final = "spotClearinghouseState"
UNIFIED_MODES: Final = frozenset({"unifiedAccount", "portfolioMargin"})
MIDS_KEPT_S: Final = 10.0
HISTORY_WAIT_S: Final = 8.0
ASIDE_PAUSE: Final = timedelta(minutes=1)  # before what could not be asked is tried again
_SPANS: Final = {
    "day": "Last 24 hours",
    "week": "Last 7 days",
    "month": "Last 30 days",
    "allTime": "All time",
}


class _Dex(msgspec.Struct, frozen=True):
    name: str


class _SpotPair(msgspec.Struct, frozen=True):
    name: str
    tokens: tuple[int, int]


class _SpotMeta(msgspec.Struct, frozen=True):
    universe: tuple[_SpotPair, ...]


class _Span(msgspec.Struct, frozen=True, rename="camel"):
    account_value_history: tuple[tuple[int, Decimal], ...]
    pnl_history: tuple[tuple[int, Decimal], ...]
    vlm: Decimal


class HyperliquidSource:
    """Reads public wallets; one trader per call of ``read``, since the venue has no batch for several."""

    max_batch = 1
    authoritative = False
    networked = True

    def __init__(self, *, client: InfoClient | None = None) -> None:
        self._client = client or InfoClient()
        self._profiles = WalletProfiles(redis_url=settings.REDIS_URL)
        self._mids: asyncio.Task[dict[str, Decimal]] | None = None
        self._dexes_asked: asyncio.Task[tuple[str, ...]] | None = None
        self._mids_asked_s = float("-inf")
        self._asides_failed: dict[str, datetime] = {}

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Read wallets by address, side by side; one result per address, failures as values."""
        reads = (self._read_one(key, clock=clock, now=now, max_wait_s=max_wait_s) for key in keys)
        return list(await asyncio.gather(*reads))

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return the venue's own P&L of the last day, week, month and all time.

        :raises RetryLater: no usable answer
        """
        request = {"type": "portfolio", "user": key}
        spans = dict(await self._client.ask(request, list[tuple[str, _Span]], max_wait_s=HISTORY_WAIT_S))
        all_time = spans.get("allTime")
        moved = all_time is not None and (
            all_time.vlm != 0 or any(value != 0 for _, value in all_time.account_value_history)
        )
        recent = (
            RecentPnl(label=label, amount=spans[name].pnl_history[-1][1])
            for name, label in _SPANS.items()
            if name in spans and spans[name].pnl_history
        )
        return SourceHistory(recent_pnl=tuple(recent), ever_traded=moved)

    async def close(self) -> None:
        """Give back connections."""
        shared = [task for task in (self._mids, self._dexes_asked) if task is not None]
        for task in shared:
            task.cancel()
        await asyncio.gather(*shared, return_exceptions=True)
        await self._profiles.close()
        await self._client.close()

    async def _read_one(self, key: str, *, clock: WorldTime, now: datetime, max_wait_s: float) -> ReadResult:
        started_s = perf_counter()
        read, failure = None, None
        try:
            read = await self._state(key, clock=clock, now=now, max_wait_s=max_wait_s)
        except EnsembleError as error:
            failure = read_failure(error)
        duration_ms = round((perf_counter() - started_s) * 1000)
        return ReadResult(key=key, asked_at=now, read=read, failure=failure, duration_ms=duration_ms)

    async def _state(self, key: str, *, clock: WorldTime, now: datetime, max_wait_s: float) -> TraderRead:
        profile, known = await self._profiles.all(key)
        if profile is None:
            profile = await self._discover(key, max_wait_s=max_wait_s)
        prices = self._mids_start(max_wait_s) if profile.spot_tokens else None
        dexes = ("", *profile.dexes)
        await self._client.pay([SPOT_STATE, *(PERP_STATE for _ in dexes)], max_wait_s=max_wait_s)
        spot, *perps = await _together(
            self._client.ask({"type": SPOT_STATE, "user": key}, SpotState, max_wait_s=max_wait_s, paid=True),
            *(self._perp(key, dex, max_wait_s, paid=True) for dex in dexes),
        )
        tokens = [balance for balance in spot.balances if balance.coin != "USDC" and balance.total != 0]
        values = ZERO
        if tokens:
            values = await self._token_values(tokens, prices or self._mids_start(max_wait_s), max_wait_s)
        if bool(tokens) != profile.spot_tokens:
            await self._profiles.set(key, msgspec.structs.replace(profile, spot_tokens=bool(tokens)))
        usdc = sum((balance.total for balance in spot.balances if balance.coin == "USDC"), ZERO)
        equity = equity_of(perps=perps, spot_value=usdc + values, unified=profile.mode in UNIFIED_MODES)
        aside = await self._aside(key, known, account=equity, now=now)
        if aside is None:
            children, hype = [], ZERO
        else:
            children = await self._children(aside, max_wait_s)
            hype = await self._hype(prices, max_wait_s) if aside.staked else ZERO
            equity += aside.equity(hype=hype) + equity_of(perps=children, spot_value=ZERO, unified=False)
        return TraderRead(
            equity=to_money_or_nan(equity),
            positions=positions_netted([positions_of(perps), *(positions_of([one]) for one in children)])
            if children
            else positions_of(perps),
            world_at=clock.at(now),
            run=clock.run,
            notes=aside.notes(hype=hype) if aside else (),
        )

    async def _aside(
        self, key: str, known: WalletAside | None, *, account: Decimal, now: datetime
    ) -> WalletAside | None:
        """Return what lies beside an account, asked for again where it is time and there is room."""
        if known is not None and not known.due(now=now, account=account):
            return known
        if now < self._asides_failed.get(key, now) or not account.is_finite():
            return known
        found = await aside_ask(client=self._client, address=key, known=known, account=account, now=now)
        if found is None:
            self._asides_failed[key] = now + ASIDE_PAUSE
            return known
        self._asides_failed.pop(key, None)
        await self._profiles.aside_set(key, found)
        return found

    async def _children(self, aside: WalletAside, max_wait_s: float) -> list[PerpState]:
        """Return the states of the vaults that trade for a vault, on the venue's own market."""
        if not aside.children:
            return []
        await self._client.pay([PERP_STATE for _ in aside.children], max_wait_s=max_wait_s)
        return await _together(*(self._perp(child, "", max_wait_s, paid=True) for child in aside.children))

    async def _hype(self, mids: asyncio.Task[dict[str, Decimal]] | None, max_wait_s: float) -> Decimal:
        """Return the price of one HYPE.

        :raises BadAnswer: the venue names none
        """
        price = (await asyncio.shield(mids or self._mids_start(max_wait_s))).get(HYPE)
        if price is None or not price.is_finite() or price <= 0:
            raise BadAnswer("Hyperliquid names no price of HYPE, which is staked here")
        return price

    async def _discover(self, key: str, *, max_wait_s: float) -> WalletProfile:
        """Ask how an account keeps its collateral and where it is active; keep that an hour."""
        mode, dexes = await _together(
            self._ask("userAbstraction", str, max_wait_s, user=key), self._dexes(max_wait_s)
        )
        states = await _together(*(self._perp(key, dex, max_wait_s) for dex in dexes))
        active = [
            dex
            for dex, state in zip(dexes, states, strict=True)
            if state.asset_positions or state.margin_summary.account_value != 0
        ]
        profile = WalletProfile(mode=mode, dexes=tuple(active), spot_tokens=False)
        await self._profiles.set(key, profile)
        return profile

    async def _dexes(self, max_wait_s: float) -> tuple[str, ...]:
        names = await self._profiles.shared_get("dexes", tuple[str, ...])
        if names is not None:
            return names
        if self._dexes_asked is None or self._dexes_asked.done():  # one request for all who wait
            self._dexes_asked = asyncio.get_running_loop().create_task(self._dexes_ask(max_wait_s))
            self._dexes_asked.add_done_callback(_exception_seen)
        return await asyncio.shield(self._dexes_asked)

    async def _dexes_ask(self, max_wait_s: float) -> tuple[str, ...]:
        rows = await self._ask("perpDexs", list[_Dex | None], max_wait_s)
        names = tuple(row.name for row in rows if row is not None)
        await self._profiles.shared_set("dexes", names)
        return names

    async def _pairs(self, max_wait_s: float) -> Mapping[int, str]:
        """Return the name of each token's USDC market, by token index."""
        pairs = await self._profiles.shared_get("spot_pairs", dict[int, str])
        if pairs is None:
            meta = await self._ask("spotMeta", _SpotMeta, max_wait_s)
            pairs = {pair.tokens[0]: pair.name for pair in reversed(meta.universe) if pair.tokens[1] == 0}
            await self._profiles.shared_set("spot_pairs", pairs)
        return pairs

    async def _token_values(
        self, tokens: Iterable[SpotBalance], mids: asyncio.Task[dict[str, Decimal]], max_wait_s: float
    ) -> Decimal:
        """Return what spot tokens are worth: at the mid of their USDC market, a stablecoin without one at 1.

        A token without any price counts nothing.
        """
        pairs = await self._pairs(max_wait_s)
        prices = await asyncio.shield(mids)
        value = ZERO
        for balance in tokens:
            price = prices.get(pairs.get(balance.token, ""))
            if price is None and balance.coin in STABLECOINS:
                price = Decimal(1)
            if price is not None:
                value += balance.total * price
        return value

    def _mids_start(self, max_wait_s: float) -> asyncio.Task[dict[str, Decimal]]:
        """Return the request for mid prices, one for all traders within 10 seconds."""
        loop = asyncio.get_running_loop()
        fresh = loop.time() - self._mids_asked_s < MIDS_KEPT_S
        failed = (
            self._mids is not None
            and self._mids.done()
            and (self._mids.cancelled() or self._mids.exception() is not None)
        )
        if self._mids is None or failed or not fresh:
            self._mids = loop.create_task(self._ask("allMids", dict[str, Decimal], max_wait_s))
            self._mids.add_done_callback(_exception_seen)
            self._mids_asked_s = loop.time()
        return self._mids

    async def _perp(self, key: str, dex: str, max_wait_s: float, *, paid: bool = False) -> PerpState:
        request = {"type": PERP_STATE, "user": key} | ({"dex": dex} if dex else {})
        return await self._client.ask(request, PerpState, max_wait_s=max_wait_s, paid=paid)

    async def _ask(self, request: str, answer: type[T], max_wait_s: float, **fields: str) -> T:
        return await self._client.ask({"type": request, **fields}, answer, max_wait_s=max_wait_s)


async def _together(*requests: Coroutine[Any, Any, Any]) -> list[Any]:
    """Wait for all requests; where some failed, raise the one that says most about what to do next."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        limits = [failure for failure in failures if isinstance(failure, RateLimited)]
        raise (limits or failures)[0]
    return results


def _exception_seen(task: asyncio.Task[Any]) -> None:
    """Take note of a shared request's failure, which everybody who waits for it gets as well."""
    if not task.cancelled():
        task.exception()
