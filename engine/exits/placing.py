"""The orders of triggers: reduce-only, marketable, many in one transaction.

A stop, a trailing stop and a time stop take the price there is: the first order reaches 1 % beyond it, a
later one 5 %. A take profit keeps its limit half a percent from its target, so that it fills there or better.
What the order sells is let go of (EXE-8). A trigger whose position another order works on waits: what opens
is called back, what reduces for somebody else is waited for a moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Prefetch

from accounts.models import Portfolio
from allocation.capital import capital_versions_raise
from allocation.locks import capitals_lock_free
from core.decimals import ONE, ZERO, plain
from core.types import OrderSide
from engine.closing import position_facts
from engine.decisions import DecisionNote, Told, decisions_tell
from engine.domain.exit_draft import exit_draft
from engine.domain.plan_types import Purpose
from engine.legs import legs_forget_many
from engine.models import ExitTrigger
from engine.own_orders import legs_release
from execution.desks import ON_PAPER, Desk, desks_of
from execution.domain.orders import OrderDraft
from execution.models import Order
from execution.orders import orders_create
from markets.models import Mark, World
from positions.models import ExitGuard, Position

LIFETIME_S: Final = 15  # of a stop's order; then it is placed anew at the price there is
PROFIT_LIFETIME_S: Final = 60
PROFIT_REACH: Final = Decimal("0.005")
PRICE_FRESH: Final = timedelta(seconds=2)  # the price that was seen is used this long, then the mark
PATIENCE: Final = timedelta(seconds=2)  # what reduces for somebody else has this long
_GUARD_READ: Final = {"position", "episode", "ended_at"}
_GUARD_UNREAD: Final = [
    f"position__guard__{column.name}"
    for column in ExitGuard._meta.concrete_fields
    if column.name not in _GUARD_READ
]
NOTHING_THERE: Final = timedelta(seconds=30)  # a live position of which the venue shows nothing any more
_WORLDS: Final = Prefetch("portfolio", Portfolio.objects.only("world"))  # thousands at once: nothing more


@dataclass(slots=True)
class Placed:
    """What became of triggers that wanted an order.

    :param order_ids: orders that were stored and have to be sent
    :param locked: triggers whose portfolio was busy just now: try again at once
    :param call_back: orders that stand in the way and have to be called back
    """

    order_ids: list[int] = field(default_factory=list)
    locked: list[int] = field(default_factory=list)
    call_back: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An order about to be stored for a trigger."""

    trigger: ExitTrigger
    position: Position
    draft: OrderDraft
    whole: bool
    keeps: Decimal | None  # what a part leaves of the position


@transaction.atomic
def triggers_place(*, trigger_ids: Collection[int], now: datetime) -> Placed:
    """Store the next order of each waiting trigger on whose position nothing else works.

    Never waits for a portfolio that somebody else is booking in. Nothing is sent from here.
    """
    placed = Placed()
    if not trigger_ids:
        return placed
    asked = dict(ExitTrigger.objects.filter(pk__in=trigger_ids).values_list("pk", "portfolio_id"))
    free = capitals_lock_free(portfolio_ids=set(asked.values()))
    placed.locked = [pk for pk, portfolio_id in asked.items() if portfolio_id not in free]
    triggers = _waiting([pk for pk, portfolio_id in asked.items() if portfolio_id in free], now)
    busy = _working(triggers)
    open_now: list[ExitTrigger] = []
    for trigger in triggers:
        orders = busy.get((trigger.portfolio_id, trigger.position.underlying), ())
        if orders:
            placed.call_back += [order.pk for order in orders if _in_the_way(order, now)]
        else:
            open_now.append(trigger)
    wanted = _wanted(open_now, now)
    if wanted:
        placed.order_ids = _store(wanted, now)
    return placed


def _waiting(trigger_ids: Collection[int], now: datetime) -> list[ExitTrigger]:
    """Return the triggers that want an order now and whose position is still the one that was hit, locked."""
    rows = (
        ExitTrigger.objects.select_for_update(of=("self",))
        .select_related("position__guard")
        .defer(*_GUARD_UNREAD)
        .prefetch_related("position__slices", "position__instrument", _WORLDS)
        .filter(pk__in=trigger_ids, status=ExitTrigger.Status.WAITING)
        .order_by("pk")
    )
    return [row for row in rows if still_held(row) and (row.retry_at is None or row.retry_at <= now)]


def still_held(trigger: ExitTrigger) -> bool:
    """Tell whether a trigger's position is still open on the side that was hit."""
    guard = trigger.position.guard
    return guard.ended_at is None and guard.episode == trigger.episode and trigger.position.quantity != 0


