"""Fidelity kept: what each part of a copying order answers to, told when the order is stored (BEY-2).

The fills are measured against it soon after, see ``engine.fidelity_measuring``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from core.decimals import QUANTITY_STEP, ZERO, to_price, to_step
from core.instruments import Instrument, underlying_of
from engine.domain.copy_types import FollowInput, FollowState, LegMemory
from engine.domain.fidelity import PriceKind, TraderAct, unsized_bps
from engine.domain.plan_types import CopyPlan, LegTarget
from engine.gather import Gathered
from engine.models import CopiedSlice
from execution.models import OrderSlice
from traders.domain.trades import trades_behind
from traders.models import TraderSnapshot
from traders.own_trades import own_trades
from traders.payloads import positions_load

Leg = tuple[int, str]  # follow id and underlying


@dataclass(frozen=True, slots=True)
class _Basis:
    """The snapshot in which a trader's change was first read, and when it was read before that."""

    snapshot: TraderSnapshot
    before_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One trader's part of one stored order.

    :param instrument: the portfolio's own; ``mark`` is what the order was decided on
    """

    row: OrderSlice
    target: LegTarget
    follow: FollowInput
    instrument: Instrument
    mark: Decimal

    @property
    def leg(self) -> Leg:
        return self.follow.follow_id, self.target.underlying

    @property
    def memory(self) -> LegMemory:
        """What was adopted of the leg before this decision."""
        return self.follow.memory.get(self.target.underlying, LegMemory())

    @property
    def change(self) -> Decimal:
        """What the trader changed since, signed, in units of the underlying; 0 where it was not read."""
        if self.target.trader_quantity is None:
            return ZERO
        return self.target.trader_quantity - self.memory.trader_quantity

    @property
    def copies_a_trade(self) -> bool:
        """Tell whether the part goes the way the trader went; one that is left or stopped goes its own."""
        speaks = self.follow.state in (FollowState.ACTIVE, FollowState.PAUSED)
        return speaks and self.change * self.row.quantity > 0

    @property
    def unfinished(self) -> bool:
        """Tell whether an earlier order was to bring the slice here, and did not or not wholly."""
        missing = self.memory.target_quantity - self.target.held
        return missing * self.row.quantity > 0 and abs(missing) * self.mark >= self.instrument.min_notional


def copied_slices_store(*, plan: CopyPlan, gathered: Gathered, order_ids: Collection[int]) -> None:
    """Keep what each trader's part of these orders answers to, inside the transaction that stores them."""
    parts = _parts(plan, gathered, order_ids) if order_ids else []
    if not parts:
        return
    bases = _bases(gathered, {part.follow.follow_id for part in parts if part.copies_a_trade})
    earlier = _earlier([part for part in parts if not part.copies_a_trade and part.unfinished], gathered)
    CopiedSlice.objects.bulk_create(
        _row(part, _act(part, gathered, bases, earlier), plan, gathered.world.run) for part in parts
    )


def _parts(plan: CopyPlan, gathered: Gathered, order_ids: Collection[int]) -> list[_Part]:
    targets = {(target.follow_id, target.underlying): target for target in plan.targets}
    follows = {follow.follow_id: follow for follow in gathered.inputs.follows}
    rows = OrderSlice.objects.filter(order_id__in=order_ids, follow__in=list(follows)).select_related("order")
    return [
        _Part(
            row=row,
            target=targets[row.follow_id, row.order.underlying],
            follow=follows[row.follow_id],
            instrument=gathered.inputs.markets[row.order.underlying].instrument,
            mark=row.order.decision_mark,
        )
        for row in rows.order_by("pk")
        if row.follow_id is not None
    ]


def _row(part: _Part, act: TraderAct, plan: CopyPlan, run: int) -> CopiedSlice:
    wanted = to_step(part.target.wanted_notional / part.mark, QUANTITY_STEP)
    wished, sent = wanted - part.target.held, part.row.quantity + _transferred(plan, part.leg)
    return CopiedSlice(
        order_slice=part.row,
        follow_id=part.follow.follow_id,
        underlying=part.target.underlying,
        run=run,
        wished=wished,
        sent=sent,
        unsized_bps=unsized_bps(wished=wished, sent=sent),
        own_price=to_price(act.price),
        price_kind=act.kind.value,
        acted_from_at=act.from_at,
        acted_until_at=act.until_at,
    )


def _transferred(plan: CopyPlan, leg: Leg) -> Decimal:
    """Return what internal transfers change of a slice, signed."""
    moves = [transfer for transfer in plan.transfers if transfer.underlying == leg[1]]
    bought = sum((move.quantity for move in moves if move.to_follow_id == leg[0]), ZERO)
    return bought - sum((move.quantity for move in moves if move.from_follow_id == leg[0]), ZERO)


# ---------------------------------------------------------------- what the trader did, and at what price
def _act(
    part: _Part, gathered: Gathered, bases: Mapping[int, _Basis], earlier: Mapping[Leg, CopiedSlice]
) -> TraderAct:
    """Say what the trader did that this part copies, by the surest record there is."""
    basis = bases.get(part.follow.follow_id)
    if not part.copies_a_trade or basis is None:
        return _act_again(part, earlier.get(part.leg))
    act = _traded(part, basis, gathered) or _reported(part, basis)
    joined = gathered.joins.get(part.follow.follow_id) is not None
    if joined and (act.until_at is None or act.until_at <= _began_at(part, gathered)):
        return TraderAct(act.price, PriceKind.JOINED, act.from_at, act.until_at)
    return act


