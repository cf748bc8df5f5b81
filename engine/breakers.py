"""The breakers at work: measured with every valuation and every closed position, tripped, lifted (RSK-2).

``breakers_evaluate`` looks at many portfolios with a fixed number of queries and takes the lock of those
alone in which something is to change; there it looks again, so that two evaluators make one trip and
yesterday's loss trips nothing today. All it rests on is stored, so a worker that dies loses nothing:
the next evaluation finds the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.db.models import Exists, F, Max, OuterRef, Q
from redis.exceptions import RedisError

from allocation.breakers import DAY_ROLL, TRADER_LEFT, breaker_reset, thresholds_by_portfolio
from allocation.domain.breakers import (
    BreakerThresholds,
    Reading,
    Standing,
    breakers_read,
    copy_stop_read,
    day_is_over,
    losses_in_a_row,
)
from allocation.follows import follow_pause
from allocation.locks import capital_lock
from allocation.models import BreakerTrip, CapitalAccount, Follow
from core.decimals import ZERO, dollars
from core.errors import EnsembleError
from engine.legs import legs_forget
from engine.trips import Kind, portfolio_trip
from engine.wake import cycles_wake
from positions.models import PositionSlice, Valuation
from positions.selectors import ClosedSince, follows_realized, follows_unrealized, newest_results

logger = logging.getLogger(__name__)
REALIZED_KEPT_S = 600


@dataclass(frozen=True, slots=True)
class FollowStanding:
    """One trader against its copy stop-loss."""

    follow_id: int
    name: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class PortfolioStanding:
    """How one portfolio stands against all its breakers."""

    readings: tuple[Reading, ...]
    follows: tuple[FollowStanding, ...]
    trips: tuple[BreakerTrip, ...]
    world_at: datetime
    run: int

    @property
    def over(self) -> tuple[BreakerTrip, ...]:
        """The standing trips that end by themselves now: their day is over, or their trader was left."""
        return tuple(trip for trip in self.trips if self._is_over(trip))

    def _is_over(self, trip: BreakerTrip) -> bool:
        if trip.follow is not None and trip.follow.status == Follow.Status.REMOVED:
            return True
        return trip.resets == BreakerTrip.Resets.DAY and day_is_over(
            tripped_at=trip.world_at, tripped_run=trip.run, world_at=self.world_at, run=self.run
        )

    @property
    def newly_tripped(self) -> tuple[Reading, ...]:
        """The readings beyond their threshold of which no trip stands."""
        standing = {trip.kind for trip in self.trips if trip not in self.over}
        return tuple(one for one in self.readings if one.tripped and one.kind not in standing)

    @property
    def newly_stopped(self) -> tuple[FollowStanding, ...]:
        """The traders that lost their share and are not stopped yet."""
        standing = {trip.follow_id for trip in self.trips}
        return tuple(one for one in self.follows if one.reading.tripped and one.follow_id not in standing)

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.over or self.newly_tripped or self.newly_stopped)


def standings_read(*, portfolio_ids: Iterable[int], fresh: bool = True) -> dict[int, PortfolioStanding]:
    """Measure portfolios that were valued before, with a fixed number of queries.

    :param fresh: read what follows realized anew rather than from the cache
    """
    ids = sorted(portfolio_ids)
    rows = {row.pk: row for row in Valuation.objects.filter(pk__in=ids, at__isnull=False)}
    ids = list(rows)
    thresholds = thresholds_by_portfolio(portfolio_ids=ids)
    most = max((one.losses_in_a_row for one in thresholds.values()), default=1)
    streaks = streaks_read(rows=rows, most=most)
    follows = _follows_read(rows=rows, thresholds=thresholds, fresh=fresh)
    trips: dict[int, list[BreakerTrip]] = {}
    standing = BreakerTrip.objects.filter(portfolio_id__in=ids, reset_at__isnull=True)
    for trip in standing.select_related("follow").order_by("pk"):
        trips.setdefault(trip.portfolio_id, []).append(trip)
    return {
        portfolio_id: PortfolioStanding(
            readings=breakers_read(
                standing=Standing(
                    row.unit_value, row.day_start_unit_value, row.peak_unit_value, streaks[portfolio_id]
                ),
                thresholds=thresholds[portfolio_id],
            ),
            follows=tuple(follows.get(portfolio_id, ())),
            trips=tuple(trips.get(portfolio_id, ())),
            world_at=row.world_at,
            run=row.run,
        )
        for portfolio_id, row in rows.items()
        if row.world_at is not None
    }


def streaks_read(*, rows: Mapping[int, Valuation], most: int) -> dict[int, int]:
    """Count each portfolio's losses in a row in this run of its world, since that breaker was last lifted.

    :param most: count no further
    """
    resets = (
        BreakerTrip.objects.filter(portfolio_id__in=rows, kind=Kind.LOSSES_IN_A_ROW)
        .values_list("portfolio_id")
        .annotate(last=Max("reset_at"))
    )
    since = dict(resets)
    results = newest_results(
        wanted={pk: ClosedSince(run=row.run, since=since.get(pk)) for pk, row in rows.items()},
        most=most,
    )
    return {portfolio_id: losses_in_a_row(results=nets) for portfolio_id, nets in results.items()}


def _follows_read(
    *, rows: Mapping[int, Valuation], thresholds: Mapping[int, BreakerThresholds], fresh: bool
) -> dict[int, list[FollowStanding]]:
    """Measure every trader's loss against its share; of a paused one that holds some, the share it had."""
    has_a_share = Q(status=Follow.Status.ACTIVE, weight__gt=0) | Q(
        Exists(PositionSlice.objects.filter(follow=OuterRef("pk")).exclude(quantity=0)),
        status=Follow.Status.PAUSED,
        paused_weight__gt=0,
    )
    follows = Follow.objects.filter(has_a_share, portfolio_id__in=rows).select_related("trader")
    listed = list(follows.annotate(version=F("portfolio__capital__version")))
    versions = {follow.portfolio_id: follow.version for follow in listed}
    realized = _realized_of(versions=versions, fresh=fresh)
    unrealized = follows_unrealized(portfolio_ids=list(versions))
    result: dict[int, list[FollowStanding]] = {}
    for follow in listed:
        brought = realized[follow.portfolio_id].get(follow.pk, ZERO) + unrealized.get(follow.pk, ZERO)
        reading = copy_stop_read(
            result=brought,
            base=follow.stop_base,
            capital=(follow.weight or follow.paused_weight) * rows[follow.portfolio_id].equity,
            threshold=thresholds[follow.portfolio_id].copy_stop,
        )
        one = FollowStanding(follow_id=follow.pk, name=follow.trader.name, reading=reading)
        result.setdefault(follow.portfolio_id, []).append(one)
    return result


