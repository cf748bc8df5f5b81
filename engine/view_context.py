"""Everything a portfolio's view is made of, read once, and the small formatters it needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet

from accounts.models import Portfolio
from alerts.selectors import alerts_unread
from allocation.breakers import thresholds_of, trips_standing
from allocation.domain.breakers import BreakerThresholds
from allocation.domain.limits import Limits
from allocation.models import BreakerTrip, CapitalAccount, Follow
from allocation.own_limits import limits_of
from core.decimals import ZERO, plain, to_money, to_price
from core.types import TraderKind
from engine.breakers import streaks_read
from engine.models import Command, CycleState, Decision, ExitTrigger, FollowFidelity
from engine.style import alarms_standing
from engine.trader_stats import stats_read
from execution.models import Order
from markets.models import Mark, World
from positions.models import ConflictApproval, ConflictRecord, ExitGuard, Position, Valuation
from positions.selectors import FollowResult, WinCount, follow_results, win_count
from traders.models import StrategySignal, StyleAlarm, Trader
from traders.selectors import TraderStats, TraderStatus, signals_latest, trader_statuses_of

ACTIVITY_LENGTH: Final = 30
COMMANDS_LENGTH: Final = 10
MARK_STALE_AFTER: Final = timedelta(seconds=15)
HUNDRED: Final = Decimal(100)
CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Books:
    """What only a booking changes, and a booking raises the capital account's version."""

    positions: tuple[Position, ...]  # open ones, with their slices
    results: Mapping[int | None, FollowResult]
    wins: WinCount
    losses_in_a_row: int


@dataclass(frozen=True, slots=True)
class ViewContext:
    """One consistent reading of a portfolio."""

    now: datetime
    portfolio: Portfolio
    world: World | None
    world_at: datetime
    capital: CapitalAccount
    valuation: Valuation
    cycle: CycleState
    limits: Limits
    follows: Mapping[int, Follow]  # removed ones included, since old slices and decisions name them
    current: tuple[Follow, ...]  # not removed, in order
    stats: Mapping[int, TraderStats]
    syncs: Mapping[int, TraderStatus]
    fidelity: Mapping[int, FollowFidelity]  # by follow; of this run, once a copied fill was measured
    styles: Mapping[int, list[StyleAlarm]]  # by follow: changes of style that stand, not dismissed
    signals: Mapping[int, list[StrategySignal]]  # the newest per instrument, of traders that are strategies
    books: Books
    marks: Mapping[str, Mark]
    guards: Mapping[int, ExitGuard]  # by position; a stop that trails moves without a booking
    triggers: Mapping[int, ExitTrigger]  # those that stand, by position
    orders: tuple[Order, ...]
    conflicts: tuple[ConflictRecord, ...]
    approvals: Mapping[str, ConflictApproval]  # those that wait, by underlying
    thresholds: BreakerThresholds
    trips: tuple[BreakerTrip, ...]  # those that stand, the oldest first
    decisions: tuple[Decision, ...]
    commands: tuple[Command, ...]  # newest first
    alerts_unread: int  # of its owner, whatever they are about

    @property
    def run(self) -> int:
        """The run of the portfolio's world."""
        return self.world.run if self.world else 1

    def mark_price(self, code: str) -> Decimal | None:
        """Return the last price of an instrument in the portfolio's world, None when there is none."""
        mark = self.marks.get(code)
        return mark.price if mark else None

    def mark_is_stale(self, code: str) -> bool:
        """Tell whether an instrument has no mark of the last 15 seconds."""
        mark = self.marks.get(code)
        return mark is None or self.now - mark.received_at > MARK_STALE_AFTER

    def trader_chip(self, follow_id: int | None) -> dict[str, object]:
        """Return how a trader is named in a chip; the owner's own part has no follow."""
        follow = self.follows.get(follow_id) if follow_id is not None else None
        if follow is None:
            return {"follow_id": None, "monogram": "ME", "hue": 0}
        return {"follow_id": follow.pk, "monogram": follow.trader.monogram, "hue": follow.hue}


def context_read(*, portfolio: Portfolio, now: datetime, last: ViewContext | None = None) -> ViewContext:
    """Read everything the view needs, in a constant number of queries, the portfolio's own row anew.

    :param last: an earlier reading, from which the books are taken over if nothing was booked since
    """
    portfolio = Portfolio.objects.select_related("capital", "valuation", "cycle").get(pk=portfolio.pk)
    world = World.objects.filter(pk=portfolio.world).first() if portfolio.world else None
    follows = {
        f.pk: f for f in Follow.objects.filter(portfolio=portfolio).select_related("trader__latest_snapshot")
    }
    current = tuple(
        sorted(
            (f for f in follows.values() if f.status != Follow.Status.REMOVED), key=lambda f: (f.place, f.pk)
        )
    )
    booked = last is None or last.capital.version != portfolio.capital.version
    thresholds = thresholds_of(portfolio=portfolio)
    books = _books_read(portfolio, thresholds) if booked or last is None else last.books
    return ViewContext(
        now=now,
        portfolio=portfolio,
        world=world,
        world_at=world.clock().at(now) if world else now,
        capital=portfolio.capital,
        valuation=portfolio.valuation,
        cycle=portfolio.cycle,
        limits=limits_of(portfolio=portfolio),
        follows=follows,
        current=current,
        stats=stats_read(traders=[f.trader for f in current], now=now),
        syncs=trader_statuses_of(traders=[f.trader for f in current], now=now),
        fidelity={
            row.follow_id: row
            for row in FollowFidelity.objects.filter(follow__in=current, run=world.run if world else 1)
        },
        styles=alarms_standing(follows=current),
        signals=_signals_of(current),
        books=books,
        marks=_marks_of(portfolio, books.positions),
        guards=_guards_of(books.positions),
        triggers={
            row.position_id: row
            for row in ExitTrigger.objects.filter(portfolio=portfolio, status__in=ExitTrigger.STANDING)
        },
        orders=tuple(
            Order.objects.filter(portfolio=portfolio, status__in=Order.OPEN_STATUSES).order_by("id")
        ),
        conflicts=tuple(
            ConflictRecord.objects.filter(portfolio=portfolio, ended_at__isnull=True).order_by("-id")
        ),
        thresholds=thresholds,
        trips=tuple(trips_standing(portfolio_id=portfolio.pk)),
        approvals={
            row.underlying: row
            for row in ConflictApproval.objects.filter(
                portfolio=portfolio, status=ConflictApproval.Status.WAITING
            )
        },
        decisions=tuple(_decisions(portfolio)),
        commands=tuple(
            Command.objects.filter(portfolio=portfolio).order_by("-accepted_at", "pk")[:COMMANDS_LENGTH]
        ),
        alerts_unread=alerts_unread(owner_id=portfolio.owner_id),
    )


