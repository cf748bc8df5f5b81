"""The demo: one person, two portfolios, nine recorded traders in two replay worlds; made once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.models import Portfolio, User
from core.types import ConflictRule, Policy, TraderKind
from engine.follows import follow_start
from engine.portfolios import portfolio_open
from engine.syncing import shard_sync
from markets.recordings import ALPHA_ARENA, HYPERLIQUID_WALLETS
from markets.services import replays_resume, world_ensure

DEMO_EMAIL: Final = "demo@example.com"


@dataclass(frozen=True, slots=True)
class DemoPortfolio:
    """What one demo portfolio is made of."""

    name: str
    world: str
    trader_keys: Sequence[str]
    settings: Mapping[str, str | bool] = field(default_factory=dict)


DEMO_PORTFOLIOS: Final = (
    DemoPortfolio(
        name="AI traders",
        world=ALPHA_ARENA,
        trader_keys=("deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro"),
        settings={
            "policy": Policy.PERP.value,
            "risk_profile": "balanced",
            "conflict_rule": ConflictRule.COMBINE.value,
            "auto_rebalance": True,
        },
    ),
    DemoPortfolio(
        name="Five wallets",
        world=HYPERLIQUID_WALLETS,
        trader_keys=("acc10", "acc3", "acc4", "acc6", "acc9"),
        settings={
            "policy": Policy.SPOT.value,
            "risk_profile": "conservative",
            "conflict_rule": ConflictRule.LARGEST.value,
            "auto_rebalance": True,
        },
    ),
)


def worlds_start(*, now: datetime, speed: Decimal) -> None:
    """Start the replay worlds; those that ran before go on where they stood, at this speed."""
    replays_resume(now=now)
    for demo in DEMO_PORTFOLIOS:
        world_ensure(name=demo.world, now=now, speed=speed)


@transaction.atomic
def demo_seed(*, now: datetime, cash: Decimal) -> str | None:
    """Make the demo person with both portfolios; return the password, None where they exist already."""
    if User.objects.filter(email=DEMO_EMAIL).exists():
        return None
    password = secrets.token_urlsafe(9)
    user = User.objects.create_user(DEMO_EMAIL, password, first_name="Demo")
    # Nobody reads that mailbox, and the demo is to show everything.
    EmailAddress.objects.create(user=user, email=DEMO_EMAIL, verified=True, primary=True)
    for demo in DEMO_PORTFOLIOS:
        _portfolio_seed(demo, user=user, cash=cash, now=now)
    shard_sync(shard=0, shards=1, now=now)  # every trader's curve begins with the recording
    return password


def _portfolio_seed(demo: DemoPortfolio, *, user: User, cash: Decimal, now: datetime) -> Portfolio:
    portfolio = portfolio_open(owner=user, initial_cash=cash, now=now, name=demo.name, **demo.settings)
    for key in demo.trader_keys:
        follow_start(portfolio=portfolio, kind=TraderKind.REPLAY, key=key, join_mode="include_open", now=now)
    return portfolio