def _working(triggers: Sequence[ExitTrigger]) -> Mapping[tuple[int, str], list[Order]]:
    found: dict[tuple[int, str], list[Order]] = defaultdict(list)
    rows = Order.objects.filter(
        portfolio_id__in={trigger.portfolio_id for trigger in triggers},
        underlying__in={trigger.position.underlying for trigger in triggers},
        status__in=Order.OPEN_STATUSES,
    )
    for row in rows.only("portfolio_id", "underlying", "reduce_only", "origin", "purpose", "created_at"):
        found[row.portfolio_id, row.underlying].append(row)
    return found


def _in_the_way(order: Order, now: datetime) -> bool:
    """Tell whether an exit calls an order back: what opens, an exit's own former order, what dawdles."""
    if order.purpose == Order.Purpose.LIQUIDATION:
        return False
    late = order.created_at <= now - PATIENCE
    return not order.reduce_only or order.origin == Order.Origin.EXIT or late


def _wanted(triggers: Sequence[ExitTrigger], now: datetime) -> list[_Wanted]:
    marks = _marks(triggers, now)
    desks = desks_of(portfolio_ids={trigger.portfolio_id for trigger in triggers})
    wanted: list[_Wanted] = []
    for trigger in triggers:
        desk = desks.get(trigger.portfolio_id, ON_PAPER)
        amount, keeps = part_left(trigger, desk=desk)
        closable = _closable(trigger, desk)
        if amount > 0 and closable == 0:
            trigger.retry_at = now + NOTHING_THERE
            trigger.text = "The account shows nothing of it any more"
            trigger.save(update_fields=["retry_at", "text"])
        elif amount > 0:
            amount = amount if closable is None else min(amount, closable)
            whole = amount == abs(trigger.position.quantity)
            price = marks.get(trigger.pk, trigger.price)
            draft = _draft(trigger, amount=amount, whole=whole, price=price, desk=desk)
            wanted.append(_Wanted(trigger, trigger.position, draft, whole=whole, keeps=keeps))
        else:
            _part_done(trigger, now, desk)
    return wanted


def _closable(trigger: ExitTrigger, desk: Desk) -> Decimal | None:
    """Return how much of a live position its venue still shows; None where that need not be looked at."""
    return position_facts(position=trigger.position, desk=desk).closable if desk.live else None


def _marks(triggers: Sequence[ExitTrigger], now: datetime) -> dict[int, Decimal]:
    """Return the last price per trigger, where it is newer than the one the trigger saw some time ago."""
    old = [row for row in triggers if row.orders_placed or row.seen_at <= now - PRICE_FRESH]
    if not old:
        return {}
    marks = Mark.objects.filter(
        world_id__in={row.portfolio.world for row in old},
        instrument_id__in={row.position.instrument_id for row in old},
    )
    newest = {(mark.world_id, mark.instrument_id): mark for mark in marks}
    found = {row.pk: newest.get((row.portfolio.world, row.position.instrument_id)) for row in old}
    return {row.pk: mark.price for row in old if (mark := found[row.pk]) and mark.received_at > row.seen_at}


def part_left(trigger: ExitTrigger, *, desk: Desk) -> tuple[Decimal, Decimal | None]:
    """Return what is left to close, base units, and what stays of the position (None: nothing).

    A part is closed down to what stays, whoever closed how much of it meanwhile.
    """
    held = abs(trigger.position.quantity)
    if trigger.fraction == ONE:
        return held, None
    keeps = trigger.keeps if trigger.keeps is not None else held - trigger.fraction * held
    return desk.spec(trigger.position.instrument).quantity(max(held - keeps, ZERO)), keeps


def _part_done(trigger: ExitTrigger, now: datetime, desk: Desk) -> None:
    """End a part of which nothing is left that the venue can trade."""
    trigger.status = ExitTrigger.Status.DONE if trigger.closed_quantity else ExitTrigger.Status.VOID
    if not trigger.closed_quantity:
        step = plain(desk.spec(trigger.position.instrument).quantity_step)
        trigger.text = f"There is nothing to close in the venue's steps of {step}"
    trigger.ended_at = now
    trigger.save(update_fields=["status", "text", "ended_at"])


