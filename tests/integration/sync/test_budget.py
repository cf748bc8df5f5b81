"""The budget of a venue, shared by processes: SYN-3."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from core.errors import RetryLater
from markets.budget import BudgetExhausted, BudgetNow, VenueBudget, asking
from markets.budget_figures import budget_counts_read, budgets_read
from markets.domain.allowance import Allowance, BudgetPriority

EXIT, ORDER, SYNC, PREVIEW = BudgetPriority
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
THREADS = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from markets.budget import BudgetNow
from markets.domain.allowance import BudgetPriority

budget = BudgetNow(venue="shared", weight_per_minute=6000, redis_url=sys.argv[1])
def one(_):
    budget.take(2, max_wait_s=60, priority=BudgetPriority.ORDER)
    return time.time()
with ThreadPoolExecutor(25) as pool:
    spent = list(pool.map(one, range(200)))
budget.close()
print(json.dumps(spent))
"""


def with_budget(
    step: Callable[[VenueBudget], Coroutine[Any, Any, Any]],
    weight_per_minute: int = 1200,
    burst: float | None = None,
) -> Any:
    """Run one step with a budget in a loop of its own."""

    async def whole() -> Any:
        allowed = Allowance.window(weight=weight_per_minute)
        if burst is not None:
            allowed = replace(allowed, burst=burst)
        budget = VenueBudget(venue="tested", allowance=allowed, redis_url=django_settings.REDIS_URL)
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
        waits = [await budget.take(20, max_wait_s=5, priority=EXIT) for _ in range(5)]
        assert waits == [0, 0, 0, 0, 0]
        with pytest.raises(BudgetExhausted, match="our request budget is spent for the next 1"):
            await budget.take(20, max_wait_s=0.5, priority=EXIT)
        started = time.perf_counter()
        waited = await budget.take(2, max_wait_s=0.5, priority=EXIT)
        assert 0.05 < waited <= 2 / budget.rate
        assert time.perf_counter() - started >= waited

    with_budget(step)


@pytest.mark.usefixtures("redis_client")
def test_each_priority_leaves_something_for_those_above_it() -> None:
    """Issue of budgets: previews stop at 40 of 100, syncs at 20, orders at 10; an exit may take the last."""

    async def step(budget: VenueBudget) -> dict[BudgetPriority, int]:
        went = {}
        for priority in reversed(BudgetPriority):
            count = 0
            with contextlib.suppress(BudgetExhausted):
                while True:
                    await budget.take(1, max_wait_s=0, priority=priority)
                    count += 1
            went[priority] = count
        return went

    went = with_budget(step, weight_per_minute=12, burst=100)
    assert went == {PREVIEW: 60, SYNC: 20, ORDER: 10, EXIT: 10}


@pytest.mark.usefixtures("redis_client")
def test_a_block_says_on_whose_behalf_its_requests_are(redis_client: redis.Redis) -> None:
    """What is asked inside the block has its priority, also in a task that was begun there."""

    async def step(budget: VenueBudget) -> None:
        await budget.take(10, max_wait_s=0)
        with asking(priority=PREVIEW, asker="7"):
            task = asyncio.create_task(budget.take(70, max_wait_s=0))
            with pytest.raises(BudgetExhausted):
                await task
        assert await budget.take(70, max_wait_s=0) == 0

    with_budget(step)
    refused = budget_counts_read(client=redis_client).refusals
    assert refused == {("tested", "preview"): 1}


@pytest.mark.usefixtures("redis_client")
def test_after_a_429_nothing_is_left_to_burst() -> None:
    """SYN-3: when the venue says that we asked too much, all workers slow to the refill at once."""

    async def step(budget: VenueBudget) -> None:
        await budget.drain()
        with pytest.raises(BudgetExhausted):
            await budget.take(20, max_wait_s=0.5, priority=EXIT)
        assert await budget.take(2, max_wait_s=0.5, priority=EXIT) > 0

    with_budget(step)


def test_a_pause_holds_for_everybody_and_the_longer_one_stands(redis_client: redis.Redis) -> None:
    """A ban is honoured by loops and threads alike, by exits too, until it is over."""

    async def step(budget: VenueBudget) -> None:
        await budget.pause(for_s=300)
        await budget.pause(for_s=5)
        now = BudgetNow(venue="tested", weight_per_minute=1200, redis_url=django_settings.REDIS_URL)
        for priority in BudgetPriority:
            with pytest.raises(BudgetExhausted) as told:
                now.take(1, max_wait_s=30, priority=priority)
            assert told.value.retry_after_s is not None
            assert 299 < told.value.retry_after_s < 303
        now.close()

    with_budget(step)
    (figure,) = budgets_read(client=redis_client)
    assert (figure.venue, figure.used_ratio) == ("tested", 1.0)
    assert 295 < figure.paused_s <= 300
    assert budget_counts_read(client=redis_client).pauses == {"tested": 2}


@pytest.mark.usefixtures("redis_client")
def test_threads_and_loops_spend_from_one_bucket() -> None:
    """The bucket of a thread is the loop's; what was not sent is given back."""

    async def step(budget: VenueBudget) -> None:
        now = BudgetNow(venue="tested", weight_per_minute=1200, redis_url=django_settings.REDIS_URL)
        assert now.take(60, max_wait_s=0, priority=EXIT) == 0
        with pytest.raises(BudgetExhausted):
            await budget.take(60, max_wait_s=0, priority=EXIT)
        now.give_back(60)
        assert await budget.take(60, max_wait_s=0, priority=EXIT) == 0
        waited = now.take(42, max_wait_s=5, priority=EXIT)
        assert 0 < waited <= 2 / budget.rate
        now.close()

    with_budget(step)


@pytest.mark.usefixtures("redis_client")
def test_addresses_and_accounts_have_budgets_of_their_own(settings: Any) -> None:
    """One address's asking does not use up another's, nor one account's another's."""

    async def step(budget: VenueBudget) -> None:
        await budget.take(100, max_wait_s=0, priority=EXIT)
        for egress, account in (("elsewhere", ""), (django_settings.EGRESS_NAME, "7")):
            settings.EGRESS_NAME = egress
            other = BudgetNow(
                venue="tested", weight_per_minute=1200, account=account, redis_url=django_settings.REDIS_URL
            )
            assert other.take(100, max_wait_s=0, priority=EXIT) == 0
            other.close()

    with_budget(step)


@pytest.mark.slow
def test_two_processes_share_one_budget(redis_client: redis.Redis) -> None:
    """SYN-3: 800 weights of a loop and of threads go out as those of one: 500 at once, 91.7 a second."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, django_settings.REDIS_URL],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for program in (SPENDER, THREADS)
    ]
    spent = sorted(at for process in processes for at in json.loads(process.communicate(timeout=60)[0]))
    assert len(spent) == 400
    burst, rate = 500, 5500 / 60
    # processes begin at different times: count from the first request on
    for index, at in enumerate(spent):
        allowed = burst + rate * (at - spent[0] + 0.05)
        assert 2 * (index + 1) <= allowed + 2
    assert redis_client.hget(f"budget:{django_settings.EGRESS_NAME}:shared", "tokens") is not None


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
