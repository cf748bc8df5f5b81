"""Reading traders: who may see them, how their sync goes, and how their equity went."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection
from django.db.models import OuterRef, Q, QuerySet, Subquery

from core.errors import NotFound
from traders.domain.reads import TraderRead
from traders.domain.schedule import is_stale, sync_interval_s
from traders.models import StrategyLeg, StrategySignal, SyncAttempt, Trader, TraderSnapshot
from traders.payloads import snapshot_read

SPARKLINE_POINTS: Final = 40
STATS_DAYS: Final = 30  # drawdown and sparkline look back at most this far (world time)
ERROR_WINDOW: Final = timedelta(hours=1)
LONGEST_READ_S: Final = 60


@dataclass(frozen=True, slots=True)
class TraderStatus:
    """How a trader's sync goes (SYN-4).

    :param error_rate: fraction of the last hour's scheduled syncs without a good read by the next due time;
        None when none has ended yet
    """

    status: str
    synced_at: datetime | None
    next_sync_at: datetime
    failing_since: datetime | None
    error: str
    error_rate: Decimal | None


@dataclass(frozen=True, slots=True)
class TraderStats:
    """A trader's own results in the current run of its world; fractions, None while nothing is known.

    :param exposure: gross notional as a multiple of equity, None when equity is not above zero
    :param total_return: since the first read of the run (live: since it was first read here)
    :param day_return: since the last read before 00:00 UTC of the world's day, else since the first one
    :param max_drawdown: largest fall from a peak in the last 30 days of world time, 0 to 1 and more
    :param error_rate: scheduled syncs of the last hour without a good read by the next due time
    :param sparkline: at most 40 equity values, oldest first
    """

    equity: Decimal | None = None
    exposure: Decimal | None = None
    position_count: int = 0
    total_return: Decimal | None = None
    day_return: Decimal | None = None
    max_drawdown: Decimal | None = None
    error_rate: Decimal | None = None
    sparkline: list[float] = field(default_factory=list)


def traders_visible(*, user: Any) -> QuerySet[Trader]:
    """Return the traders a user may see: all public ones, and those behind the user's own credentials
    (FOL-2)."""
    owner = user.pk if getattr(user, "is_authenticated", False) else None
    mine = Q(owner_id=owner) if owner is not None else Q(pk__in=[])
    return Trader.objects.filter(Q(owner__isnull=True) | mine)


def trader_get_visible(*, user: Any, trader_id: int) -> Trader:
    """Return one trader that a user may see.

    :raises NotFound: there is none, or it is somebody else's
    """
    trader = traders_visible(user=user).filter(pk=trader_id).first()
    if trader is None:
        raise NotFound("There is no such trader.", field="trader")
    return trader


def trader_read_latest(*, trader: Trader) -> TraderRead | None:
    """Return the newest read of a trader that counted, None before the first."""
    return snapshot_read(trader.latest_snapshot) if trader.latest_snapshot else None


def trader_statuses(*, trader_ids: Collection[int], now: datetime) -> dict[int, TraderStatus]:
    """Return how the sync of each trader goes at wall time ``now``; see ``trader_statuses_of``."""
    return trader_statuses_of(traders=Trader.objects.filter(pk__in=trader_ids), now=now)


def trader_statuses_of(*, traders: Iterable[Trader], now: datetime) -> dict[int, TraderStatus]:
    """Return how the sync of these traders, read a moment ago, goes at wall time ``now``.

    A trader counts as stale after three intervals without a good read, also when no worker is left to say so.
    """
    traders = list(traders)
    rates = sync_error_rates(trader_ids=[trader.pk for trader in traders], now=now)
    return {trader.pk: _status(trader, rates.get(trader.pk), now) for trader in traders}


def sync_error_rates(*, trader_ids: Collection[int], now: datetime) -> dict[int, Decimal]:
    """Return the sync error rate of the last hour as a fraction; traders without a finished schedule are left
    out.

    A scheduled sync is good if any of its attempts brought a good read before the next one was due. One still
    within its time does not count yet, nor does one in whose time nobody read any trader: the platform was
    not running, or had not come up.
    """
    good = [SyncAttempt.Outcome.GOOD, SyncAttempt.Outcome.CACHED]
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "ids": list(trader_ids),
            "since": now - ERROR_WINDOW,
            "good": good,
            "now": now,
            "longest_s": LONGEST_READ_S,
        }
        cursor.execute(_ERROR_RATES, values)
        return {trader_id: Decimal(bad) / count for trader_id, bad, count in cursor.fetchall()}


def traders_stats(*, trader_ids: Collection[int], now: datetime) -> dict[int, TraderStats]:
    """Return each trader's own results at wall time ``now``, in the run of its newest snapshot.

    Every id that exists is there; five statements whatever their number.
    """
    traders = Trader.objects.filter(pk__in=trader_ids).select_related("latest_snapshot")
    latest = {trader.pk: trader.latest_snapshot for trader in traders}
    read = {pk: snapshot for pk, snapshot in latest.items() if snapshot is not None}
    rates = sync_error_rates(trader_ids=trader_ids, now=now)
    starts, drawdowns = _starts(read), _drawdowns(read)
    lines = equity_series(
        trader_runs={pk: snapshot.run for pk, snapshot in read.items()},
        since_at=_look_back(read),
        points=SPARKLINE_POINTS,
    )
    stats = {pk: TraderStats(error_rate=rates.get(pk)) for pk in latest}
    for pk, snapshot in read.items():
        state = snapshot_read(snapshot)
        first, day = starts[pk]
        stats[pk] = TraderStats(
            equity=state.equity,
            exposure=_exposure(state),
            position_count=len(state.positions),
            total_return=_change(first, state.equity),
            day_return=_change(day, state.equity),
            max_drawdown=drawdowns.get(pk),
            error_rate=rates.get(pk),
            sparkline=[float(equity) for _, equity in lines[pk]],
        )
    return stats


def equity_series(
    *, trader_runs: dict[int, int], since_at: datetime, points: int
) -> dict[int, list[tuple[datetime, Decimal]]]:
    """Return each trader's equity over world time, thinned in the database to at most ``points``.

    Each of ``points`` equal spans of the time covered gives its last value.

    :param trader_runs: run of the world by trader id
    """
    values: dict[str, Any] = {
        "ids": list(trader_runs),
        "runs": list(trader_runs.values()),
        "since": since_at,
        "points": max(1, points - 1),
    }
    series: dict[int, list[tuple[datetime, Decimal]]] = {pk: [] for pk in trader_runs}
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, values)
        for trader_id, world_at, equity in cursor.fetchall():
            series[trader_id].append((world_at, equity))
    return series


def signals_latest(*, trader_ids: Iterable[int]) -> dict[int, list[StrategySignal]]:
    """Return the newest signal of each instrument that a strategy trades, by trader id, ordered by code."""
    of_leg = StrategySignal.objects.filter(trader=OuterRef("book_id"), code=OuterRef("code"))
    legs = StrategyLeg.objects.filter(book__in=list(trader_ids))
    newest = legs.annotate(newest=Subquery(of_leg.order_by("-run", "-at").values("pk")[:1]))
    found: dict[int, list[StrategySignal]] = {}
    rows = StrategySignal.objects.filter(pk__in=newest.values("newest"))
    for row in rows.order_by("trader", "code"):
        found.setdefault(row.trader_id, []).append(row)
    return found


_WANTED = "unnest(%(ids)s::bigint[], %(runs)s::int[]) AS wanted(trader_id, run)"
_SERIES = f"""
    SELECT DISTINCT ON (trader_id, bucket) trader_id, world_at, equity FROM (
        SELECT s.trader_id, s.id, s.world_at, s.equity, floor(
            extract(epoch FROM s.world_at - min(s.world_at) OVER w) * %(points)s
            / greatest(extract(epoch FROM max(s.world_at) OVER w - min(s.world_at) OVER w), 1)
        ) AS bucket
        FROM traders_tradersnapshot AS s JOIN {_WANTED} USING (trader_id, run)
        WHERE s.world_at >= %(since)s
        WINDOW w AS (PARTITION BY s.trader_id)
    ) AS spans
    ORDER BY trader_id, bucket, world_at DESC, id DESC