def _draft(trigger: ExitTrigger, *, amount: Decimal, whole: bool, price: Decimal, desk: Desk) -> OrderDraft:
    profit = trigger.kind == ExitTrigger.Kind.TAKE_PROFIT
    draft = exit_draft(
        held=position_facts(position=trigger.position, desk=desk),
        quantity=amount,
        mark=price,
        market=not profit and trigger.orders_placed > 0,
        purpose=Purpose.CLOSE if whole else Purpose.REDUCE,
        reason=f"{trigger.get_kind_display()}: {_reached(trigger)}",
        lifetime_s=PROFIT_LIFETIME_S if profit else LIFETIME_S,
        origin=Order.Origin.EXIT,
    )
    if not profit or trigger.level is None:
        return draft
    buys = draft.side is OrderSide.BUY
    limit = trigger.level * (ONE + PROFIT_REACH if buys else ONE - PROFIT_REACH)
    spec = desk.spec(trigger.position.instrument)
    return replace(draft, limit_price=spec.price(limit, up=not buys))


def _reached(trigger: ExitTrigger) -> str:
    if trigger.level is None:
        return f"held for its time, at {plain(trigger.price)}"
    return f"{plain(trigger.level)} was reached at {plain(trigger.price)}"


def _store(wanted: Sequence[_Wanted], now: datetime) -> list[int]:
    """Store the orders, let go of what they sell, tell of them, and link the triggers."""
    times = _world_times(wanted, now)
    runs = {item.trigger.pk: times[item.trigger.portfolio.world][1] for item in wanted}
    drafts = [(item.trigger.portfolio_id, runs[item.trigger.pk], item.draft) for item in wanted]
    orders = orders_create(drafts=drafts, now=now)
    capital_versions_raise(portfolio_ids={item.trigger.portfolio_id for item in wanted})
    _legs_let_go(wanted, now)
    told: list[Told] = []
    for item, order in zip(wanted, orders, strict=True):
        world_at, run = times[item.trigger.portfolio.world]
        told.append(Told(item.trigger.portfolio_id, _note(item, order), world_at, run))
        _link(item, order)
    decisions_tell(told=told, now=now)
    _triggers_save([item.trigger for item in wanted])
    return [order.pk for order in orders]


def _world_times(wanted: Iterable[_Wanted], now: datetime) -> dict[str, tuple[datetime, int]]:
    worlds = World.objects.filter(pk__in={item.trigger.portfolio.world for item in wanted})
    return {world.name: (world.clock().at(now), world.run) for world in worlds}


def _legs_let_go(wanted: Iterable[_Wanted], now: datetime) -> None:
    """Let what the traders still hold go uncopied: all of it at once, parts one by one."""
    whole: dict[str, set[int]] = defaultdict(set)
    for item in wanted:
        if item.whole:
            whole[item.position.underlying].add(item.trigger.portfolio_id)
        else:
            legs_release(
                portfolio_id=item.trigger.portfolio_id,
                underlyings=[item.position.underlying],
                fraction=item.draft.quantity / abs(item.position.quantity),
                now=now,
            )
    legs_forget_many(portfolios=whole, now=now)


def _note(item: _Wanted, order: Order) -> DecisionNote:
    trigger = item.trigger
    verb = "buying" if order.side == OrderSide.BUY else "selling"
    again = " again" if trigger.orders_placed else ""
    data: dict[str, Any] = {"kind": trigger.kind, "price": plain(trigger.price), "found_by": trigger.found_by}
    if trigger.level is not None:
        data["level"] = plain(trigger.level)
    return DecisionNote(
        kind="exit",
        underlying=item.position.underlying,
        text=f"{trigger.get_kind_display()} of {item.position.instrument_id} at {plain(trigger.price)}: "
        f"{verb} {plain(order.quantity)}{again}",
        reason=f"{_reached(trigger).capitalize()}. Its traders may go on holding it; it is not bought again "
        "until they close, flip or add",
        follow_ids=[part.follow_id for part in item.position.slices.all() if part.follow_id is not None],
        data=data,
        order=order,
    )


def _link(item: _Wanted, order: Order) -> None:
    trigger = item.trigger
    trigger.status = ExitTrigger.Status.WORKING
    trigger.order = order
    trigger.orders_placed += 1
    trigger.keeps = item.keeps
    bound = "up to" if order.side == OrderSide.BUY else "no less than"
    trigger.text = f"{plain(order.quantity)} at {bound} {plain(order.limit_price)}"


def _triggers_save(triggers: Sequence[ExitTrigger]) -> None:
    """Write what ``_link`` changed, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE engine_exittrigger AS trigger SET status = 'working', order_id = v.order_id, "
            "orders_placed = v.orders_placed, keeps = v.keeps, text = v.text "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::numeric[], %s::text[]) "
            "AS v (id, order_id, orders_placed, keeps, text) WHERE trigger.id = v.id",
            [
                [row.pk for row in triggers],
                [row.order_id for row in triggers],
                [row.orders_placed for row in triggers],
                [row.keeps for row in triggers],
                [row.text for row in triggers],
            ],
        )
