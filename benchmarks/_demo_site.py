"""The demo site on services and a database of its own, for the measuring processes: ``python -m … DIR``."""

from __future__ import annotations

import os
from typing import Final

from benchmarks._own_site import DIRECTORY, programs, quantile, services

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in the main thread

from django.conf import settings

from accounts.models import Portfolio, User
from core.clock import utc_now
from engine.demo import DEMO_EMAIL, DEMO_PORTFOLIOS, demo_seed, worlds_start
from engine.follows import follow_start
from engine.portfolios import portfolio_open

__all__ = ["DIRECTORY", "PORTFOLIOS", "people_make", "programs", "quantile", "services"]

PORTFOLIOS: Final = 4


def people_make() -> tuple[User, list[Portfolio]]:
    """Seed the demo, and give its person two more portfolios that follow the same traders."""
    now = utc_now()
    worlds_start(now=now, speed=settings.REPLAY_SPEED)
    demo_seed(now=now, cash=settings.INITIAL_PORTFOLIO_VALUE)
    user = User.objects.get(email=DEMO_EMAIL)
    for number in range(PORTFOLIOS - len(DEMO_PORTFOLIOS)):
        demo = DEMO_PORTFOLIOS[number % len(DEMO_PORTFOLIOS)]
        portfolio = portfolio_open(
            owner=user,
            initial_cash=settings.INITIAL_PORTFOLIO_VALUE,
            now=now,
            name=f"{demo.name} {number}",
            **demo.settings,
        )
        for key in demo.trader_keys:
            follow_start(portfolio=portfolio, kind="replay", key=key, join_mode="include_open", now=now)
    return user, list(Portfolio.objects.filter(owner=user))
