"""A strategy's positions pass the same pipeline as any trader's: two real days, end to end (SIG-1, FOL-3)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Portfolio
from core.types import TraderKind
from engine.copy_cycle import world_is_flat
from engine.follows import follow_start
from engine.models import Decision
from engine.portfolios import portfolio_open
from engine.syncing import strategies_run
from execution.models import Order
from markets.recordings import COINBASE_2018
from positions.models import Position
from tests.replaying import ReplayDriver
from traders.models import StrategyLeg, StrategySignal, Trader

pytestmark = pytest.mark.django_db
FOLLOWED_AT = datetime(2018, 4, 5, 0, 1, tzinfo=UTC)
KEYS = ("rsi_macd_vwap:coinbase_2018", "average_cross:coinbase_2018")


@pytest.fixture
def coinbase(db: None) -> ReplayDriver:
    """The world with real candles, at its first moment."""
    return ReplayDriver(COINBASE_2018).start()


def followed(driver: ReplayDriver, owner: Any, *keys: str) -> Portfolio:
    """Open a portfolio of 10,000 that follows strategies."""
    portfolio = portfolio_open(
        owner=owner,
        initial_cash=Decimal(10000),
        now=driver.wall_at,
        name="Strategy",
        policy="perp",
        risk_profile="balanced",
        auto_rebalance=False,
    )
    for key in keys:
        follow_start(portfolio=portfolio, kind=TraderKind.STRATEGY, key=key, now=driver.wall_at)
    portfolio.refresh_from_db()
    return portfolio


def step(driver: ReplayDriver) -> bool:
    """Let ten minutes of the world pass: two candles; return whether a strategy traded."""
    driver.forward(1.0)
    traded = bool(strategies_run(now=driver.wall_at))
    if traded:
        driver.observe()
        driver.settle(steps=4)
    elif Order.objects.filter(status__in=Order.OPEN_STATUSES).exists():
        driver.settle(steps=1)
    return traded


def test_every_trade_of_a_strategy_is_copied(coinbase: ReplayDriver, alice: Any) -> None:
    """Followed in the middle: from its next trades on we hold, or have ordered, what it holds, to the end."""
    coinbase.forward(144)  # a day, after which it holds both coins
    portfolio = followed(coinbase, alice, KEYS[0])
    coinbase.observe()
    coinbase.settle(steps=2)
    traded = 0
    while not coinbase.world.clock().ended(coinbase.wall_at):
        if not step(coinbase):
            continue
        traded += 1
        held = dict(StrategyLeg.objects.filter(quantity__gt=0).values_list("code", "quantity"))
        ours = Position.objects.filter(portfolio=portfolio).exclude(status="closed")
        positions = {position.underlying: position.quantity for position in ours}
        orders = Order.objects.filter(status__in=Order.OPEN_STATUSES).values_list("underlying", flat=True)
        assert set(held) ^ set(positions) <= set(orders)
        for code in held.keys() & positions.keys() - set(orders):
            # 5 % of both equities, less what fees and a few seconds of the market took
            assert abs(positions[code] / held[code] - 1) < Decimal("0.03")
        assert coinbase.audit() == []
    bought = StrategySignal.objects.filter(quantity__gt=0, at__gt=FOLLOWED_AT).count()
    assert bought == 12
    # Sold and bought again within one step is one position; an entry may find no fill at its price.
    assert bought - 4 <= Position.objects.filter(portfolio=portfolio).count() <= bought
    assert not Decision.objects.filter(portfolio=portfolio, kind__in=["denied", "refused"]).exists()
    for _ in range(180):  # a cycle comes once a minute
        coinbase.settle(steps=2)
        if world_is_flat(world=COINBASE_2018):
            break
    assert world_is_flat(world=COINBASE_2018)
    assert coinbase.audit() == []


def test_two_strategies_meet_in_one_portfolio(coinbase: ReplayDriver, alice: Any) -> None:
    """CON-1: each has half the weight; where both hold the same coin it is an overlap, decided by rule."""
    portfolio = followed(coinbase, alice, *KEYS)
    coinbase.observe()
    coinbase.settle(steps=2)
    both = False
    for _ in range(45):
        step(coinbase)
        legs = StrategyLeg.objects.filter(quantity__gt=0)
        for code in ("BTC", "ETH"):
            wanted = [leg.quantity for leg in legs.filter(code=code)]
            position = Position.objects.filter(portfolio=portfolio, underlying=code).exclude(status="closed")
            assert position.exists() == bool(wanted)
            if len(wanted) == 2:
                both = True
                assert abs(position.get().quantity / (sum(wanted) / 2) - 1) < Decimal("0.03")
    assert both
    assert portfolio.conflicts.exists()
    assert {trader.kind for trader in Trader.objects.all()} == {"strategy"}
    assert coinbase.audit() == []
