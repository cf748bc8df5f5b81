"""How much of the request budgets is used, and how often somebody had to wait: for metrics and pages."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from markets.budget import COUNTS, INDEX
from markets.domain.allowance import BudgetPriority


@dataclass(frozen=True, slots=True)
class BudgetFigure:
    """One venue's budget, seen from one address, at one moment.

    :param used_ratio: 0 nothing asked for a while, 1 nothing left to go out at once, more: owed to the future
    :param paused_s: seconds for which nobody may ask, because the venue said so
    """

    venue: str
    egress: str
    used_ratio: float
    paused_s: float


@dataclass(frozen=True, slots=True)
class BudgetCounts:
    """What happened since Redis was new, by venue, and by venue and priority."""

    waits: dict[tuple[str, str], int]
    refusals: dict[tuple[str, str], int]
    pauses: dict[str, int]


def budgets_read(*, client: redis.Redis) -> list[BudgetFigure]:
    """Return every budget of an address, by venue and address.

    :raises redis.RedisError: Redis cannot be reached
    """
    index: dict[bytes, bytes] = client.hgetall(INDEX)  # type: ignore[assignment]
    seconds, micros = client.time()
    now_s = seconds + micros / 1_000_000
    figures = []
    for key, value in sorted(index.items()):
        venue, rate, burst = value.decode().split(" ")
        tokens, at = client.hmget(key, "tokens", "at")
        if tokens is None or at is None:  # unused for ten minutes
            used, paused_s = 0.0, 0.0
        else:
            earned = max(0.0, now_s - float(at)) * float(rate)
            left = min(float(burst), float(tokens) + earned)
            used, paused_s = 1 - left / float(burst), max(0.0, float(at) - now_s)
        figures.append(BudgetFigure(venue, key.decode().split(":")[1], used, paused_s))
    return figures


def budget_counts_read(*, client: redis.Redis) -> BudgetCounts:
    """Return how often somebody waited, was refused, and how often a venue asked for a pause.

    :raises redis.RedisError: Redis cannot be reached
    """
    counts = BudgetCounts(waits={}, refusals={}, pauses={})
    rows: dict[bytes, bytes] = client.hgetall(COUNTS)  # type: ignore[assignment]
    for name, count in rows.items():
        what, venue, *rank = name.decode().split(" ")
        if what == "pauses":
            counts.pauses[venue] = int(count)
        else:
            place = counts.waits if what == "waits" else counts.refusals
            place[venue, BudgetPriority(int(rank[0])).name.lower()] = int(count)
    return counts
