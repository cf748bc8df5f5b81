"""Keeping traders' style by the hour of world time, and raising and ending alarms (BEY-7).

Each full hour is summed up once from its snapshots; the statistics read the sums alone. Several traders cost
as many statements as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Max, Min, Q, QuerySet

from markets.models import World
from traders.domain.style import (
    HISTORY_DAYS,
    Drift,
    Reading,
    StyleDay,
    day_of,
    drift_text,
    drifts_find,
    hour_measure,
)
from traders.domain.style import StyleHour as HourData
from traders.models import StyleAlarm, StyleHour, Trader, TraderSnapshot
from traders.payloads import snapshot_read
from traders.style_reading import reading_of

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
KEPT: Final = timedelta(days=HISTORY_DAYS + 2)
AT_ONCE: Final = 50  # traders summed up together; bounds the memory
HOURS_AT_ONCE: Final = 72  # of one trader in one go; what is left comes with the next


@dataclass(frozen=True, slots=True)
class StyleNews:
    """What one look changed: alarms that began and alarms that ended."""

    raised: tuple[StyleAlarm, ...]
    ended: tuple[StyleAlarm, ...]


def style_update(*, now: datetime) -> StyleNews:
    """Sum up every hour that is over, and hold the last 24 hours of who has a new one against its history.

    Safe to run at once and again: an hour is stored once, an alarm stands once per trader and measure.
    """
    raised: list[StyleAlarm] = []
    ended: list[StyleAlarm] = []
    for world in World.objects.order_by("name"):
        ended += _ended(StyleAlarm.objects.filter(trader__world=world.name).exclude(run=world.run), now)
        until = _full_hour(world.clock().at(now))
        due = _due(world=world, until=until)
        for begin in range(0, len(due), AT_ONCE):
            news = _update(world, due[begin : begin + AT_ONCE], until, now)
            raised += news.raised
            ended += news.ended
    return StyleNews(tuple(raised), tuple(ended))


def style_prune(*, now: datetime) -> int:
    """Delete hours that no history reaches back to, and those of earlier runs; return how many."""
    deleted = 0
    for world in World.objects.order_by("name"):
        rows = StyleHour.objects.filter(trader__world=world.name)
        old = Q(hour_at__lt=world.clock().at(now) - KEPT) | ~Q(run=world.run)
        deleted += rows.filter(old).delete()[0]
    return deleted


def _full_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class _Due:
    trader_id: int
    since: datetime


def _due(*, world: World, until: datetime) -> list[_Due]:
    """Return the traders read after the hours that are summed up, and from which hour each is to go on."""
    newest = Max("style_hours__hour_at", filter=Q(style_hours__run=world.run))
    rows = Trader.objects.filter(world=world.name, latest_snapshot__run=world.run).annotate(reached=newest)
    first = _firsts(world, [row.pk for row in rows if row.reached is None], until - KEPT)
    begun = {row.pk: row.reached + HOUR if row.reached else first.get(row.pk) for row in rows}
    return [_Due(pk, since) for pk, since in sorted(begun.items()) if since is not None and since < until]


def _firsts(world: World, trader_ids: Sequence[int], oldest: datetime) -> dict[int, datetime]:
    """Return the hour of each trader's first read of the run that still counts."""
    reads = TraderSnapshot.objects.filter(trader__in=trader_ids, run=world.run, world_at__gte=oldest)
    firsts = reads.order_by().values_list("trader").annotate(first=Min("world_at"))
    return {trader_id: _full_hour(at) for trader_id, at in firsts}


@transaction.atomic
def _update(world: World, due: Sequence[_Due], until: datetime, now: datetime) -> StyleNews:
    """Store the new hours of some traders, judge them, raise and end alarms."""
    StyleHour.objects.bulk_create(
        (row for each in due for row in _hours(world, each, until)), ignore_conflicts=True
    )
    drifts = _judged(world, [each.trader_id for each in due], until)
    standing = {
        (alarm.trader_id, alarm.measure): alarm
        for alarm in StyleAlarm.objects.filter(trader__in=drifts, ended_at__isnull=True)
    }
    over = [
        standing[trader_id, drift.measure.value].pk
        for trader_id, found in drifts.items()
        for drift in found
        if drift.calm and (trader_id, drift.measure.value) in standing
    ]
    fresh = [
        _alarm(world, trader_id, drift, until, now)
        for trader_id, found in drifts.items()
        for drift in found
        if drift.alarm and (trader_id, drift.measure.value) not in standing
    ]
    ended = _ended(StyleAlarm.objects.filter(pk__in=over), now)
    StyleAlarm.objects.bulk_create(fresh, ignore_conflicts=True)
    stored = StyleAlarm.objects.filter(
        trader__in={alarm.trader_id for alarm in fresh}, ended_at__isnull=True, at=now
    )
    return StyleNews(tuple(stored.select_related("trader")), tuple(ended))