"""  # noqa: S608 - only constants are put together
_STARTS = """
    SELECT wanted.trader_id, first.equity, coalesce(day.equity, first.equity)
    FROM unnest(%(ids)s::bigint[], %(runs)s::int[], %(days)s::timestamptz[]) AS wanted(trader_id, run, day_at)
    CROSS JOIN LATERAL (
        SELECT equity FROM traders_tradersnapshot AS s WHERE s.trader_id = wanted.trader_id AND s.run =
        wanted.run ORDER BY world_at, id LIMIT 1
    ) AS first
    LEFT JOIN LATERAL (
        SELECT equity FROM traders_tradersnapshot AS s
        WHERE s.trader_id = wanted.trader_id AND s.run = wanted.run AND s.world_at < wanted.day_at
        ORDER BY world_at DESC, id DESC LIMIT 1
    ) AS day ON true
"""
_DRAWDOWNS = f"""
    SELECT trader_id, max((peak - equity) / peak) FROM (
        SELECT s.trader_id, s.equity,
            max(s.equity) OVER (PARTITION BY s.trader_id ORDER BY s.world_at, s.id) AS peak
        FROM traders_tradersnapshot AS s JOIN {_WANTED} USING (trader_id, run)
        WHERE s.world_at >= %(since)s
    ) AS run WHERE peak > 0 GROUP BY trader_id
