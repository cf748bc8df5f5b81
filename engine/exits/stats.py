"""What a watch counts, for `/metrics`: kept in Redis, since it is not the process that is asked.

Counters there only rise. A Redis that is away loses counts, never a trigger.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import redis

from core.clock import Clock
from engine.exits.watched import Hit

logger = logging.getLogger(__name__)
KEY: Final = "ensemble:exits:stats"
EVERY_S: Final = 2.0
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """What all watches have counted.

    :param buckets: (upper bound in seconds, how many up to it), rising, the last one "+Inf"
    """

    ticks: int
    seconds: float
    buckets: list[tuple[str, float]]


def stats_read(*, client: redis.Redis) -> Counted:
    """Return what the watches have counted.

    :raises redis.RedisError: Redis is away
    """
    raw: Any = client.hgetall(KEY)
    counts = {name.decode(): float(value) for name, value in raw.items()}
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound in (*BUCKETS_S, "inf"):
        total += counts.get(f"le:{bound}", 0.0)
        buckets.append(("+Inf" if bound == "inf" else str(bound), total))
    return Counted(int(counts.get("ticks", 0)), counts.get("seconds", 0.0), buckets)


class WatchStats:
    """Counts in memory, and adds them up in Redis every two seconds."""

    def __init__(self, *, client: redis.Redis, clock: Clock) -> None:
        self.ticks = 0
        self._client = client
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._published_s = clock.monotonic_s()

    def stored(self, *, hits: Sequence[Hit], now: datetime) -> None:
        """Count how long each hit took from its price's arrival to its order's commit."""
        for hit in hits:
            took_s = max(0.0, (now - hit.tick.received_at).total_seconds())
            place = bisect_left(BUCKETS_S, took_s)
            self._counts[f"le:{BUCKETS_S[place] if place < len(BUCKETS_S) else 'inf'}"] += 1
            self._seconds += took_s

    def publish_when_due(self, *, shards: Sequence[int], positions: int) -> None:
        """Add what was counted to what stands in Redis."""
        now_s = self._clock.monotonic_s()
        if now_s - self._published_s < EVERY_S or not (self.ticks or self._counts):
            return
        self._published_s = now_s
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hincrby(KEY, "ticks", self.ticks)
        for name, count in self._counts.items():
            pipeline.hincrby(KEY, name, count)
        pipeline.hincrbyfloat(KEY, "seconds", self._seconds)
        pipeline.execute()
        logger.debug("shards %s, %s positions, %s ticks", shards, positions, self.ticks)
        self.ticks, self._seconds = 0, 0.0
        self._counts.clear()