def _ended(alarms: QuerySet[StyleAlarm], now: datetime) -> list[StyleAlarm]:
    """End those of the alarms that stand; return them."""
    found = list(alarms.filter(ended_at__isnull=True).select_related("trader"))
    StyleAlarm.objects.filter(pk__in=[alarm.pk for alarm in found]).update(ended_at=now)
    return found


def _alarm(world: World, trader_id: int, drift: Drift, until: datetime, now: datetime) -> StyleAlarm:
    return StyleAlarm(
        trader_id=trader_id,
        run=world.run,
        measure=drift.measure.value,
        text=drift_text(drift=drift)[:200],
        before=drift.before,
        after=drift.after,
        z=round(drift.z, 2),
        at=now,
        world_at=until,
    )


def _hours(world: World, due: _Due, until: datetime) -> Iterator[StyleHour]:
    """Sum up a trader's hours from where it stands, at most so many; one without a read is stored empty."""
    end = min(until, due.since + HOURS_AT_ONCE * HOUR)
    run = TraderSnapshot.objects.filter(trader=due.trader_id, run=world.run)
    before = run.filter(world_at__lt=due.since).order_by("-world_at", "-id").first()
    last = _reading(before) if before else None
    rows = run.filter(world_at__gte=due.since, world_at__lt=end).order_by("world_at", "id")
    by_hour: dict[datetime, list[Reading]] = defaultdict(list)
    for snapshot in rows.iterator():
        if (reading := _reading(snapshot)) is not None:
            by_hour[_full_hour(snapshot.world_at)].append(reading)
    hour_at = due.since
    while hour_at < end:
        readings = by_hour.get(hour_at, [])
        found = hour_measure(readings=readings, before=last)
        last = readings[-1] if readings else last
        yield StyleHour(
            trader_id=due.trader_id,
            run=world.run,
            hour_at=hour_at,
            reads=found.reads,
            held_reads=found.held_reads,
            leverage_sum=found.leverage_sum,
            turnover=found.turnover,
            closed_h=list(found.closed_h),
            splits=dict(found.splits),
        )
        hour_at += HOUR


def _reading(snapshot: TraderSnapshot) -> Reading | None:
    """Return a snapshot's read; a position whose opening nobody reports counts from its first sight."""
    read = snapshot_read(snapshot)
    seen = {code: datetime.fromisoformat(at) for code, at in snapshot.first_seen.items()}
    positions = (replace(p, opened_at=p.opened_at or seen.get(p.code)) for p in read.positions)
    return reading_of(at=read.world_at, equity=read.equity, positions=positions)


def _judged(world: World, trader_ids: Sequence[int], until: datetime) -> dict[int, tuple[Drift, ...]]:
    """Return how far each trader is from its history; traders too new to judge have nothing in it."""
    rows = StyleHour.objects.filter(
        trader__in=trader_ids, run=world.run, hour_at__gte=until - (HISTORY_DAYS + 1) * DAY, hour_at__lt=until
    )
    days: dict[int, dict[int, list[HourData]]] = defaultdict(lambda: defaultdict(list))
    for row in rows.iterator():
        ago = (until - HOUR - row.hour_at) // DAY
        days[row.trader_id][ago].append(
            HourData(
                reads=row.reads,
                held_reads=row.held_reads,
                leverage_sum=row.leverage_sum,
                turnover=row.turnover,
                closed_h=tuple(row.closed_h),
                splits=row.splits,
            )
        )
    return {trader_id: _drifts(found) for trader_id, found in days.items()}


def _drifts(days: Mapping[int, list[HourData]]) -> tuple[Drift, ...]:
    """Hold the newest 24 hours (0 days ago) against the spans before them."""
    spans: dict[int, StyleDay] = {}
    for ago, hours in days.items():
        if (span := day_of(hours=hours)) is not None:
            spans[ago] = span
    today = spans.pop(0, None)
    return drifts_find(today=today, history=[spans[ago] for ago in sorted(spans)]) if today else ()
