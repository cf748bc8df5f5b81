"""The life of an order on our side: stored, claimed, sent, cancelled, ended.

Nothing is sent inside a transaction: ``order_submit`` and ``order_cancel`` begin with a durable one,
which refuses to be nested. No answer means UNKNOWN, and the capital stays committed until the venue
has told us (``positions.services.order_sync`` asks and books).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from allocation.capital import Move, account_move, capital_version_raise
from allocation.locks import capital_lock
from allocation.reservations import capital_commit_held
from core.clock import Clock
from core.decimals import ZERO, plain
from core.errors import RetryLater, UnknownOutcome
from execution.client_ids import client_order_id_new
from execution.desks import PAPER, account_name, venues_of
from execution.domain.orders import (
    ENDED,
    OrderDraft,
    OrderStatus,
    draft_problem,
    status_after_fill,
    transition_check,
)
from execution.locks import order_lock
from execution.models import Order, OrderEvent, OrderSlice
from execution.venues import venue_get
from execution.venues.base import Accepted, CancelAnswer, OrderRef, OrderRequest, Refused, Venue

_FIRST_EVENTS: Final = """
INSERT INTO execution_orderevent (order_id, at, from_status, to_status, detail)
SELECT id, %s, '', status, reason FROM execution_order WHERE id = ANY(%s) ORDER BY id
"""
REQUEST_VALID: Final = timedelta(seconds=5)  # a venue refuses what reaches it later than this after the claim
CLAIM_TIMEOUT: Final = timedelta(
    seconds=10
)  # far above any venue's answer; after it a claim counts as unanswered


@transaction.atomic
def order_create(
    *,
    portfolio_id: int,
    draft: OrderDraft,
    reservation_id: UUID | None,
    run: int,
    now: datetime,
    sent_as: str = "",
) -> Order:
    """Store an order as PENDING with its client order id, its slices, and the reserved capital behind it.

    It is for the venue at which its portfolio trades now.

    An order that opens or enlarges needs a reservation; a reduce-only one needs none.

    :param sent_as: the client order id under which the venue has it already (a stop that rested there and
        was touched); it is not sent, only asked about
    :raises ValueError: the draft makes no sense, or an opening order comes without a reservation
    :raises ReservationGone: the reservation is not granted any more; nothing was stored
    """
    _draft_check(draft, reserved=reservation_id is not None)
    capital_lock(portfolio_id=portfolio_id)
    committed = ZERO
    if reservation_id is not None:
        committed = capital_commit_held(reservation_id=reservation_id, portfolio_id=portfolio_id, now=now)
    else:
        capital_version_raise(portfolio_id=portfolio_id)
    venue = venues_of(portfolio_ids=[portfolio_id]).get(portfolio_id, PAPER)
    row = _order_row(portfolio_id=portfolio_id, draft=draft, venue=venue, run=run, now=now)
    row.reservation_id, row.committed = reservation_id, committed
    if sent_as:
        row.client_order_id, row.submit_claimed_at = sent_as, now
    return _orders_insert(rows=[row], drafts=[draft], now=now)[0]


def orders_create(*, drafts: Sequence[tuple[int, int, OrderDraft]], now: datetime) -> list[Order]:
    """Store many reduce-only orders at once, each as (portfolio id, run, draft), and return them in order.

    Whoever calls holds the capital rows of all these portfolios and raises their versions.

    :raises ValueError: a draft makes no sense, or would open
    """
    for _, _, draft in drafts:
        _draft_check(draft, reserved=False)
    venues = venues_of(portfolio_ids=[portfolio_id for portfolio_id, _, _ in drafts])
    rows = [
        _order_row(
            portfolio_id=portfolio_id, draft=draft, venue=venues.get(portfolio_id, PAPER), run=run, now=now
        )
        for portfolio_id, run, draft in drafts
    ]
    return _orders_insert(rows=rows, drafts=[draft for _, _, draft in drafts], now=now)


def _order_row(*, portfolio_id: int, draft: OrderDraft, venue: str, run: int, now: datetime) -> Order:
    return Order(
        portfolio_id=portfolio_id,
        instrument_id=draft.instrument_code,
        underlying=draft.underlying,
        policy=draft.policy,
        margin_rate=draft.margin_rate,
        client_order_id=client_order_id_new(),
        venue=venue,
        side=draft.side,
        quantity=draft.quantity,
        limit_price=draft.limit_price,
        reduce_only=draft.reduce_only,
        purpose=draft.purpose,
        origin=draft.origin,
        market=draft.market,
        command_id=draft.command_id,
        score=draft.score,
        reason=draft.reason[:300],
        decision_mark=draft.decision_mark,
        run=run,
        created_at=now,
        expires_at=now + timedelta(seconds=draft.lifetime_s),
    )


def _orders_insert(*, rows: list[Order], drafts: Sequence[OrderDraft], now: datetime) -> list[Order]:
    """Insert orders with their slices and the first line of their history."""
    Order.objects.bulk_create(rows)
    pairs = list(zip(rows, drafts, strict=True))
    OrderSlice.objects.bulk_create(
        OrderSlice(order=row, follow_id=part.follow_id, quantity=part.quantity)
        for row, draft in pairs
        for part in draft.slices
    )
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_EVENTS, [now, [row.pk for row in rows]])
    return rows


def _draft_check(draft: OrderDraft, *, reserved: bool) -> None:
    problem = draft_problem(draft)
    if not problem and not draft.reduce_only and not reserved:
        problem = "an order that opens needs a reservation"
    if problem:
        msg = f"cannot store {draft.side} {draft.quantity} {draft.instrument_code}: {problem}"
        raise ValueError(msg)


def order_claim_submit(*, order_id: int, now: datetime) -> bool:
    """Claim the right to send a pending order; exactly one caller gets True."""
    with transaction.atomic(durable=True):
        claimed = Order.objects.filter(
            pk=order_id, status=Order.Status.PENDING, submit_claimed_at__isnull=True, expires_at__gt=now
        ).update(submit_claimed_at=now)
    return bool(claimed)


def order_submit(
    *, order_id: int, now: datetime, venue: Venue | None = None, clock: Clock | None = None
) -> str:
    """Claim an order, send it, and keep the answer; return the order's status afterwards.

    Must be called outside a transaction. A second call while one is at it does nothing. When the venue
    says that nothing happened the claim is given back; when there is no answer the order is UNKNOWN.

    :param clock: tells when it is claimed and when answered; without one both are ``now``. Whoever sends
        many orders gives it: a claim that bears the time at which the batch began looks unanswered too soon
    :raises RuntimeError: called inside a transaction
    """
    claimed_at = clock.now() if clock else now
    if not order_claim_submit(order_id=order_id, now=claimed_at):
        return str(Order.objects.values_list("status", flat=True).get(pk=order_id))
    order = Order.objects.select_related("portfolio").get(pk=order_id)
    answer: Accepted | Refused | None = None
    detail = ""
    try:
        answer = (venue or venue_get(name=order.venue, clock=clock)).order_submit(
            request=order_request(order=order), now=claimed_at
        )
    except RetryLater as error:
        return _claim_return(order_id=order_id, why=str(error))
    except UnknownOutcome as error:
        detail = str(error)
    answered_at = clock.now() if clock else now
    return _answer_keep(order_id=order_id, answer=answer, detail=detail, now=answered_at)


def order_request(*, order: Order) -> OrderRequest:
    """Return what is sent for an order."""
    return OrderRequest(
        client_order_id=order.client_order_id,
        account=account_name(portfolio_id=order.portfolio_id),
        world=order.portfolio.world,
        instrument_code=order.instrument_id,
        policy=order.policy,
        side=order.side,
        quantity=order.quantity,
        limit_price=order.limit_price,
        reduce_only=order.reduce_only,
        valid_until=min((order.submit_claimed_at or order.created_at) + REQUEST_VALID, order.expires_at),
        expires_at=order.expires_at,
        market=order.market,
    )


def order_ref(*, order: Order) -> OrderRef:
    """Return what an order is asked about by."""
    return OrderRef(
        client_order_id=order.client_order_id,
        account=account_name(portfolio_id=order.portfolio_id),
        instrument_code=order.instrument_id,
        policy=order.policy,
        venue_order_id=order.venue_order_id,
    )


def _claim_return(*, order_id: int, why: str) -> str:
    """Nothing happened at the venue: let the order be sent again."""
    Order.objects.filter(pk=order_id, status=Order.Status.PENDING).update(
        submit_claimed_at=None, status_reason=why[:300]
    )
    return str(Order.objects.values_list("status", flat=True).get(pk=order_id))


@transaction.atomic
def _answer_keep(*, order_id: int, answer: Accepted | Refused | None, detail: str, now: datetime) -> str:
    """Keep what the venue answered to the submit. A fill may have been booked meanwhile and says more.

    An order that was given up for lost meanwhile lives again when the venue has it.
    """
    order = _lock(order_id=order_id)
    waiting = order.status in {OrderStatus.PENDING, OrderStatus.UNKNOWN}
    if isinstance(answer, Accepted):
        order.venue_order_id = answer.venue_order_id
        order.submitted_at = now
        order.save(update_fields=["venue_order_id", "submitted_at"])
        if waiting or order.status == OrderStatus.REJECTED:
            order_status_change(order=order, to=OrderStatus.SUBMITTED, now=now)
    elif isinstance(answer, Refused):
        if waiting:
            order_status_change(order=order, to=OrderStatus.REJECTED, now=now, detail=answer.reason)
    elif order.status == OrderStatus.PENDING:
        order_status_change(order=order, to=OrderStatus.UNKNOWN, now=now, detail=detail or "no answer")
    return order.status


def _lock(*, order_id: int) -> Order:
    """Lock an order after its portfolio's capital row."""
    portfolio_id = Order.objects.values_list("portfolio_id", flat=True).get(pk=order_id)
    capital_lock(portfolio_id=portfolio_id)
    return order_lock(order_id=order_id)