def _realized_of(*, versions: Mapping[int, int], fresh: bool) -> dict[int, dict[int, Decimal]]:
    """Return what follows realized, kept per version of the books: only a booking changes it."""
    keys = {f"follows-realized:{pk}:{version}": pk for pk, version in versions.items()}
    known: dict[int, dict[int, Decimal]] = {}
    if not fresh:
        try:
            known = {keys[key]: nets for key, nets in cache.get_many(keys).items()}
        except RedisError as error:
            logger.warning("what follows realized is read anew, Redis is away (%s)", error)
    missing = [pk for pk in versions if pk not in known]
    if not missing:
        return known
    read = follows_realized(portfolio_ids=missing)
    if not fresh:
        try:
            cache.set_many({key: read[pk] for key, pk in keys.items() if pk in read}, REALIZED_KEPT_S)
        except RedisError as error:
            logger.warning("what follows realized is not kept, Redis is away (%s)", error)
    return known | read


def breakers_evaluate(*, portfolio_ids: Iterable[int], now: datetime) -> list[int]:
    """Trip what reached its threshold, lift what is over; return the portfolios in which anything changed.

    Rests on the stored valuations: call it after valuing, and after closed positions were booked. A fault
    of one portfolio is its own.
    """
    standings = standings_read(portfolio_ids=portfolio_ids, fresh=False)
    return [pk for pk, standing in standings.items() if standing.changes and _guarded(pk, now)]


def _guarded(portfolio_id: int, now: datetime) -> bool:
    try:
        return _apply(portfolio_id=portfolio_id, now=now)
    except (EnsembleError, DatabaseError):
        logger.exception("breakers of portfolio %s: tried again with its next valuation", portfolio_id)
        return False


@transaction.atomic
def _apply(*, portfolio_id: int, now: datetime) -> bool:
    """Look again with the account locked, and do what is still to be done."""
    capital_lock(portfolio_id=portfolio_id)
    standing = standings_read(portfolio_ids=[portfolio_id]).get(portfolio_id)
    if standing is None or not standing.changes:
        return False
    for trip in standing.over:
        day = trip.resets == BreakerTrip.Resets.DAY
        why = "A new day of its world began" if day else "Its trader is not followed any more"
        by = DAY_ROLL if day else TRADER_LEFT
        breaker_reset(portfolio_id=portfolio_id, trip_id=trip.pk, by=by, reason=why, now=now)
        cycles_wake(portfolio_ids=[portfolio_id], now=now, why="a breaker was lifted", force_all=True)
    for reading in standing.newly_tripped:
        portfolio_trip(
            portfolio_id=portfolio_id,
            kind=reading.kind,
            why=reading.text,
            now=now,
            value=reading.value,
            threshold=reading.threshold,
        )
    for stopped in standing.newly_stopped:
        _follow_stop(portfolio_id=portfolio_id, stopped=stopped, now=now)
    return True


def _follow_stop(*, portfolio_id: int, stopped: FollowStanding, now: datetime) -> None:
    """Pause a trader that lost its share; the copy cycle closes its slices and nobody else's."""
    portfolio_trip(
        portfolio_id=portfolio_id,
        kind=Kind.COPY_STOP,
        follow_id=stopped.follow_id,
        why=f"{stopped.name}: {stopped.reading.text}. It is paused, what was copied of it is closed.",
        now=now,
        value=stopped.reading.value,
        threshold=stopped.reading.threshold,
    )
    follow_pause(follow=Follow.objects.get(pk=stopped.follow_id), by_owner=False)
    legs_forget(portfolio_id=portfolio_id, follow_ids=[stopped.follow_id], now=now)
    cycles_wake(portfolio_ids=[portfolio_id], now=now, why="a copy stop-loss tripped", force_all=True)


def deficits_halt(*, now: datetime) -> None:
    """Halt every portfolio that owes money, whatever made it so and whoever died before halting it."""
    told = BreakerTrip.objects.filter(portfolio=OuterRef("pk"), kind=Kind.DEFICIT, reset_at__isnull=True)
    for account in CapitalAccount.objects.filter(~Exists(told), deficit__gt=0).order_by("pk"):
        why = f"Losses exceed free capital by {dollars(account.deficit)}"
        portfolio_trip(portfolio_id=account.pk, kind=Kind.DEFICIT, why=why, now=now)
