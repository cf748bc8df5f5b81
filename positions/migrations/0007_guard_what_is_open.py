"""Guard the positions that were open before exits existed, by the server's exit rules.

Their entry is cost ÷ quantity, and their prices count from the upgrade on.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from django.conf import settings
from django.db import migrations

from core.clock import utc_now

STEP = Decimal("0.000000000001")


def guard_open_positions(apps, schema_editor):
    guards = apps.get_model("positions", "ExitGuard")
    worlds = set(apps.get_model("markets", "World").objects.values_list("pk", flat=True))
    now = utc_now()
    positions = apps.get_model("positions", "Position").objects.exclude(status="closed").exclude(quantity=0)
    guards.objects.bulk_create(
        guard(guards, position, now)
        for position in positions.filter(guard__isnull=True).select_related("portfolio")
        if position.portfolio.world in worlds and position.cost
    )


def guard(guards, position, now):
    sign = 1 if position.quantity > 0 else -1
    entry = max(rounded(position.cost / position.quantity), STEP)
    stop = rounded(entry * (1 - sign * settings.EXIT_STOP_LOSS_PCT / 100))
    return guards(
        position=position,
        world_id=position.portfolio.world,
        run=position.run,
        instrument_id=position.instrument_id,
        sign=sign,
        stop_loss_pct=settings.EXIT_STOP_LOSS_PCT,
        trail_from_pct=settings.EXIT_TRAIL_FROM_PCT,
        trail_by_pct=settings.EXIT_TRAIL_BY_PCT,
        time_stop_days=settings.EXIT_TIME_STOP_DAYS,
        take_profit=[],
        entry_price=entry,
        opened_world_at=position.opened_world_at,
        peak_price=entry,
        first_stop_price=stop if settings.EXIT_STOP_LOSS_PCT else None,
        stop_price=stop if settings.EXIT_STOP_LOSS_PCT else None,
        since=now,
        levels_from=now,
        changed_at=now,
    )


def rounded(price):
    return price.quantize(STEP, rounding=ROUND_HALF_EVEN)


class Migration(migrations.Migration):

    dependencies = [
        ("markets", "0003_market_context"),
        ("positions", "0006_venue_stops"),
    ]

    operations = [migrations.RunPython(guard_open_positions, migrations.RunPython.noop)]