def order_status_change(*, order: Order, to: str, now: datetime, detail: str = "") -> None:
    """Move a locked order along the transition table and record it; an ended order frees its capital.

    The caller holds the capital row and the order. Staying where it is changes nothing.

    :raises ImpossibleTransition: the table has no such arrow
    """
    freed = order_status_set(order=order, to=to, now=now, detail=detail)
    if freed:
        account_move(portfolio_id=order.portfolio_id, move=Move(free=freed, committed=-freed), now=now)


def order_status_set(*, order: Order, to: str, now: datetime, detail: str = "") -> Decimal:
    """Like ``order_status_change``, but leave the account alone; return what the caller must free."""
    if order.status == to:
        return ZERO
    before = order.status
    after = transition_check(before=before, after=to)
    freed = ZERO
    order.status = after.value
    order.status_reason = detail[:300]
    order.finished_at = None
    if after in ENDED:
        order.finished_at = now
        freed, order.committed = order.committed, ZERO
    order.save(update_fields=["status", "status_reason", "finished_at", "committed"])
    OrderEvent.objects.create(
        order=order, at=now, from_status=before, to_status=after.value, detail=detail[:300]
    )
    return freed


def order_fill_record(
    *, order: Order, quantity: Decimal, notional: Decimal, fee: Decimal, committed: Decimal, now: datetime
) -> Decimal:
    """Add a fill to a locked order and move its status; return the capital that its end frees.

    :param notional: quantity × price to 8 decimals, positive
    :param committed: what stays behind the order after this fill has taken its part
    """
    order.filled_quantity += quantity
    order.filled_notional += notional
    order.fees += fee
    order.committed = committed
    order.save(update_fields=["filled_quantity", "filled_notional", "fees", "committed"])
    after = status_after_fill(
        status=order.status, quantity=order.quantity, filled_quantity=order.filled_quantity
    )
    if after == order.status and after in ENDED:
        detail = (
            "More was filled than ordered"
            if after == OrderStatus.FILLED
            else "Filled before it ended, told after"
        )
        OrderEvent.objects.create(order=order, at=now, from_status=after, to_status=after, detail=detail)
    return order_status_set(order=order, to=after, now=now)


