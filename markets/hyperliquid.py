"""Hyperliquid's public ``info`` endpoint through ccxt, decoded once, by type, behind the shared budget.

ccxt's own parser costs many times a typed decode, so its JSON step is left out: the answer's text goes
to msgspec as it came. Nothing here has a key and nothing here signs.
Sources: Hyperliquid docs, "Info endpoint", "Perpetuals", "Spot", "Rate limits and user limits".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from django.conf import settings

from core.decimals import ZERO
from core.errors import BadAnswer, RateLimited, RetryLater
from core.instruments import is_code
from markets.budget import VenueBudget
from markets.domain.allowance import BudgetPriority
from markets.domain.context import ContextRecord
from markets.recordings import InstrumentRecord, perp_spec

T = TypeVar("T")
REQUEST_TIMEOUT_S: Final = 5.0
DEFAULT_WEIGHT: Final = 20
WEIGHTS: Final = {
    "l2Book": 2,
    "allMids": 2,
    "clearinghouseState": 2,
    "orderStatus": 2,
    "spotClearinghouseState": 2,
    "exchangeStatus": 2,
}


class MetaAsset(msgspec.Struct, frozen=True, rename="camel"):
    """One perpetual of a ``meta`` answer."""

    name: str
    sz_decimals: int
    max_leverage: int
    is_delisted: bool = False


class Meta(msgspec.Struct, frozen=True):
    """The perpetuals of the venue, or of one builder's dex."""

    universe: tuple[MetaAsset, ...]


class AssetContext(msgspec.Struct, frozen=True, rename="camel"):
    """What the venue tells of one perpetual's market; ``impact_pxs`` is null where its book is too thin."""

    day_ntl_vlm: Decimal
    impact_pxs: tuple[Decimal, Decimal] | None = None


Contexts = tuple[Meta, tuple[AssetContext, ...]]  # the answer to ``metaAndAssetCtxs``, in the same order


class InfoClient:
    """Asks ``info``. Belongs to the event loop it was first used in."""

    def __init__(self, *, url: str = "", budget: VenueBudget | None = None) -> None:
        self._url = (url or settings.HYPERLIQUID_URL).rstrip("/")
        self.budget = budget or VenueBudget(
            venue="hyperliquid",
            weight_per_minute=settings.HYPERLIQUID_WEIGHT_PER_MINUTE,
            redis_url=settings.REDIS_URL,
        )
        self._exchange_type = _raw_exchange()  # imported here, where nobody waits for an answer yet
        self._exchange: Any = None

    async def pay(self, requests: Iterable[str], *, max_wait_s: float) -> None:
        """Wait for room for several requests at once, named by their types; ask them ``paid`` then.

        Who asks, and how urgently, is what ``markets.budget.asking`` says around the call.

        :raises BudgetExhausted: no room in time
        :raises RetryLater: the budget cannot be reached
        """
        await self.budget.take(sum(map(weight_of, requests)), max_wait_s=max_wait_s)

    async def ask(
        self,
        request: Mapping[str, Any],
        answer: type[T],
        *,
        max_wait_s: float,
        paid: bool = False,
        weight: int | None = None,
        priority: BudgetPriority | None = None,
    ) -> T:
        """Send one request and return its answer decoded as ``answer``.

        :param max_wait_s: longest wait for room in the budget
        :param weight: what it costs, where that depends on more than its type
        :param paid: room was made before with :meth:`pay`
        :param priority: else what ``markets.budget.asking`` says around the call
        :raises BudgetExhausted: no room in time; nothing was sent
        :raises RateLimited: the venue asked for a pause
        :raises BadAnswer: the answer is not what it should be: half a body, another type, a web page
        :raises RetryLater: no answer, or the budget cannot be reached
        """
        if not paid:
            cost = weight or weight_of(request["type"])
            await self.budget.take(cost, max_wait_s=max_wait_s, priority=priority)
        text = await self._post(request)
        try:
            return msgspec.json.decode(text, type=answer)
        except msgspec.DecodeError as error:
            start = text[:80].replace("\n", " ")
            raise BadAnswer(f"Hyperliquid's {request['type']} cannot be read ({error}): {start}") from error

    async def close(self) -> None:
        """Give back connections."""
        if self._exchange is not None:
            await self._exchange.close()
            self._exchange = None
        await self.budget.close()

    async def _post(self, request: Mapping[str, Any]) -> str:
        from ccxt.base import errors

        if self._exchange is None:
            self._exchange = self._exchange_type(_exchange_config(self._url))
        try:
            text = await self._exchange.publicPostInfo(dict(request))
        except (errors.RateLimitExceeded, errors.DDoSProtection) as error:
            await self.budget.drain()
            raise RateLimited(f"Hyperliquid asked for a pause ({_short(error)})") from error
        except errors.RequestTimeout as error:
            raise RetryLater(f"Hyperliquid gave no answer within {REQUEST_TIMEOUT_S:g} s") from error
        except errors.BaseError as error:
            raise RetryLater(f"Hyperliquid could not be asked ({_short(error)})") from error
        if not isinstance(text, str):
            raise BadAnswer(f"Hyperliquid's {request['type']} came as {type(text).__name__}, not as text")
        return text


def weight_of(request: str) -> int:
    """Return what a request of this type costs of the venue's 1,200 a minute."""
    return WEIGHTS.get(request, DEFAULT_WEIGHT)


def instruments_from_meta(meta: Meta, *, source_note: str) -> list[InstrumentRecord]:
    """Return the instruments of a ``meta`` answer that are still listed and have a usable code."""
    return [
        InstrumentRecord(
            spec=perp_spec(code=asset.name, size_decimals=asset.sz_decimals, max_leverage=asset.max_leverage),
            source_note=source_note,
        )
        for asset in meta.universe
        if not asset.is_delisted and is_code(asset.name)
    ]


def contexts_from(answer: Contexts) -> list[ContextRecord]:
    """Return what a ``metaAndAssetCtxs`` answer says of listed instruments; odd numbers are left out."""
    meta, contexts = answer
    return [
        ContextRecord(asset.name, context.day_ntl_vlm, _impact_spread(context.impact_pxs))
        for asset, context in zip(meta.universe, contexts, strict=False)
        if not asset.is_delisted and is_code(asset.name)
        if context.day_ntl_vlm.is_finite() and context.day_ntl_vlm >= 0
    ]


def _impact_spread(prices: tuple[Decimal, Decimal] | None) -> Decimal | None:
    if prices is None or not all(price.is_finite() and price > 0 for price in prices):
        return None
    bid, ask = prices
    return max(ZERO, 2 * (ask - bid) / (ask + bid))


def _exchange_config(url: str) -> dict[str, Any]:
    return {
        "enableRateLimit": False,  # the shared budget stands in front
        "timeout": int(REQUEST_TIMEOUT_S * 1000),
        "urls": {"api": {"public": url, "private": url}},
        "timeout_on_exit": 0,
    }


@lru_cache(maxsize=1)
def _raw_exchange() -> type[Any]:
    """Return ccxt's Hyperliquid with its JSON step left out; ccxt is imported only here."""
    from ccxt.async_support import hyperliquid

    class RawHyperliquid(hyperliquid):
        def parse_json(self, http_response: str) -> None:
            return None

        def is_text_response(self, headers: Mapping[str, str]) -> bool:
            return True

    return RawHyperliquid


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:160]}"
