"""Entries of the owner's own: gather, decide, act, like the copy cycle, into the owner's own slice.

Capital is reserved with the order, or was granted before to a program of the owner's (``engine.outside``).
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import Portfolio
from accounts.reading import consistent_read
from allocation.models import Reservation
from allocation.reservations import capital_reserve
from core.decimals import plain
from core.errors import InputError, RetryLater
from core.types import OrderSide
from engine.act import Superseded, version_claim
from engine.decisions import DecisionNote, decision_store
from engine.domain.own_entry import EntryPlan, EntryWish, entry_decide
from engine.gather import Gathered, cycle_gather
from engine.models import CycleState
from engine.publishing import portfolio_changed
from engine.sending import submit_later
from execution.domain.orders import OrderDraft, SliceDraft
from execution.models import Order
from execution.orders import order_create
from markets.models import World

ATTEMPTS: Final = 5


def entry_place(
    *,
    portfolio: Portfolio,
    wish: EntryWish,
    lifetime_s: int,
    command_id: UUID | None,
    now: datetime,
    grant: Reservation | None = None,
) -> Order:
    """Place a limit entry that belongs to no trader; the order that a command has placed is not doubled.

    :param lifetime_s: wall seconds after which what is left of it is ended
    :param grant: capital that another program was granted for it; without one it is reserved here
    :raises ReservationGone: the grant is over
    :raises InputError: it may not be placed: a breaker, a limit, the block list, a stale price, capital, …
    :raises RetryLater: the books kept moving; nothing was stored
    """
    for _ in range(ATTEMPTS):
        if command_id and (known := Order.objects.filter(portfolio=portfolio, command_id=command_id).first()):
            return known
        gathered = _gather(portfolio=portfolio, wish=wish, now=now)
        plan = entry_decide(wish=wish, inputs=gathered.inputs, granted=grant.amount if grant else None)
        try:
            return _act(
                plan=plan, gathered=gathered, lifetime_s=lifetime_s, command_id=command_id, grant=grant
            )
        except Superseded:
            continue
    raise RetryLater("The books of this portfolio kept moving; it is tried again in a second.")


def _gather(*, portfolio: Portfolio, wish: EntryWish, now: datetime) -> Gathered:
    """Read what the entry depends on, the correlations of its own instrument included."""
    with consistent_read():
        cycle = CycleState.objects.select_related("portfolio").get(portfolio=portfolio)
        world = World.objects.filter(pk=cycle.portfolio.world).first()
        if world is None:
            raise InputError("Follow a trader first: that fixes the market this portfolio lives in.")
        if cycle.portfolio.dry_run:
            raise InputError("The portfolio is in dry run: nothing is ordered. Switch dry run off first.")
        return cycle_gather(cycle=cycle, world=world, now=now, besides=wish.code)


@transaction.atomic
def _act(
    *,
    plan: EntryPlan,
    gathered: Gathered,
    lifetime_s: int,
    command_id: UUID | None,
    grant: Reservation | None,
) -> Order:
    """Claim the books it was decided on, reserve, and store the order.

    :raises Superseded: something was booked meanwhile; nothing was written
    """
    portfolio, now = gathered.portfolio, gathered.now
    version_claim(gathered)
    reservation = grant or _reserve(plan=plan, gathered=gathered)
    draft = _draft(
        plan=plan, gathered=gathered, lifetime_s=lifetime_s, command_id=command_id, outside=grant is not None
    )
    whose = f"asked for by {reservation.source}" if grant else "your own entry"
    order = order_create(
        portfolio_id=portfolio.pk, draft=draft, reservation_id=reservation.pk, run=gathered.world.run, now=now
    )
    note = DecisionNote(
        kind="own",
        underlying=draft.underlying,
        text=f"{draft.side.title()} {plain(draft.quantity)} {draft.instrument_code}, {whose}",
        reason=f"{draft.side.title()} limit at {plain(draft.limit_price)}; it belongs to no trader",
        order=order,
    )
    decision_store(portfolio=portfolio, note=note, now=now)
    transaction.on_commit(partial(submit_later, order.pk))
    portfolio_changed(portfolio_id=portfolio.pk)
    return order


def _reserve(*, plan: EntryPlan, gathered: Gathered) -> Reservation:
    """Reserve what an entry needs.

    :raises InputError: it is not free, or others wait for it
    """
    reservation = capital_reserve(
        portfolio_id=gathered.portfolio.pk,
        amount=plan.capital_needed,
        source="owner",
        instrument_code=plan.market.instrument.code,
        now=gathered.now,
        timeout_s=settings.RESERVATION_TIMEOUT_SECONDS,
        priority=Reservation.Priority.HIGH,
    )
    if reservation.status != Reservation.Status.GRANTED:
        raise InputError(f"Not enough free capital: {reservation.reason}.", field="quantity")
    return reservation


def _draft(
    *, plan: EntryPlan, gathered: Gathered, lifetime_s: int, command_id: UUID | None, outside: bool
) -> OrderDraft:
    spec = plan.market.instrument
    origin = Order.Origin.OUTSIDE if outside else Order.Origin.PERSON
    return OrderDraft(
        instrument_code=spec.code,
        underlying=spec.underlying,
        policy=gathered.inputs.policy,
        side=OrderSide(plan.wish.side),
        quantity=plan.wish.quantity,
        limit_price=plan.wish.limit_price,
        reduce_only=False,
        purpose=plan.purpose,
        slices=[SliceDraft(None, plan.wish.signed)],
        decision_mark=plan.market.mark,
        margin_rate=gathered.inputs.margin_rate,
        reason="Another program's entry" if outside else "Its owner's own entry",
        lifetime_s=lifetime_s,
        origin=origin.value,
        command_id=command_id,
    )
