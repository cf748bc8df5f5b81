"""What changes seldom about wallets and the venue, kept an hour in Redis for all workers."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
import redis

from core.errors import RetryLater
from markets.connections import redis_open
from traders.sources.wallet_asides import WalletAside

T = TypeVar("T")
KEPT_S: Final = 3600
ASIDE_KEPT_S: Final = 24 * 3600


class WalletProfile(msgspec.Struct, frozen=True):
    """How an account keeps collateral, the builders' dexes it is active on, whether it holds spot tokens."""

    mode: str
    dexes: tuple[str, ...]
    spot_tokens: bool


class WalletProfiles:
    """Profiles by address, and facts of the venue by name. Belongs to the event loop it was first used in."""

    def __init__(self, *, redis_url: str) -> None:
        self._redis = redis_open(url=redis_url)

    async def all(self, address: str) -> tuple[WalletProfile | None, WalletAside | None]:
        """Return an account's profile, and what lies beside it; each None if it is not known or too old."""
        names = [_profile_name(address), _aside_name(address)]
        try:
            profile, aside = await self._redis.mget(names)
        except redis.RedisError as error:
            raise RetryLater(f"Redis cannot be reached: {error}") from error
        return _decoded(profile, WalletProfile), _decoded(aside, WalletAside)

    async def aside_set(self, address: str, aside: WalletAside) -> None:
        """Keep what lies beside an account for a day."""
        await self._store(_aside_name(address), aside, kept_s=ASIDE_KEPT_S)

    async def set(self, address: str, profile: WalletProfile) -> None:
        """Keep an account's profile for an hour."""
        await self._store(_profile_name(address), profile)

    async def shared_get(self, name: str, answer: type[T]) -> T | None:
        """Return a fact of the venue, None if it is not known or older than an hour."""
        return await self._load(f"hyperliquid:shared:{name}", answer)

    async def shared_set(self, name: str, value: object) -> None:
        """Keep a fact of the venue for an hour."""
        await self._store(f"hyperliquid:shared:{name}", value)

    async def close(self) -> None:
        """Give back the connection."""
        await self._redis.aclose()

    async def _load(self, name: str, answer: type[T]) -> T | None:
        try:
            value = await self._redis.get(name)
        except redis.RedisError as error:
            raise RetryLater(f"Redis cannot be reached: {error}") from error
        return _decoded(value, answer)

    async def _store(self, name: str, value: object, *, kept_s: int = KEPT_S) -> None:
        try:
            await self._redis.set(name, msgspec.json.encode(value), ex=kept_s)
        except redis.RedisError as error:
            raise RetryLater(f"Redis cannot be reached: {error}") from error


def _profile_name(address: str) -> str:
    return f"hyperliquid:profile:{address}"


def _aside_name(address: str) -> str:
    return f"hyperliquid:aside:{address}"


def _decoded(value: bytes | str | None, answer: type[T]) -> T | None:
    return None if value is None else msgspec.json.decode(value, type=answer)
