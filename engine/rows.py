"""The rows that copy decisions depend on: of many portfolios of one world, each kind in one statement.

Deciding anew for many portfolios reads the same marks, instruments and traders for each of them, and asks a
dozen small questions about each. Here all of it is asked once. What belongs to a portfolio is in its
:class:`PortfolioRows`, what they share in :class:`WorldRows`, which nobody changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.models import Portfolio
from allocation.models import BlockedUnderlying, BreakerTrip, CapitalAccount, Follow, FollowLeg
from core.instruments import Instrument
from core.types import ConflictRule
from engine.barring import BarringRows, barring_read
from engine.domain.copy_types import Market
from engine.follow_views import SnapshotBooks
from execution.desks import ON_PAPER, Desk, desks_of
from execution.models import Order
from execution.orders import orders_unheard
from markets.models import LIVE, MarketContext, World
from markets.selectors import MarkData, contexts_recent, instruments_for, marks_for
from positions.approvals import approvals_newest_of
from positions.models import ConflictApproval, ConflictOverride, ConflictRecord, Position
from positions.selectors import portfolios_with_past
from positions.valuation import BooksAtMark, books_at_marks
from traders.models import TraderSnapshot


@dataclass(frozen=True, slots=True)
class WorldRows:
    """What the decisions of one world share.

    :param instruments: that have a mark, by code
    :param plain: the plainest of them for each underlying, with its mark
    :param contexts: how much trades, by code; in the live world alone
    :param books: the traders' snapshots, and what they come to at these marks
    """

    marks: Mapping[str, MarkData]
    instruments: Mapping[str, Instrument]
    plain: Mapping[str, Market]
    contexts: Mapping[str, MarketContext]
    books: SnapshotBooks


@dataclass(frozen=True, slots=True)
class PortfolioRows:
    """What one portfolio's decision depends on.

    :param positions: the open position per underlying
    :param orders: those that may still change, oldest first
    :param stopped: follows whose copy stop-loss stands
    :param conflicts: the records of those that stand
    :param worth: its books at the marks
    :param bars: what keeps it from opening in single underlyings
    :param unheard: an order whose outcome is not known
    :param has_past: has it closed anything of a trader's?
    """

    world: WorldRows
    account: CapitalAccount
    positions: Mapping[str, Position]
    orders: Sequence[Order]
    follows: list[Follow]
    legs: Sequence[FollowLeg]
    stopped: Collection[int]
    desk: Desk
    approvals: Mapping[str, ConflictApproval]
    worth: BooksAtMark
    conflicts: Sequence[ConflictRecord]
    overrides: Mapping[str, ConflictRule]
    blocked: frozenset[str]
    bars: BarringRows
    unheard: Order | None
    has_past: bool


def rows_read(*, portfolios: Iterable[Portfolio], world: World, now: datetime) -> dict[int, PortfolioRows]:
    """Return the rows of each of these portfolios, which live in ``world``; the caller holds a snapshot.

    One without a capital account is left out.
    """
    ids = [portfolio.pk for portfolio in portfolios]
    follows = _follows(ids)
    shared = _world_rows(world, _all(follows), now)
    legs = _grouped(FollowLeg.objects.filter(follow__in=_all(follows)), "follow_id")
    positions = _positions(ids)
    orders = Order.objects.filter(portfolio__in=ids, status__in=Order.OPEN_STATUSES).order_by("id")
    working = _grouped(orders, "portfolio_id")
    stopped, desks = _stopped(ids), desks_of(portfolio_ids=ids)
    approvals = approvals_newest_of(portfolio_ids=ids, run=world.run)
    worth = {books.portfolio_id: books for books in books_at_marks(portfolio_ids=ids)}
    standing = ConflictRecord.objects.filter(portfolio__in=ids, ended_at__isnull=True)
    conflicts = _grouped(standing, "portfolio_id")
    overrides = _grouped(ConflictOverride.objects.filter(portfolio__in=ids), "portfolio_id")
    blocked = _grouped(BlockedUnderlying.objects.filter(portfolio__in=ids), "portfolio_id")
    bars = barring_read(positions=positions, now=now)
    unheard = orders_unheard(portfolio_ids=ids, now=now)
    with_past = portfolios_with_past(portfolio_ids=ids)
    accounts = CapitalAccount.objects.in_bulk(ids)
    return {
        pk: PortfolioRows(
            world=shared,
            account=accounts[pk],
            positions=positions[pk],
            orders=working[pk],
            follows=follows[pk],
            legs=[leg for follow in follows[pk] for leg in legs[follow.pk]],
            stopped=stopped[pk],
            desk=desks.get(pk, ON_PAPER),
            approvals=approvals.get(pk, {}),
            worth=worth[pk],
            conflicts=conflicts[pk],
            overrides={row.underlying: ConflictRule(row.rule) for row in overrides[pk]},
            blocked=frozenset(row.underlying for row in blocked[pk]),
            bars=bars[pk],
            unheard=unheard.get(pk),
            has_past=pk in with_past,
        )
        for pk in ids
        if pk in accounts
    }


def _world_rows(world: World, follows: Sequence[Follow], now: datetime) -> WorldRows:
    marks = marks_for(world=world.name, now=now)
    instruments = instruments_for(world=world.name)
    wanted = {pk for f in follows for pk in (f.trader.basis_snapshot_id, f.decided_basis_id) if pk}
    contexts = contexts_recent(codes=instruments, now=now) if world.name == LIVE else {}
    return WorldRows(
        marks=marks,
        instruments=instruments,
        plain=markets_plain(instruments=instruments, marks=marks),
        contexts=contexts,
        books=SnapshotBooks(snapshots=TraderSnapshot.objects.in_bulk(wanted), marks=marks),
    )


def markets_plain(
    *, instruments: Mapping[str, Instrument], marks: Mapping[str, MarkData]
) -> dict[str, Market]:
    """Return the plainest instrument per underlying that has a mark: "BTC" before "UBTC", the coin before
    a thousand of it.
    """
    result: dict[str, Market] = {}
    for code in sorted(instruments, key=lambda code: (instruments[code].multiplier != 1, len(code), code)):
        spec = instruments[code]
        if code in marks and spec.underlying not in result:
            mark = marks[code]
            result[spec.underlying] = Market(instrument=spec, mark=mark.price, stale=mark.stale)
    return result


def _follows(ids: Sequence[int]) -> dict[int, list[Follow]]:
    rows = Follow.objects.filter(portfolio__in=ids).exclude(status=Follow.Status.REMOVED)
    return _grouped(rows.select_related("trader").order_by("place", "id"), "portfolio_id")


def _positions(ids: Sequence[int]) -> dict[int, dict[str, Position]]:
    rows = (
        Position.objects.filter(portfolio__in=ids)
        .exclude(status=Position.Status.CLOSED)
        .select_related("instrument")
        .prefetch_related("slices")
    )
    found: dict[int, dict[str, Position]] = {pk: {} for pk in ids}
    for position in rows:
        found[position.portfolio_id][position.underlying] = position
    return found


def _stopped(ids: Sequence[int]) -> dict[int, set[int]]:
    standing = BreakerTrip.objects.filter(
        portfolio__in=ids,
        kind=BreakerTrip.Kind.COPY_STOP,
        reset_at__isnull=True,
        follow__status=Follow.Status.PAUSED,
    )
    found: dict[int, set[int]] = defaultdict(set)
    for portfolio_id, follow_id in standing.values_list("portfolio_id", "follow_id"):
        found[portfolio_id].add(follow_id)
    return found


def _all(follows: Mapping[int, list[Follow]]) -> list[Follow]:
    return [follow for own in follows.values() for follow in own]


def _grouped(rows: Iterable[Any], name: str) -> dict[int, list[Any]]:
    """Return rows by one of their columns, in their order; an empty list for who has none."""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found
