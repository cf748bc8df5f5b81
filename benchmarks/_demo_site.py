"""The demo site on services and a database of its own, for the measuring processes: ``python -m … DIR``.

Importing this sets Django up on the directory named first on the command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(sys.argv[1])
os.environ.update(
    DJANGO_SETTINGS_MODULE="portfolio_site.settings",
    VAR_DIR=str(DIRECTORY),
    LOG_LEVEL="WARNING",
    DJANGO_ALLOW_ASYNC_UNSAFE="true",  # Playwright's loop runs in the main thread
)
for name in ("DATABASE_URL", "REDIS_URL"):
    os.environ.pop(name, None)

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.models import Portfolio, User  # noqa: E402
from core.clock import utc_now  # noqa: E402
from engine.demo import DEMO_EMAIL, DEMO_PORTFOLIOS, demo_seed, worlds_start  # noqa: E402
from engine.follows import follow_start  # noqa: E402
from engine.portfolios import portfolio_open  # noqa: E402
from portfolio_site.embedded import EmbeddedPostgres, EmbeddedRedis  # noqa: E402
from portfolio_site.processes import Child, ChildSpec, children_stop  # noqa: E402

PORTFOLIOS: Final = 4


@contextmanager
def services() -> Iterator[None]:
    """An embedded PostgreSQL and Redis under the directory, migrated."""
    running = [EmbeddedPostgres(var_dir=DIRECTORY).start(), EmbeddedRedis(var_dir=DIRECTORY).start()]
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        children_stop(children=running[::-1], timeout_s=10)


@contextmanager
def programs(specs: list[ChildSpec]) -> Iterator[None]:
    """These programs, running."""
    children = [Child(spec=spec) for spec in specs]
    try:
        yield
    finally:
        children_stop(children=children, timeout_s=10)


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


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
