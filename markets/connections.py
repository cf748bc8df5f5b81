"""Redis connections of those who read venues: few, waited for in turn, and never hung on."""

from __future__ import annotations

from typing import Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

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
        retry=AsyncRetry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)


def redis_open_now(*, url: str, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """Return a Redis client for threads, which gives up after seconds and tries nothing twice by itself.

    Whoever writes with it decides what to do after a failure: a command that is sent again may run twice.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
