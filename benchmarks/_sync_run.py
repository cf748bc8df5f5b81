"""The measuring process of `benchmarks.sync`: `python -m benchmarks._sync_run WHAT` prints JSON.

WHAT is `ten`, `thousand` or `sharing`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from core.clock import utc_now  # noqa: E402
from core.types import TraderKind  # noqa: E402
from markets import budget  # noqa: E402
from markets.hyperliquid import InfoClient  # noqa: E402
from tests.loopback.running import HyperliquidProcess  # noqa: E402
from tests.services import services_ensure  # noqa: E402
from tests.settings import TEST_RUN_PID, TEST_VAR  # noqa: E402
from traders.models import SyncAttempt, Trader  # noqa: E402
from traders.reading import read_loop, read_loop_close  # noqa: E402
from traders.services import trader_find_or_create  # noqa: E402
from traders.sources.wallet_asides import WalletAside  # noqa: E402
from traders.sources.wallet_profiles import WalletProfile, WalletProfiles  # noqa: E402
from traders.sync import sync_due  # noqa: E402

ROUNDS: Final = 7
ANSWER_S: Final = 0.2
BUDGET_TIMES: Final = 20
USERS: Final = 100
SHARED: Final = 10
ACCOUNT_VALUE: Final = Decimal("1282.812496")  # of the recorded answers


def wallets_make(count: int) -> None:
    """Make wallets known, due now."""
    now = utc_now()
    for number in range(1, count + 1):
        trader_find_or_create(kind="hyperliquid", key=f"0x{number:040x}", now=now)


def ten(venue: HyperliquidProcess) -> dict[str, float]:
    """Sync ten wallets several times; return the middle round."""
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 100_000
    wallets_make(10)
    if len(sync_due(now=utc_now()).synced_ids) != 10:
        raise RuntimeError("the first sync did not read ten traders")
    venue.script(delay_s=ANSWER_S)
    trips_s: list[float] = []
    _round_trips_timed(trips_s)
    rounds = []
    settings.POSITION_CACHE_SECONDS = 0  # rounds follow each other faster than the cache ends
    for _ in range(ROUNDS):
        trips_s.clear()
        now = utc_now()
        Trader.objects.update(next_sync_at=now)
        started_s = time.perf_counter()
        outcome = sync_due(now=now)
        wall_s = time.perf_counter() - started_s
        if len(outcome.synced_ids) != 10 or len(trips_s) != 20:
            raise RuntimeError(f"not ten traders in twenty requests: {outcome}, {len(trips_s)}")
        rounds.append((wall_s / max(trips_s), wall_s, max(trips_s)))
    ratio, wall_s, slowest_s = sorted(rounds)[len(rounds) // 2]
    return {"ratio": ratio, "wall_s": wall_s, "slowest_s": slowest_s}


def thousand(venue: HyperliquidProcess) -> dict[str, float]:
    """Sync a thousand wallets once, under twenty times the venue's budget."""
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 1200 * BUDGET_TIMES
    budget.BURST_SHARE *= BUDGET_TIMES  # type: ignore[misc]  # the same burst of 100 weights as in earnest
    wallets_make(1000)
    _profiles_keep(1000)
    read_loop().source(TraderKind.HYPERLIQUID)  # imports ccxt before the clock runs
    venue.script(delay_s=0.05)
    now = utc_now()
    Trader.objects.update(next_sync_at=now)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    good = 0
    while good < 1000:
        sync_due(now=utc_now(), deadline_s=20.0)
        good = SyncAttempt.objects.filter(outcome="good").values("trader").distinct().count()
        if time.perf_counter() - started_s > 120:
            raise RuntimeError(f"only {good} of 1000 traders after two minutes")
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    asked = venue.stats()["asked"]
    if asked.get("clearinghouseState", 0) < 1000 or asked.get("userAbstraction", 0):
        raise RuntimeError(f"other requests than expected: {asked}")
    return {"wall_s": wall_s, "cpu_ms": cpu_s * 1000 / 1000}


def sharing(venue: HyperliquidProcess) -> dict[str, float]:
    """Have a hundred users ask to follow the same ten wallets; return the requests of one sync."""
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 100_000
    for _ in range(USERS):
        wallets_make(SHARED)
    if len(sync_due(now=utc_now()).synced_ids) != SHARED:
        raise RuntimeError("the first sync did not read ten traders")
    settings.POSITION_CACHE_SECONDS = 0
    before, now = venue.stats()["total"], utc_now()
    Trader.objects.update(next_sync_at=now)
    synced = len(sync_due(now=now).synced_ids)
    return {
        "requests": venue.stats()["total"] - before,
        "synced": synced,
        "follows": USERS * SHARED,
    }


def _round_trips_timed(trips_s: list[float]) -> None:
    """Write down how long each request to the venue takes."""
    plain = InfoClient._post

    async def timed(self: InfoClient, request: Mapping[str, Any]) -> str:
        started_s = time.perf_counter()
        text = await plain(self, request)
        trips_s.append(time.perf_counter() - started_s)
        return text

    InfoClient._post = timed  # type: ignore[method-assign]


def _profiles_keep(count: int) -> None:
    """Know what changes seldom about the wallets, as after the first hour."""
    import asyncio

    async def keep() -> None:
        profiles = WalletProfiles(redis_url=settings.REDIS_URL)
        profile = WalletProfile(mode="disabled", dexes=(), spot_tokens=False)
        nothing = WalletAside(
            asked_at=utc_now(),
            account=ACCOUNT_VALUE,
            vaults={},
            staked=Decimal(0),
            vault_asked_at=utc_now(),
        )
        for number in range(1, count + 1):
            await profiles.set(f"0x{number:040x}", profile)
            await profiles.aside_set(f"0x{number:040x}", nothing)
        await profiles.close()

    asyncio.run(keep())


def main(what: str) -> None:
    """Measure on services and a database of this process alone."""
    services_ensure(var_dir=TEST_VAR, run_pid=TEST_RUN_PID)
    connection.creation.create_test_db(verbosity=0)
    venue = HyperliquidProcess()
    settings.HYPERLIQUID_URL = venue.url
    try:
        print(json.dumps({"ten": ten, "thousand": thousand, "sharing": sharing}[what](venue)))
    finally:
        read_loop_close()
        venue.stop()
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
