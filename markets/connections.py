"""Redis connections of the event loops that read venues: few, waited for in turn, and never hung on."""

from __future__ import annotations

from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_S: Final = 2.0
CONNECTIONS: Final = 8  # hundreds of reads under way take turns on these


def redis_open(*, url: str) -> redis.asyncio.Redis:
    """Return a Redis client that gives up after seconds; it belongs to the loop it is first used in."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=TIMEOUT_S * 2,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)