def order_cancel(
    *, order_id: int, now: datetime, why: str = "", venue: Venue | None = None
) -> CancelAnswer | None:
    """Ask the venue to end an order; ``positions.services.order_sync`` learns what came of it.

    An order that was never sent is cancelled here. Must be called outside a transaction; calling it
    twice is harmless.

    :returns: the venue's answer; None when it did not answer, or there was nothing to ask
    :raises RuntimeError: called inside a transaction
    """
    with transaction.atomic(durable=True):
        order = _lock(order_id=order_id)
        if order.status not in Order.OPEN_STATUSES:
            return None
        if order.cancel_requested_at is None:
            order.cancel_requested_at = now
            order.save(update_fields=["cancel_requested_at"])
        if order.status == OrderStatus.PENDING and order.submit_claimed_at is None:
            over = order.expires_at <= now
            to = OrderStatus.EXPIRED if over else OrderStatus.CANCELLED
            order_status_change(order=order, to=to, now=now, detail=why or "Never sent")
            return CancelAnswer.CANCELLED
    try:
        return (venue or venue_get(name=order.venue)).order_cancel(order=order_ref(order=order), now=now)
    except (RetryLater, UnknownOutcome) as error:
        Order.objects.filter(pk=order_id, status__in=Order.OPEN_STATUSES).update(
            status_reason=str(error)[:300]
        )
        return None