def _act_again(part: _Part, before: CopiedSlice | None) -> TraderAct:
    """Return what an unfinished change answers to already; nobody's trade where there is none."""
    if before is None or before.sent * part.row.quantity <= 0:
        return TraderAct(part.mark, PriceKind.NOBODY)
    kind = PriceKind(before.price_kind)
    return TraderAct(before.own_price, kind, before.acted_from_at, before.acted_until_at)


def _traded(part: _Part, basis: _Basis, gathered: Gathered) -> TraderAct | None:
    """Return the trader's own trades that made the change, where its source tells of them."""
    trader = gathered.follows[part.follow.follow_id].trader
    trades = own_trades(
        trader=trader,
        underlying=part.target.underlying,
        run=basis.snapshot.run,
        until_at=basis.snapshot.world_at,
    )
    found = trades_behind(trades=trades, change=part.change) if trades else None
    if found is None or found.price <= 0:
        return None
    price = found.price * part.instrument.multiplier
    return TraderAct(price, PriceKind.FILL, found.from_at, found.until_at)


def _reported(part: _Part, basis: _Basis) -> TraderAct:
    """Tell the price from what the trader reports, and the time from when it was read before and after."""
    underlying, units = part.target.underlying, part.instrument.multiplier
    from_at, until_at = basis.before_at, basis.snapshot.world_at
    leg = part.follow.book.legs.get(underlying) if part.follow.book else None
    grew = leg is not None and leg.quantity * part.change > 0
    added = part.follow.added.get(underlying)
    if grew and part.memory.trader_quantity * part.change > 0 and added:
        return TraderAct(added * units, PriceKind.ADDED, from_at, until_at)
    opened = grew and part.memory.trader_quantity * part.change <= 0
    if leg is not None and opened and leg.entry_price is not None and leg.entry_price > 0:
        told = leg.opened_at if leg.opened_at is not None and leg.opened_at <= until_at else None
        return TraderAct(leg.entry_price * units, PriceKind.ENTRY, told or from_at, told or until_at)
    return TraderAct(_seen_price(part, basis.snapshot), PriceKind.SEEN, from_at, until_at)


def _seen_price(part: _Part, snapshot: TraderSnapshot) -> Decimal:
    """Return the source's mark when the change was first read; where it names none, ours of this decision."""
    for position in positions_load(snapshot.positions):
        underlying, units = underlying_of(position.code)
        if underlying == part.target.underlying and position.mark_price:
            return position.mark_price / units * part.instrument.multiplier
    return part.mark


def _began_at(part: _Part, gathered: Gathered) -> datetime:
    follow = gathered.follows[part.follow.follow_id]
    return gathered.clock.at(follow.resumed_at or follow.created_at)


# ---------------------------------------------------------------- reading
def _bases(gathered: Gathered, follow_ids: Iterable[int]) -> dict[int, _Basis]:
    """Return the basis of each follow's trader, with the time of the read before it: at most one query."""
    wanted = {
        follow_id: basis_id
        for follow_id in follow_ids
        if (basis_id := gathered.follows[follow_id].trader.basis_snapshot_id) is not None
    }
    found = {follow_id: gathered.books.get(basis_id) for follow_id, basis_id in wanted.items()}
    before = gathered.books.notes(set(wanted.values()), read=_read_before)
    return {
        follow_id: _Basis(snapshot, before[snapshot.pk])
        for follow_id, snapshot in found.items()
        if snapshot is not None
    }


def _read_before(basis_ids: Iterable[int]) -> dict[int, datetime]:
    """Return when a trader was read before each of these snapshots; nothing for one that is the first."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_BEFORE, {"ids": sorted(basis_ids)})
        return dict(cursor.fetchall())


_READ_BEFORE = """
    SELECT basis.id, earlier.world_at FROM traders_tradersnapshot AS basis
    CROSS JOIN LATERAL (
        SELECT s.world_at FROM traders_tradersnapshot AS s
        WHERE s.trader_id = basis.trader_id AND s.run = basis.run AND s.world_at < basis.world_at
        ORDER BY s.world_at DESC LIMIT 1
    ) AS earlier
    WHERE basis.id = ANY(%(ids)s)
"""


def _earlier(parts: Iterable[_Part], gathered: Gathered) -> dict[Leg, CopiedSlice]:
    """Return the newest slice of this run that copied a trade, for each of these legs: one query, or none."""
    legs = {part.leg for part in parts}
    if not legs:
        return {}
    rows = CopiedSlice.objects.filter(
        follow__in={leg[0] for leg in legs}, underlying__in={leg[1] for leg in legs}, run=gathered.world.run
    ).exclude(price_kind=PriceKind.NOBODY)
    newest = rows.order_by("follow_id", "underlying", "-order_slice_id").distinct("follow_id", "underlying")
    return {(row.follow_id, row.underlying): row for row in newest}