"""  # noqa: S608 - only constants are put together
_ERROR_RATES = """
    SELECT trader_id, count(*) FILTER (WHERE NOT good), count(*) FROM (
        SELECT a.trader_id, a.due_at, t.sync_interval_s,
            bool_or(a.outcome = ANY(%(good)s)
                    AND a.finished_at <= a.due_at + make_interval(secs => t.sync_interval_s)) AS good
        FROM traders_syncattempt AS a JOIN traders_trader AS t ON t.id = a.trader_id
        WHERE a.trader_id = ANY(%(ids)s) AND a.finished_at >= %(since)s
        GROUP BY a.trader_id, a.due_at, t.sync_interval_s
    ) AS slots
    WHERE good OR (slots.due_at + make_interval(secs => slots.sync_interval_s) <= %(now)s AND EXISTS (
        SELECT 1 FROM traders_syncattempt AS made
        WHERE made.finished_at >= slots.due_at
          AND made.finished_at < slots.due_at + make_interval(secs => slots.sync_interval_s + %(longest_s)s)
          AND made.finished_at - made.duration_ms * interval '1 ms'
              < slots.due_at + make_interval(secs => slots.sync_interval_s)
    ))
    GROUP BY trader_id
"""


def _look_back(snapshots: Mapping[int, TraderSnapshot]) -> datetime:
    """Return the world time from which results are counted, for several traders at once."""
    oldest = min(
        (snapshot.world_at for snapshot in snapshots.values()), default=datetime.max.replace(tzinfo=UTC)
    )
    return oldest - timedelta(days=STATS_DAYS)


def _starts(snapshots: Mapping[int, TraderSnapshot]) -> dict[int, tuple[Decimal, Decimal]]:
    values: dict[str, Any] = {
        "ids": list(snapshots),
        "runs": [snapshot.run for snapshot in snapshots.values()],
        "days": [_day_start(snapshot.world_at) for snapshot in snapshots.values()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STARTS, values)
        return {trader_id: (first, day) for trader_id, first, day in cursor.fetchall()}


def _drawdowns(snapshots: Mapping[int, TraderSnapshot]) -> dict[int, Decimal]:
    values: dict[str, Any] = {
        "ids": list(snapshots),
        "runs": [snapshot.run for snapshot in snapshots.values()],
        "since": _look_back(snapshots),
    }
    with connection.cursor() as cursor:
        cursor.execute(_DRAWDOWNS, values)
        return dict(cursor.fetchall())


def _day_start(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _change(before: Decimal, after: Decimal) -> Decimal | None:
    return (after - before) / before if before > 0 else None


def _exposure(read: TraderRead) -> Decimal | None:
    if read.equity <= 0:
        return None
    notionals = (abs(p.quantity) * (p.mark_price or p.entry_price) for p in read.positions)
    return sum(notionals, Decimal(0)) / read.equity


def _status(trader: Trader, error_rate: Decimal | None, now: datetime) -> TraderStatus:
    interval_s = sync_interval_s(interval_s=trader.sync_interval_s, rate_limits=trader.rate_limits_in_row)
    stale = trader.status != Trader.Status.PAUSED and is_stale(
        synced_at=trader.synced_at, created_at=trader.created_at, interval_s=interval_s, now=now
    )
    return TraderStatus(
        status=Trader.Status.STALE if stale else Trader.Status(trader.status),
        synced_at=trader.synced_at,
        next_sync_at=trader.next_sync_at,
        failing_since=trader.failing_since,
        error=trader.last_error,
        error_rate=error_rate,
    )
