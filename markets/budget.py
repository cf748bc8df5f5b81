"""One request budget per venue, shared by all processes through Redis (SYN-3).

A bucket of ``burst`` weights fills up at ``rate`` weights a second. With burst + 60 x rate = the venue's
allowance per minute, no 60 seconds see more than the venue allows. A request takes its weight at once and
waits until the bucket has earned it; requests are served in the order in which they asked.
"""

from __future__ import annotations

import asyncio
from typing import Final

import redis

from core.errors import RateLimited, RetryLater
from markets.connections import redis_open

BURST_SHARE: Final = 12  # a twelfth of the minute's allowance may go out at once

# KEYS[1] bucket; ARGV weight, rate, burst, longest wait. Returns {taken, seconds to wait}.
_TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local weight, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local burst, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local wait = math.max(0, (weight - tokens) / rate)
if wait > longest then
    return {0, tostring(wait)}
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - weight), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], 600000)
return {1, tostring(wait)}
"""
# KEYS[1] bucket; ARGV rate, burst. Leaves nothing to spend: the venue has just said that we asked too much.
_DRAIN: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
redis.call('HSET', KEYS[1], 'tokens', tostring(math.min(tokens, 0)), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], 600000)
"""


class BudgetExhausted(RateLimited):
    """Our own budget has no room soon enough; nothing was sent. ``retry_after_s`` says when it has."""


class VenueBudget:
    """The shared budget of one venue. Belongs to the event loop it was first used in.

    :param venue: name of the bucket, the same in every process
    :param weight_per_minute: the venue's allowance
    """

    def __init__(self, *, venue: str, weight_per_minute: int, redis_url: str) -> None:
        self.burst = weight_per_minute / BURST_SHARE
        self.rate = (weight_per_minute - self.burst) / 60
        self._key = f"budget:{venue}"
        self._redis = redis_open(url=redis_url)
        self._take = self._redis.register_script(_TAKE)
        self._drain = self._redis.register_script(_DRAIN)

    async def take(self, weight: int, *, max_wait_s: float) -> float:
        """Wait until ``weight`` may be spent and spend it; return the seconds waited.

        :raises BudgetExhausted: that would take longer than ``max_wait_s``; nothing was spent
        :raises RetryLater: the budget cannot be reached, so nothing may be asked
        """
        arguments = [f"{value:.9f}" for value in (weight, self.rate, self.burst, max(0.0, max_wait_s))]
        try:
            taken, wait = await self._take(keys=[self._key], args=arguments)
        except redis.RedisError as error:
            raise RetryLater(f"the shared request budget in Redis cannot be reached: {error}") from error
        wait_s = float(wait)
        if not taken:
            message = f"our request budget is spent for the next {wait_s:.1f} s"
            raise BudgetExhausted(message, retry_after_s=wait_s)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return wait_s

    async def drain(self) -> None:
        """Leave nothing to spend, after the venue said that we asked too much.

        :raises RetryLater: the budget cannot be reached
        """
        try:
            await self._drain(keys=[self._key], args=[f"{self.rate:.9f}", f"{self.burst:.9f}"])
        except redis.RedisError as error:
            raise RetryLater(f"the shared request budget in Redis cannot be reached: {error}") from error

    async def close(self) -> None:
        """Give back the connection."""
        await self._redis.aclose()