def orders_due_for_expiry(
    *, now: datetime, portfolio_id: int | None = None, venue: str = "", limit: int = 500
) -> list[int]:
    """Return ids of open orders whose lifetime is over, oldest first."""
    due = Order.objects.filter(status__in=Order.OPEN_STATUSES, expires_at__lte=now)
    return _ids(due, portfolio_id=portfolio_id, venue=venue, limit=limit)


def orders_to_submit(
    *, now: datetime, portfolio_id: int | None = None, venue: str = "", limit: int = 500
) -> list[int]:
    """Return ids of stored orders that nobody has sent yet, oldest first."""
    due = Order.objects.filter(
        status=Order.Status.PENDING, submit_claimed_at__isnull=True, expires_at__gt=now
    )
    return _ids(due, portfolio_id=portfolio_id, venue=venue, limit=limit)


def orders_to_ask(
    *, now: datetime, portfolio_id: int | None = None, venue: str = "", limit: int = 500
) -> list[int]:
    """Return ids of orders whose outcome the venue knows: UNKNOWN, or claimed and unanswered for 10 s."""
    due = Order.objects.filter(_outcome_unknown(now))
    return _ids(due, portfolio_id=portfolio_id, venue=venue, limit=limit)


def _ids(orders: QuerySet[Order], *, portfolio_id: int | None, venue: str, limit: int) -> list[int]:
    """Return the ids of some orders, of one portfolio or at one venue where that is given, oldest first."""
    if portfolio_id is not None:
        orders = orders.filter(portfolio_id=portfolio_id)
    if venue:
        orders = orders.filter(venue=venue)
    return list(orders.order_by("pk").values_list("pk", flat=True)[:limit])


def _outcome_unknown(now: datetime) -> Q:
    unanswered = Q(status=Order.Status.PENDING, submit_claimed_at__lte=now - CLAIM_TIMEOUT)
    return Q(status=Order.Status.UNKNOWN) | unanswered


def orders_unheard(*, portfolio_ids: Collection[int], now: datetime) -> dict[int, Order]:
    """Return the oldest order of each of these portfolios whose outcome is not known, where there is one."""
    rows = Order.objects.filter(_outcome_unknown(now), portfolio__in=portfolio_ids).order_by("-pk")
    return {order.portfolio_id: order for order in rows}


def entries_bar(*, portfolio_id: int, now: datetime) -> str:
    """Return why a portfolio may open nothing now: the outcome of an order is not known; empty: it may."""
    return unheard_bar(order=orders_unheard(portfolio_ids=[portfolio_id], now=now).get(portfolio_id))


def unheard_bar(*, order: Order | None) -> str:
    """Return why nothing may be opened while the outcome of this order is not known; empty without one."""
    if order is None:
        return ""
    what = f"{order.side.title()} {plain(order.quantity)} {order.instrument_id}"
    return f"the outcome of order {order.pk} ({what}) is not known; {order.venue} is being asked"


def orders_open(*, portfolio_id: int | None = None, venue: str = "", limit: int = 5000) -> list[int]:
    """Return ids of the orders that may still change, oldest first."""
    due = Order.objects.filter(status__in=Order.OPEN_STATUSES).exclude(
        status=Order.Status.PENDING, submit_claimed_at__isnull=True
    )
    return _ids(due, portfolio_id=portfolio_id, venue=venue, limit=limit)


def order_is_paper(*, order_id: int) -> bool:
    """Tell whether an order is for the paper venue, which is on this server."""
    return Order.objects.filter(pk=order_id, venue=PAPER).exists()


def order_ids_of(*, client_order_ids: list[str]) -> list[int]:
    """Return the ids of the orders with these client ids, ascending."""
    orders = Order.objects.filter(client_order_id__in=client_order_ids)
    return list(orders.order_by("pk").values_list("pk", flat=True))


def reservations_unlink(*, before: datetime) -> int:
    """Let go of reservations asked for before a time, so that they can be pruned; return how many.

    What still stands behind an order is on the order itself.
    """
    return Order.objects.filter(reservation__requested_at__lt=before).update(reservation=None)
