"""Load for a site under faults: portfolios that follow recorded traders, and a venue that fails now and then.

    python -m tests.faults.crowd --seed 7 --portfolios 4

Runs on the site whose environment it is given, until SIGTERM. A database that is away is waited for. It also
does what a person would: a breaker that tripped is reset after a look, so that trading goes on; one that
tells of books that differ stays, for it is what the run looks for.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Final

EMAIL: Final = "crowd@example.com"
LOOK_EVERY_S: Final = 1.0
RESET_AFTER_S: Final = 5.0
# Whom they follow: recorded traders of two worlds, in turn.
TRADERS: Final = (
    ("deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro"),
    ("acc10", "acc3", "acc4", "acc6", "acc9"),
)
# What goes wrong at the venue and how often: operation, kind, weight, seconds. What is settled only minutes
# later is left to tests/integration/money/test_faulty_venue.py.
FAULTS: Final = (
    ("submit", "timeout_after", 6, 0.0),
    ("submit", "timeout_before", 1, 0.0),
    ("submit", "late", 2, 1.5),
    ("submit", "refuse", 2, 0.0),
    ("submit", "unavailable", 4, 0.0),
    ("fetch", "late", 2, 1.0),
    ("fetch", "repeat", 4, 0.0),
    ("fetch", "forget", 2, 0.0),
    ("fetch", "unavailable", 4, 0.0),
    ("cancel", "timeout_after", 3, 0.0),
    ("cancel", "timeout_before", 3, 0.0),
    ("cancel", "forget", 2, 0.0),
    ("cancel", "unavailable", 3, 0.0),
    ("match", "late", 4, 6.0),
    ("match", "refuse", 2, 0.0),
    ("match", "unavailable", 4, 0.0),
    ("match", "twice", 1, 0.0),
)


def main() -> int:
    """Seed the portfolios, then sprinkle faults and reset breakers until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--portfolios", type=int, required=True)
    options = parser.parse_args()
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")
    import django

    django.setup()
    from django.db import Error, close_old_connections

    moods = random.Random(options.seed)
    while not stop.is_set():
        try:
            close_old_connections()
            _portfolios_seed(count=options.portfolios)
            _fault_sprinkle(moods)
            _breakers_reset()
        except Error as error:
            sys.stdout.write(f"the database is away ({error}); it is waited for\n")
        stop.wait(LOOK_EVERY_S)
    return 0


def _portfolios_seed(*, count: int) -> None:
    """Open the portfolios that are missing, each with other settings and other traders."""
    from django.db import transaction

    from accounts.models import User
    from core.clock import utc_now
    from engine.follows import follow_start
    from engine.portfolios import portfolio_open

    user, _ = User.objects.get_or_create(email=EMAIL)
    kinds = itertools.product(("balanced", "aggressive"), ("combine", "largest", "first"), ("perp", "spot"))
    known = set(user.portfolios.values_list("name", flat=True))
    for place, (profile, rule, policy) in enumerate(itertools.islice(kinds, count)):
        name = f"Crowd {place + 1}"
        if name in known:
            continue
        with transaction.atomic():
            portfolio = portfolio_open(
                owner=user, initial_cash=Decimal(50000), now=utc_now(), name=name, policy=policy,
                risk_profile=profile, conflict_rule=rule, auto_rebalance=True,
            )  # fmt: skip
            for key in TRADERS[place % len(TRADERS)]:
                follow_start(
                    portfolio=portfolio, kind="replay", key=key, join_mode="include_open", now=utc_now()
                )


def _fault_sprinkle(moods: random.Random) -> None:
    """Now and then, tell the venue to fail, for anybody or for one portfolio."""
    from accounts.models import Portfolio
    from execution.venues.paper_faults import fault_tell

    if moods.random() > 0.6:
        return
    operation, kind, _, delay_s = moods.choices(FAULTS, weights=[fault[2] for fault in FAULTS])[0]
    accounts = ["*", *(f"portfolio:{pk}" for pk in Portfolio.objects.values_list("pk", flat=True))]
    fault_tell(
        operation=operation,
        kind=kind,
        account=moods.choice(accounts),
        times=1 if kind == "twice" else moods.randint(1, 3),
        skip=moods.randint(0, 2),
        delay_s=delay_s,
    )


def _breakers_reset() -> None:
    """Reset what tripped some seconds ago, but nothing that tells of books."""
    from allocation.models import BreakerTrip
    from core.clock import utc_now
    from core.errors import InputError
    from engine.resets import trip_reset

    now = utc_now()
    standing = BreakerTrip.objects.filter(
        reset_at__isnull=True, tripped_at__lte=now - timedelta(seconds=RESET_AFTER_S)
    ).exclude(kind=BreakerTrip.Kind.BOOKS)
    for trip in standing:
        with suppress(InputError):  # what a stopped trader held is still being closed: next time
            trip_reset(
                portfolio_id=trip.portfolio_id, trip_id=trip.pk, by=EMAIL, reason="On with it", now=now
            )


if __name__ == "__main__":
    sys.exit(main())