def context_reprice(*, context: ViewContext, now: datetime) -> ViewContext:
    """Return a reading with the world's clock, marks, exit levels and worth of now: four queries.

    The books stay as they were read: whoever changes those says so, and they are read again then.
    """
    portfolio = context.portfolio
    world = World.objects.filter(pk=portfolio.world).first() if portfolio.world else None
    return replace(
        context,
        now=now,
        world=world,
        world_at=world.clock().at(now) if world else now,
        valuation=Valuation.objects.get(portfolio=portfolio),
        marks=_marks_of(portfolio, context.books.positions),
        guards=_guards_of(context.books.positions),
    )


def _signals_of(follows: tuple[Follow, ...]) -> dict[int, list[StrategySignal]]:
    strategies = [f.trader_id for f in follows if f.trader.kind == TraderKind.STRATEGY]
    return signals_latest(trader_ids=strategies) if strategies else {}


def _guards_of(positions: tuple[Position, ...]) -> dict[int, ExitGuard]:
    guards = ExitGuard.objects.filter(pk__in=[position.pk for position in positions], ended_at__isnull=True)
    return {guard.position_id: guard for guard in guards}


def _marks_of(portfolio: Portfolio, positions: tuple[Position, ...]) -> dict[str, Mark]:
    codes = {position.instrument_id for position in positions}
    return {
        m.instrument_id: m for m in Mark.objects.filter(world_id=portfolio.world, instrument_id__in=codes)
    }


def _books_read(portfolio: Portfolio, thresholds: BreakerThresholds) -> Books:
    streaks = streaks_read(rows={portfolio.pk: portfolio.valuation}, most=thresholds.losses_in_a_row)
    return Books(
        positions=tuple(
            Position.objects.filter(portfolio=portfolio)
            .exclude(status=Position.Status.CLOSED)
            .select_related("instrument")
            .prefetch_related("slices")
            .order_by("id")
        ),
        results=follow_results(portfolio_id=portfolio.pk),
        wins=win_count(portfolio_id=portfolio.pk),
        losses_in_a_row=streaks[portfolio.pk],
    )


def _decisions(portfolio: Portfolio) -> QuerySet[Decision]:
    """Return the newest decisions, each with the ids of the follows it concerns as ``follow_ids``."""
    links = Decision.follows.through.objects.filter(decision_id=OuterRef("pk"))
    concerned = ArraySubquery(links.order_by("follow_id").values("follow_id"))
    newest = Decision.objects.filter(portfolio=portfolio).order_by("-id")
    return newest.annotate(follow_ids=concerned)[:ACTIVITY_LENGTH]


def unrealized_by_follow(context: ViewContext) -> defaultdict[int | None, Decimal]:
    """Return the unrealized P&L of each follow's open slices at their last marks; None: the owner's."""
    result: defaultdict[int | None, Decimal] = defaultdict(lambda: ZERO)
    for position in context.books.positions:
        price = context.mark_price(position.instrument_id)
        if price is not None:
            for part in position.slices.all():
                result[part.follow_id] += part.quantity * price - part.cost
    return result


def money(value: Decimal | None) -> str | None:
    """Write an amount with up to 8 places, no trailing zeros."""
    return None if value is None else plain(to_money(value))


def price(value: Decimal | None) -> str | None:
    """Write a price with up to 12 places, no trailing zeros."""
    return None if value is None else plain(to_price(value))


def percent(value: Decimal | None) -> str | None:
    """Write a fraction as percent points to two places ("0.0253" → "2.53")."""
    return None if value is None else str((value * HUNDRED).quantize(CENT))


def points(value: Decimal | None) -> str | None:
    """Write percent points to two places."""
    return None if value is None else str(value.quantize(CENT))


def ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return part ÷ whole, None where there is no whole."""
    return part / whole if whole else None


def iso(at: datetime | None) -> str | None:
    """Write a time as ISO-8601 UTC to the millisecond."""
    return (
        None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def short_key(trader: Trader) -> str:
    """Return a wallet address shortened for display, or the recorded trader's name."""
    return f"{trader.key[:6]}…{trader.key[-4:]}" if trader.key.startswith("0x") else trader.key
