"""The budget of a venue, shared by processes: SYN-3."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from core.errors import RetryLater
from markets.budget import BudgetExhausted, VenueBudget

ROOT = Path(__file__).parent.parent.parent.parent
SPENDER = """
import asyncio, json, os, sys, time
from markets.budget import VenueBudget

async def main():
    budget = VenueBudget(venue="shared", weight_per_minute=6000, redis_url=sys.argv[1])
    spent = []
    async def one():
        await budget.take(2, max_wait_s=60)
        spent.append(time.time())
    await asyncio.gather(*(one() for _ in range(200)))
    await budget.close()
    print(json.dumps(spent))

asyncio.run(main())
"""


def with_budget(
    step: Callable[[VenueBudget], Coroutine[Any, Any, Any]], weight_per_minute: int = 1200
) -> Any:
    """Run one step with a budget in a loop of its own."""

    async def whole() -> Any:
        budget = VenueBudget(
            venue="tested", weight_per_minute=weight_per_minute, redis_url=django_settings.REDIS_URL
        )
        try:
            return await step(budget)
        finally:
            await budget.close()

    return asyncio.run(whole())


@pytest.mark.usefixtures("redis_client")
def test_no_minute_sees_more_than_the_allowance() -> None:
    """SYN-3: burst plus a minute of refill is the venue's documented 1200."""

    async def parts(budget: VenueBudget) -> tuple[float, float]:
        return budget.burst, budget.rate

    burst, rate = with_budget(parts)
    assert burst == 100
    assert burst + 60 * rate == pytest.approx(1200)


@pytest.mark.usefixtures("redis_client")
def test_a_request_waits_for_its_turn_or_is_told_how_long() -> None:
    """SYN-3: the burst goes at once, then one waits; who cannot wait spends nothing."""

    async def step(budget: VenueBudget) -> None:
        waits = [await budget.take(20, max_wait_s=5) for _ in range(5)]
        assert waits == [0, 0, 0, 0, 0]
        with pytest.raises(BudgetExhausted, match="our request budget is spent for the next 1"):
            await budget.take(20, max_wait_s=0.5)
        started = time.perf_counter()
        waited = await budget.take(2, max_wait_s=0.5)
        assert 0.05 < waited <= 2 / budget.rate
        assert time.perf_counter() - started >= waited

    with_budget(step)


@pytest.mark.usefixtures("redis_client")
def test_after_a_429_nothing_is_left_to_burst() -> None:
    """SYN-3: when the venue says that we asked too much, all workers slow to the refill at once."""

    async def step(budget: VenueBudget) -> None:
        await budget.drain()
        with pytest.raises(BudgetExhausted):
            await budget.take(20, max_wait_s=0.5)
        assert await budget.take(2, max_wait_s=0.5) > 0

    with_budget(step)


@pytest.mark.slow
def test_two_processes_share_one_budget(redis_client: redis.Redis) -> None:
    """SYN-3: 800 weights from two processes go out at 500 at once and 91.7 a second, as from one."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, django_settings.REDIS_URL],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    spent = sorted(at for process in processes for at in json.loads(process.communicate(timeout=60)[0]))
    assert len(spent) == 400
    burst, rate = 500, 5500 / 60
    # processes begin at different times: count from the first request on
    for index, at in enumerate(spent):
        allowed = burst + rate * (at - spent[0] + 0.05)
        assert 2 * (index + 1) <= allowed + 2
    assert redis_client.hget("budget:shared", "tokens") is not None


def test_without_redis_nothing_may_be_asked(redis_client: redis.Redis) -> None:
    """SYN-3: an unreachable budget is an error within seconds, never a free pass."""

    async def step() -> None:
        budget = VenueBudget(venue="x", weight_per_minute=1200, redis_url="redis://127.0.0.1:1/0")
        with pytest.raises(RetryLater, match="budget in Redis cannot be reached"):
            await budget.take(2, max_wait_s=1)
        await budget.close()

    started = time.perf_counter()
    asyncio.run(step())
    assert time.perf_counter() - started < 5
    assert redis_client.keys("budget:*") == []
