"""A portfolio that has been through something, on the test's database: days of a recording in seconds."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from accounts.models import Portfolio
from core.clock import utc_now
from engine.portfolios import portfolio_settings_save
from markets.recordings import ALPHA_ARENA
from tests.replaying import ReplayDriver
from traders.recordings import recorded_events_between

KEYS: Final = ("deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro")
TICK_S: Final = 15
WORLD_DAYS: Final = 2


def arena_play(*, owner: Any) -> tuple[ReplayDriver, Portfolio]:
    """Play two days of four recorded traders that end now: positions, orders, conflicts, closed ones.

    The conflicts that come up last wait for the owner.
    """
    speed = Decimal(600)
    wall_s = float(WORLD_DAYS * 86_400 / speed)
    driver = ReplayDriver(ALPHA_ARENA, speed=speed, wall_at=utc_now() - timedelta(seconds=wall_s)).start()
    portfolio = driver.portfolio(
        owner, name="Arena", keys=KEYS, policy="perp", risk_profile="balanced", auto_rebalance=True
    )
    seen_at = driver.world_at
    ticks = int(wall_s / TICK_S)
    for tick in range(ticks):
        if tick == ticks * 3 // 4:
            portfolio_settings_save(portfolio=portfolio, now=driver.wall_at, approves_conflicts=True)
        driver.forward(TICK_S)
        keys = recorded_events_between(world=ALPHA_ARENA, after_at=seen_at, until_at=driver.world_at)
        seen_at = driver.world_at
        driver.observe(keys if tick else KEYS)
        driver.settle(steps=2)
        driver.keep()
    portfolio.refresh_from_db()
    return driver, portfolio
