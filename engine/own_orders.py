"""Exits of our own: what the owner or a breaker closes, beside all copying (EXE-8).

One order works per underlying at a time. What opens is called back first, what reduces is waited for; while
the wish stands the copy cycle opens nothing there. The moment nothing works, one transaction stores the
closing order and lets go of what it sells: the traders may go on holding it, it is not bought again until
they close, flip or add.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final
from uuid import UUID

from django.db import transaction

from accounts.models import Portfolio
from allocation.capital import capital_version_raise
from allocation.domain.copied import copied_after_exit
from allocation.domain.limits import gross_cap
from allocation.locks import capital_lock
from allocation.models import FollowLeg
from core.decimals import ONE, QUANTITY_STEP, ZERO, plain, to_money, to_step
from core.errors import InputError, NotFound
from engine.closing import position_facts
from engine.decisions import DecisionNote, decision_store, world_time
from engine.domain.exit_draft import exit_draft
from engine.domain.legs import Leg, scene_gather
from engine.domain.plan_types import Purpose
from engine.gather import cycle_gather
from engine.legs import legs_forget
from engine.models import CycleState
from engine.order_life import orders_ask, orders_call_back
from engine.publishing import portfolio_changed
from engine.sending import submit_later
from execution.desks import desk_of
from execution.models import Order
from execution.orders import order_create
from markets.models import Mark, World
from positions.domain.netting import SliceDelta, slices_cross
from positions.models import Position
from positions.services import transfers_book

LIFETIME_S: Final = 60


@dataclass(frozen=True, slots=True)
class Closing:
    """What became of the wish to close.

    :param order_id: the closing order, stored now or by an earlier call of the same command
    :param waits_for: orders that have to end first; call again then
    :param crossed: nothing is held in all, and the traders' slices were settled among themselves
    """

    order_id: int | None = None
    waits_for: tuple[int, ...] = ()
    crossed: bool = False


@dataclass(frozen=True, slots=True)
class _Exit:
    """The wish: ``quantity`` where it is given, else ``fraction`` of what is held."""

    fraction: Decimal
    quantity: Decimal | None
    market: bool
    command_id: UUID | None
    origin: str


def position_close(
    *,
    portfolio: Portfolio,
    position_id: int,
    fraction: Decimal,
    market: bool,
    command_id: UUID | None,
    origin: str,
    now: datetime,
    quantity: Decimal | None = None,
) -> Closing:
    """Close a part of a position, or all of it, whatever its traders do (EXT-1: manual close).

    An order of this command that still works is not doubled. Must be called outside a transaction.

    :param fraction: 0 < fraction ≤ 1 of what is held once nothing else works on it
    :param quantity: close exactly this much instead, base units, at most what is held
    :param market: take what is offered; else the limit is 1 % beyond the mark
    :param origin: "person" or "breaker"
    :raises NotFound: the portfolio has no such position
    :raises InputError: it is closed already, has no price, or the part is below the venue's smallest step
    """
    wish = _Exit(fraction=fraction, quantity=quantity, market=market, command_id=command_id, origin=origin)
    closing = _close(portfolio=portfolio, position_id=position_id, wish=wish, now=now)
    if closing.waits_for:
        opening = Order.objects.filter(pk__in=closing.waits_for, reduce_only=False)
        called = list(opening.order_by("pk").values_list("pk", flat=True))
        orders_call_back(order_ids=called, why="The position is being closed", now=now)
        orders_ask(order_ids=called, now=now)
        closing = _close(portfolio=portfolio, position_id=position_id, wish=wish, now=now)
    return closing


@transaction.atomic
def _close(*, portfolio: Portfolio, position_id: int, wish: _Exit, now: datetime) -> Closing:
    """Store the closing order if nothing works on the position, or say what does."""
    capital_lock(portfolio_id=portfolio.pk)
    position = _position(portfolio, position_id)
    working = Order.objects.filter(
        portfolio=portfolio, underlying=position.underlying, status__in=Order.OPEN_STATUSES
    )
    works = list(working.order_by("pk").values_list("pk", "command_id"))
    own = [pk for pk, command_id in works if wish.command_id and command_id == wish.command_id]
    if own:
        return Closing(order_id=own[0])
    if works:
        return Closing(waits_for=tuple(pk for pk, _ in works))
    mark = _mark(portfolio, position)
    if position.quantity == 0:
        _slices_settle(portfolio=portfolio, position=position, wish=wish, mark=mark, now=now)
        return Closing(crossed=True)
    return Closing(order_id=_order_store(portfolio, position, wish, mark, now))


def _position(portfolio: Portfolio, position_id: int) -> Position:
    position = Position.objects.filter(portfolio=portfolio, pk=position_id).first()
    if position is None:
        raise NotFound(f"This portfolio has no position {position_id}.", field="position_id")
    if position.status == Position.Status.CLOSED:
        raise InputError(f"The position in {position.underlying} is closed already.", field="position_id")
    return position


def _mark(portfolio: Portfolio, position: Position) -> Decimal:
    mark = Mark.objects.filter(world_id=portfolio.world, instrument_id=position.instrument_id).first()
    if mark is None:
        raise InputError(
            f"{position.instrument_id} has no price here, so nothing says what it may be closed at.",
            field="position_id",
        )
    return mark.price


def _order_store(portfolio: Portfolio, position: Position, wish: _Exit, mark: Decimal, now: datetime) -> int:
    """Store the closing order and let go of what it sells."""
    quantity = _quantity(position, wish)
    held = position_facts(position=position)
    if not held.closable:
        raise InputError(
            f"The account shows nothing of {position.instrument_id} any more. Settle the finding on the page "
            "of its account.",
            field="position_id",
        )
    quantity = min(quantity, held.closable)
    whole = quantity == abs(position.quantity)
    draft = exit_draft(
        held=held,
        quantity=quantity,
        mark=mark,
        market=wish.market,
        purpose=Purpose.CLOSE if whole else Purpose.REDUCE,
        reason="Its owner closes it" if wish.origin == Order.Origin.PERSON else "A breaker closes it",
        lifetime_s=LIFETIME_S,
        origin=wish.origin,
        command_id=wish.command_id,
    )
    _, run = world_time(world_name=portfolio.world, now=now)
    order = order_create(portfolio_id=portfolio.pk, draft=draft, reservation_id=None, run=run, now=now)
    fraction = ONE if whole else quantity / abs(position.quantity)
    legs_release(portfolio_id=portfolio.pk, underlyings=[position.underlying], fraction=fraction, now=now)
    _note(portfolio, position, text=f"Closing {_what(quantity, whole, position)}", why=draft.reason, now=now)
    transaction.on_commit(partial(submit_later, order.pk))
    portfolio_changed(portfolio_id=portfolio.pk)
    return order.pk


def _quantity(position: Position, wish: _Exit) -> Decimal:
    """Return how much to close, positive: all of it exactly, a part in whole steps of the venue."""
    held = abs(position.quantity)
    spec = desk_of(portfolio_id=position.portfolio_id).spec(position.instrument)
    wanted = wish.fraction * held if wish.quantity is None else wish.quantity
    if wanted >= held:
        return held
    quantity = spec.quantity(wanted)
    if quantity == 0:
        raise InputError(
            f"{plain(wanted)} {position.instrument_id} is below the venue's smallest step of "
            f"{plain(spec.quantity_step)}. Close a larger part, or all of it.",
            field="percent",
        )
    return quantity


def _slices_settle(
    *, portfolio: Portfolio, position: Position, wish: _Exit, mark: Decimal, now: datetime
) -> None:
    """Shrink slices that net to nothing by settling them among each other at the mark, without an order."""
    fraction = wish.fraction if wish.quantity is None else ONE
    shares = [
        SliceDelta(part.follow_id, -to_step(part.quantity * fraction, QUANTITY_STEP))
        for part in position.slices.order_by("pk")
    ]
    transfers, _ = slices_cross(deltas=shares)
    world_at, run = world_time(world_name=portfolio.world, now=now)
    transfers_book(
        portfolio=portfolio,
        instrument_code=position.instrument_id,
        underlying=position.underlying,
        pairs=[(t.from_follow_id, t.to_follow_id, t.quantity) for t in transfers],
        mark=mark,
        margin_rate=position.margin_rate,
        run=run,
        now=now,
        world_at=world_at,
    )
    legs_release(portfolio_id=portfolio.pk, underlyings=[position.underlying], fraction=fraction, now=now)
    text = f"Settled {plain(fraction * 100)} % of {position.underlying} between its traders"
    _note(portfolio, position, text=text, why="Their parts net to nothing; no order is needed", now=now)
    portfolio_changed(portfolio_id=portfolio.pk)


def _what(quantity: Decimal, whole: bool, position: Position) -> str:
    part = "" if whole else f"{plain(quantity)} of "
    return f"{part}{plain(abs(position.quantity))} {position.instrument_id}"


def _note(portfolio: Portfolio, position: Position, *, text: str, why: str, now: datetime) -> None:
    follow_ids = [part.follow_id for part in position.slices.all() if part.follow_id is not None]
    note = DecisionNote(
        kind="own", underlying=position.underlying, text=text, reason=why, follow_ids=follow_ids
    )
    decision_store(portfolio=portfolio, note=note, now=now)


# ---------------------------------------------------------------- letting go
@transaction.atomic
def legs_release(*, portfolio_id: int, underlyings: Iterable[str], fraction: Decimal, now: datetime) -> None:
    """Let what the traders still hold go uncopied as far as our own exit takes it off (EXE-8).

    Afterwards each trader's wish is worth what its slice keeps, so that no cycle buys back what was sold.
    Call it in the transaction that stores the exit; it makes cycles in flight start over.

    :param fraction: of each slice that the exit closes: 1 all, 0 nothing (what was not bought stays unbought)
    """
    wanted = sorted(set(underlyings))
    capital_version_raise(portfolio_id=portfolio_id)
    if fraction == ONE:
        legs_forget(portfolio_id=portfolio_id, underlyings=wanted, now=now)
        return
    legs = FollowLeg.objects.filter(follow__portfolio_id=portfolio_id, underlying__in=wanted)
    wishes = _wishes(portfolio_id=portfolio_id, now=now)
    slices = _slices(portfolio_id=portfolio_id, underlyings=wanted)
    rows = list(legs.select_for_update(of=("self",)).order_by("pk"))
    for row in rows:
        key = (row.follow_id, row.underlying)
        _release(row, wishes.get(key), *slices.get(key, (ZERO, ZERO)), keeps=ONE - fraction)
        row.updated_at = now
    columns = ["ignored_quantity", "trader_quantity", "target_notional", "target_quantity", "updated_at"]
    FollowLeg.objects.bulk_update(rows, columns)


@dataclass(frozen=True, slots=True)
class _Wished:
    """What a trader wants of one underlying now, as ``copied_after_exit`` takes it.

    :param unit: notional per unit of the trader's, before its legs were scaled to its share
    """

    unit: Decimal
    others: Decimal
    allowed: Decimal


def _release(row: FollowLeg, wished: _Wished | None, held: Decimal, mark: Decimal, *, keeps: Decimal) -> None:
    """Move the part of a leg that our exit closes from what is copied to what is not."""
    left = to_step(held * keeps, QUANTITY_STEP)
    copied = row.trader_quantity
    if wished is None:
        stays = to_step(copied * keeps, QUANTITY_STEP)
    else:
        stays = copied_after_exit(
            copied=copied,
            wish=wished.unit * copied,
            remains=left * mark,
            others=wished.others,
            allowed=wished.allowed,
        )
    row.ignored_quantity += copied - stays
    row.trader_quantity = stays
    row.target_notional = to_money(row.target_notional * stays / copied) if copied else ZERO
    # A reduction that was under way is finished: its slice was sent further than our exit leads.
    sent = row.target_quantity
    row.target_quantity = min(left, sent, key=abs) if left * sent > 0 else ZERO


def _wishes(*, portfolio_id: int, now: datetime) -> dict[tuple[int, str], _Wished]:
    """Return what each trader that votes wants now, by follow and underlying; nothing before a run begins."""
    cycle = CycleState.objects.select_related("portfolio").filter(portfolio_id=portfolio_id).first()
    world = World.objects.filter(pk=cycle.portfolio.world).first() if cycle else None
    if cycle is None or world is None or cycle.run != world.run:
        return {}
    inputs = cycle_gather(cycle=cycle, world=world, now=now).inputs
    scene = scene_gather(inputs=inputs)
    legs = [leg for group in scene.legs.values() for leg in group if leg.votes and leg.follow_id is not None]
    gross: dict[int | None, Decimal] = {}
    for leg in legs:
        gross[leg.follow_id] = gross.get(leg.follow_id, ZERO) + abs(_unscaled(leg))
    cap = max(inputs.equity, ZERO) * gross_cap(limits=inputs.limits, policy=inputs.policy)
    return {
        (leg.follow_id, leg.underlying): _Wished(
            unit=_unscaled(leg) / leg.trader_quantity,
            others=gross[leg.follow_id] - abs(_unscaled(leg)),
            allowed=leg.weight * cap,
        )
        for leg in legs
        if leg.follow_id is not None and leg.trader_quantity
    }


def _unscaled(leg: Leg) -> Decimal:
    """Return a leg's wish before its trader's legs were scaled to its share."""
    return leg.wish / leg.scale if leg.scale else ZERO


def _slices(
    *, portfolio_id: int, underlyings: Iterable[str]
) -> dict[tuple[int, str], tuple[Decimal, Decimal]]:
    """Return each trader's slice and the mark of its instrument."""
    held = Position.objects.filter(portfolio_id=portfolio_id, underlying__in=list(underlyings))
    positions = list(held.exclude(status=Position.Status.CLOSED).prefetch_related("slices"))
    world = Portfolio.objects.values_list("world", flat=True).get(pk=portfolio_id)
    codes = [position.instrument_id for position in positions]
    here = Mark.objects.filter(world_id=world, instrument_id__in=codes)
    marks = dict(here.values_list("instrument_id", "price"))
    return {
        (part.follow_id, position.underlying): (part.quantity, marks.get(position.instrument_id, ZERO))
        for position in positions
        for part in position.slices.all()
        if part.follow_id is not None
    }
