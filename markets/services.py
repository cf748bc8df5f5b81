"""Writing worlds, instruments and marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max

from markets.domain.context import ContextRecord
from markets.domain.returns import SAMPLE_WINDOW, hour_of
from markets.models import LIVE, Instrument, Mark, MarketContext, PriceSample, World
from markets.recordings import InstrumentRecord, recording_get

RESUME_AFTER: Final = timedelta(seconds=30)
SAMPLES_KEPT: Final = timedelta(days=8)  # returns look back over seven
_SPEC_COLUMNS = (
    "underlying",
    "multiplier",
    "quantity_step",
    "price_places",
    "price_digits",
    "min_notional",
    "max_leverage",
    "quote",
)


def world_ensure(*, name: str, now: datetime, speed: Decimal | None = None) -> World:
    """Return a world, starting it at ``now`` if it does not run yet.

    A replay starts at the beginning of its recording with its instruments and first marks. Where it runs
    already and ``speed`` differs, the speed changes from ``now`` on and its time goes on without a jump.

    :param speed: world seconds per wall second; default ``REPLAY_SPEED`` for a replay; the live world
        always has 1
    :raises NotFound: there is no such recording
    """
    if name == LIVE:
        fresh = {
            "label": "Live",
            "anchored_at": now,
            "world_anchor_at": now,
            "world_start_at": now,
            "loops": False,
        }
        return World.objects.get_or_create(name=LIVE, defaults=fresh)[0]
    recording = recording_get(name=name)
    wanted_speed = settings.REPLAY_SPEED if speed is None else speed
    with transaction.atomic():
        world, created = World.objects.get_or_create(
            name=name,
            defaults={
                "label": recording.label,
                "price_note": recording.price_note,
                "anchored_at": now,
                "world_anchor_at": recording.start_at,
                "world_start_at": recording.start_at,
                "world_end_at": recording.end_at,
                "speed": wanted_speed,
            },
        )
        if created:
            instruments_ensure(instruments=recording.instruments)
            prices = recording.prices_at(recording.start_at)
            marks_write(world=world, prices=prices, quoted_at=recording.start_at, received_at=now)
    if not created and speed is not None and world.speed != speed:
        world_speed_change(world=world, speed=speed, now=now)
    return world


def world_speed_change(*, world: World, speed: Decimal, now: datetime) -> None:
    """Let a replay run ``speed`` times as fast as wall time from ``now`` on; its time does not jump."""
    world.world_anchor_at = world.clock().at(now)
    world.anchored_at = now
    world.speed = speed
    world.save(update_fields=["world_anchor_at", "anchored_at", "speed"])


def replays_resume(*, now: datetime) -> list[str]:
    """Let replays go on where they stood when nobody moved them; return the worlds whose clock was set back.

    A server that was off for a night would otherwise find its recordings over. Short gaps, such as a feed
    that is started again after a crash, are not given back: there the world has gone on. Marks of the moment
    are written, so that calling it twice gives nothing back twice.
    """
    resumed = []
    for world in World.objects.exclude(name=LIVE).order_by("name"):
        moved_at = Mark.objects.filter(world=world).aggregate(newest=Max("received_at"))["newest"]
        if moved_at is not None and now - moved_at > RESUME_AFTER:
            world.anchored_at += now - moved_at
            world.save(update_fields=["anchored_at"])
            at = world.clock().at(now)
            prices = recording_get(name=world.name).prices_at(at)
            marks_write(world=world, prices=prices, quoted_at=at, received_at=now)
            resumed.append(world.name)
    return resumed


def world_run_start(*, world: World, now: datetime) -> World:
    """Start a replay's next run at the beginning of its recording; who comes second changes nothing.

    The marks of the new run's first moment are written with it, so that no price of the run before is left.
    """
    recording = recording_get(name=world.name)
    with transaction.atomic():
        started = World.objects.filter(name=world.name, run=world.run).update(
            run=F("run") + 1, anchored_at=now, world_anchor_at=F("world_start_at")
        )
        world.refresh_from_db()
        if started:
            prices = recording.prices_at(recording.start_at)
            marks_write(world=world, prices=prices, quoted_at=recording.start_at, received_at=now)
    return world


def marks_write(
    *, world: World, prices: Mapping[str, Decimal], quoted_at: datetime, received_at: datetime
) -> int:
    """Store the last price of each instrument of a world in one statement; return how many were written.

    Rows go in by code, so that two writers never wait for each other crosswise.

    :param prices: quote currency per unit by instrument code; every code must be a known instrument
    """
    rows = [
        Mark(
            world=world,
            instrument_id=code,
            price=prices[code],
            run=world.run,
            quoted_at=quoted_at,
            received_at=received_at,
        )
        for code in sorted(prices)
    ]
    Mark.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["world", "instrument"],
        update_fields=["price", "run", "quoted_at", "received_at"],
    )
    return len(rows)


def samples_write(*, world: World, prices: Mapping[str, Decimal], at: datetime) -> bool:
    """Keep prices as those of the full hour, if ``at`` is less than five minutes past it; tell whether kept.

    The first price of an instrument in an hour stands. Later in the hour nothing is kept: a return over what
    would be half an hour is no hourly return.
    """
    hour = hour_of(at)
    if at - hour >= SAMPLE_WINDOW:
        return False
    PriceSample.objects.bulk_create(
        (
            PriceSample(world=world, instrument_id=code, at=hour, price=prices[code])
            for code in sorted(prices)
        ),
        ignore_conflicts=True,
    )
    return True


def samples_prune(*, now: datetime) -> int:
    """Delete the samples that no return looks back to any more; return how many."""
    deleted, _ = PriceSample.objects.filter(at__lt=now - SAMPLES_KEPT).delete()
    return deleted


def contexts_write(*, contexts: Iterable[ContextRecord], at: datetime) -> int:
    """Store how much of the known instruments trades in the live world; return how many were stored."""
    known = set(Instrument.objects.values_list("code", flat=True))
    rows = [
        MarketContext(
            instrument_id=record.code,
            day_volume=record.day_volume,
            impact_spread=record.impact_spread,
            read_at=at,
        )
        for record in sorted(contexts, key=lambda record: record.code)
        if record.code in known
    ]
    MarketContext.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["instrument"],
        update_fields=["day_volume", "impact_spread", "read_at"],
    )
    return len(rows)


def instruments_ensure(*, instruments: Iterable[InstrumentRecord]) -> int:
    """Add instruments that are not known yet; return how many were given. Known ones keep their rules."""
    rows = [_instrument_row(record) for record in instruments]
    Instrument.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def instruments_refresh(*, instruments: Iterable[InstrumentRecord]) -> int:
    """Add instruments or take over their venue's newest rules; return how many were given."""
    rows = sorted((_instrument_row(record) for record in instruments), key=lambda row: row.code)
    Instrument.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=[*_SPEC_COLUMNS, "source_note"],
    )
    return len(rows)


def _instrument_row(record: InstrumentRecord) -> Instrument:
    columns = {name: getattr(record.spec, name) for name in _SPEC_COLUMNS}
    return Instrument(code=record.spec.code, source_note=record.source_note[:200], **columns)
