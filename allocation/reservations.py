"""Reservations: who may spend how much, for 30 seconds (CAP-1, CAP-2).

    request → granted at once, or waiting in the queue, or denied with the reason
    waiting → granted the moment capital comes back, or denied when it has waited long enough
    granted → used by an order, released by its holder, or expired by itself

The queue of a portfolio is strict: Critical, High, Medium, Low, and within one the first come. Nobody
overtakes: a small request does not slip past a large one that waits before it, and one that asks "at
once or not at all" is denied while somebody of its priority or a higher one waits. Hence a large request
is never starved by small ones; a small one waits for ``wait_s`` at most, then it is told. While a portfolio
opens nothing (a breaker, a stop) its queue stands still: a grant could not be used.

A grant is one statement, which claims the capital and stores the reservation. Whoever joins the queue, or
brings capital back, holds the account's row, so nobody begins to wait just as capital has come back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from allocation.account import AMOUNT_MAX, Move, account_change
from allocation.locks import capital_lock, reservation_lock
from allocation.models import CapitalAccount, Reservation
from core.decimals import MONEY_STEP, dollars, plain
from core.errors import InputError, NotFound, RetryLater
from core.ids import uuid_new

WAIT_MAX_S: Final = 300
WAITING_MAX: Final = 100  # requests of one portfolio that may wait at once

Status = Reservation.Status
Priority = Reservation.Priority


class ReservationGone(RetryLater):
    """The reservation is not granted any more (expired, released or used): reserve anew."""


def capital_reserve(
    *,
    portfolio_id: int,
    amount: Decimal,
    source: str,
    instrument_code: str,
    now: datetime,
    timeout_s: int,
    priority: int = Priority.MEDIUM,
) -> Reservation:
    """Set capital aside for one purpose, at once or not at all.

    Arguments and errors as in ``capital_request``.

    :returns: the stored reservation, GRANTED, or DENIED with the reason
    """
    return capital_request(
        portfolio_id=portfolio_id,
        amount=amount,
        source=source,
        instrument_code=instrument_code,
        now=now,
        timeout_s=timeout_s,
        priority=priority,
    )


def capital_request(
    *,
    portfolio_id: int,
    amount: Decimal,
    source: str,
    instrument_code: str,
    now: datetime,
    timeout_s: int,
    priority: int = Priority.MEDIUM,
    wait_s: int = 0,
    client_key: str = "",
) -> Reservation:
    """Ask for capital, and wait in the queue for it if it is not there and ``wait_s`` allows.

    :param amount: quote currency, above zero; rounded up to 8 decimals
    :param timeout_s: wall seconds after which an unused grant returns by itself
    :param wait_s: wall seconds after which a request that still waits is denied; 0 never waits
    :param client_key: chosen by who asks; the same key again returns the same request
    :returns: the stored reservation: GRANTED, WAITING, or DENIED with the reason
    :raises InputError: the amount is not a number above zero, ``wait_s`` is out of bounds, the key was used
        for another request, or the portfolio has no capital account
    """
    if not amount.is_finite() or not 0 < amount <= AMOUNT_MAX:
        raise InputError(
            f"The amount to reserve must be above 0 and at most {AMOUNT_MAX:,}, got {amount}.", field="amount"
        )
    if not 0 <= wait_s <= WAIT_MAX_S:
        raise InputError(f"A request waits 0 to {WAIT_MAX_S} seconds, not {wait_s}.", field="wait_s")
    wanted = Reservation(
        id=uuid_new(),
        portfolio_id=portfolio_id,
        source=source,
        instrument_code=instrument_code,
        amount=amount.quantize(MONEY_STEP, rounding=ROUND_UP),
        priority=priority,
        client_key=client_key,
        timeout_s=timeout_s,
        requested_at=now,
    )
    return _once(wanted, wait_s) if client_key else _answer(wanted, wait_s)


def _once(wanted: Reservation, wait_s: int) -> Reservation:
    """Answer a request that carries a key; one asked before, even at this very moment, is that one."""
    if before := _asked_before(wanted):
        return before
    try:
        with transaction.atomic():
            return _answer(wanted, wait_s)
    except IntegrityError:
        if before := _asked_before(wanted):
            return before
        raise


def _asked_before(wanted: Reservation) -> Reservation | None:
    before = Reservation.objects.filter(
        portfolio_id=wanted.portfolio_id, client_key=wanted.client_key
    ).first()
    terms = ("amount", "source", "instrument_code", "priority")
    if before is not None and any(getattr(before, term) != getattr(wanted, term) for term in terms):
        raise InputError(
            f"The key {wanted.client_key} stands for {plain(before.amount)} of {before.instrument_code} "
            f"asked for by {before.source}; another request needs a new key.",
            field="key",
        )
    return before


def _answer(wanted: Reservation, wait_s: int) -> Reservation:
    if _granted(wanted):
        return wanted
    return _queued(wanted, wait_s) if wait_s else _refused(wanted)


# Migration 0006: claims the account's row on the condition that the capital is there, and stores the grant.
_GRANT_SQL: Final = "SELECT allocation_capital_grant(%s, %s, %s, %s, %s, %s::smallint, %s, %s, %s)"


def _granted(wanted: Reservation) -> bool:
    """Claim the capital and store the grant if it is free and nobody waits before; one statement."""
    now = wanted.requested_at
    values = (
        wanted.pk,
        wanted.portfolio_id,
        wanted.source,
        wanted.instrument_code,
        wanted.amount,
        int(wanted.priority),
        wanted.client_key,
        wanted.timeout_s,
        now,
    )
    with connection.cursor() as cursor:
        cursor.execute(_GRANT_SQL, values)
        granted = bool(cursor.fetchone()[0])
    if granted:
        wanted.status, wanted.granted_at = Status.GRANTED, now
        wanted.expires_at = now + timedelta(seconds=wanted.timeout_s)
        wanted._state.adding, wanted._state.db = False, connection.alias
    return granted


def _refused(wanted: Reservation) -> Reservation:
    """Deny a request that does not wait, unless grants that ran out hold what it needs."""
    now = wanted.requested_at
    overdue = Reservation.objects.filter(
        portfolio_id=OuterRef("pk"), status=Status.GRANTED, expires_at__lte=now
    )
    ahead = _waiting(OuterRef("pk"), now).filter(priority__lte=wanted.priority)
    account = (
        CapitalAccount.objects.filter(pk=wanted.portfolio_id)
        .annotate(overdue=Exists(overdue), contested=Exists(ahead))
        .values_list("free", "overdue", "contested", named=True)
        .first()
    )
    if account is None:
        raise NotFound(
            f"Portfolio {wanted.portfolio_id} has no capital account. Open one with an initial deposit."
        )
    if account.overdue:
        with transaction.atomic():
            capital_lock(portfolio_id=wanted.portfolio_id)
            _overdue_end(portfolio_id=wanted.portfolio_id, now=now)
        return _answer(wanted, 0)
    reason = f"{dollars(wanted.amount)} needed, {dollars(account.free)} free"
    if account.contested:
        reason += ", for which others of the same or a higher priority wait"
    return _denied(wanted, reason)


def _queued(wanted: Reservation, wait_s: int) -> Reservation:
    """Put a request into the queue under the account's lock, and serve the queue."""
    now = wanted.requested_at
    with transaction.atomic():
        account = capital_lock(portfolio_id=wanted.portfolio_id)
        total = account.cash + account.deployed
        if wanted.amount > total:
            return _denied(
                wanted, f"{dollars(wanted.amount)} needed, the whole portfolio has {dollars(total)}"
            )
        if _waiting(wanted.portfolio_id, now).count() >= WAITING_MAX:
            return _denied(wanted, f"{WAITING_MAX} requests wait already")
        wanted.status = Status.WAITING
        wanted.wait_until = now + timedelta(seconds=wait_s)
        wanted.save(force_insert=True)
        _overdue_end(portfolio_id=wanted.portfolio_id, now=now)
        wanted.refresh_from_db()
    return wanted


def _denied(wanted: Reservation, reason: str) -> Reservation:
    wanted.status, wanted.reason, wanted.settled_at = Status.DENIED, reason, wanted.requested_at
    wanted.save(force_insert=True)
    return wanted


def _waiting(portfolio_id: int | OuterRef, now: datetime) -> QuerySet[Reservation]:
    return Reservation.objects.filter(portfolio_id=portfolio_id, status=Status.WAITING, wait_until__gt=now)


# Amounts are above zero, so those that fit into what is free are the first of the queue, without a gap.
_SERVE_SQL: Final = """
WITH queue AS (
    SELECT id, sum(amount) OVER (ORDER BY priority, requested_at, id) AS up_to
    FROM allocation_reservation
    WHERE portfolio_id = %(portfolio_id)s AND status = 'waiting' AND wait_until > %(now)s
), served AS (
    UPDATE allocation_reservation AS held
    SET status = 'granted', granted_at = %(now)s, expires_at = %(now)s + held.timeout_s * interval '1 second'
    FROM queue, allocation_capitalaccount AS account, accounts_portfolio AS portfolio
    WHERE held.id = queue.id AND account.portfolio_id = %(portfolio_id)s AND queue.up_to <= account.free
      AND portfolio.id = %(portfolio_id)s AND portfolio.status = 'active'
    RETURNING held.id, held.amount
), claimed AS (
    UPDATE allocation_capitalaccount AS account
    SET free = account.free - taken.amount, reserved = account.reserved + taken.amount
    FROM (SELECT sum(amount) AS amount FROM served) AS taken
    WHERE account.portfolio_id = %(portfolio_id)s AND taken.amount IS NOT NULL
)
SELECT id FROM served
"""


def reservations_serve(*, portfolio_id: int, now: datetime) -> list[UUID]:
    """Grant the first of the queue as far as free capital reaches; return whom.

    Must be called inside a transaction, after whatever may have made capital free or lifted what stopped
    the portfolio.
    """
    if not Reservation.objects.filter(portfolio_id=portfolio_id, status=Status.WAITING).exists():
        return []
    capital_lock(portfolio_id=portfolio_id)
    with connection.cursor() as cursor:
        cursor.execute(_SERVE_SQL, {"portfolio_id": portfolio_id, "now": now})
        return [row[0] for row in cursor.fetchall()]


@transaction.atomic
def capital_release(*, reservation_id: UUID, now: datetime) -> bool:
    """Give a granted reservation back, or leave the queue with one that waits; False if it was neither."""
    reservation = Reservation.objects.filter(pk=reservation_id).first()
    if reservation is None:
        return False
    capital_lock(portfolio_id=reservation.portfolio_id)
    own = Reservation.objects.filter(pk=reservation_id)
    if own.filter(status=Status.GRANTED).update(status=Status.RELEASED, settled_at=now):
        move = Move(free=reservation.amount, reserved=-reservation.amount)
        account_change(portfolio_id=reservation.portfolio_id, move=move, booking=False)
    elif not own.filter(status=Status.WAITING).update(
        status=Status.DENIED, settled_at=now, reason="Withdrawn by who asked"
    ):
        return False
    reservations_serve(portfolio_id=reservation.portfolio_id, now=now)
    return True


@transaction.atomic
def capital_commit(*, reservation_id: UUID, portfolio_id: int, now: datetime) -> Decimal:
    """Turn a granted reservation into capital committed behind an order; return the amount.

    The caller stores the amount on the order in the same transaction, since committed capital is
    the sum of what the orders and positions hold.

    :raises ReservationGone: it expired, was released, used or denied, or belongs to another portfolio
    """
    capital_lock(portfolio_id=portfolio_id)
    return capital_commit_held(reservation_id=reservation_id, portfolio_id=portfolio_id, now=now)


def capital_commit_held(*, reservation_id: UUID, portfolio_id: int, now: datetime) -> Decimal:
    """As :func:`capital_commit`, for a caller whose transaction holds the portfolio's capital row.

    :raises ReservationGone: as there; let the transaction fail
    """
    reservation = reservation_lock(reservation_id=reservation_id)
    lapsed = reservation.expires_at is not None and reservation.expires_at <= now
    if reservation.portfolio_id != portfolio_id or reservation.status != Status.GRANTED or lapsed:
        state = "expired" if lapsed and reservation.status == Status.GRANTED else reservation.status
        raise ReservationGone(
            f"Reservation {reservation_id} is {state}; reserve {plain(reservation.amount)} anew."
        )
    Reservation.objects.filter(pk=reservation_id).update(status=Status.USED, settled_at=now)
    move = Move(reserved=-reservation.amount, committed=reservation.amount)
    account_change(portfolio_id=portfolio_id, move=move, booking=True)
    return reservation.amount


_EXPIRE_SQL: Final = """
WITH due AS (
    SELECT account.portfolio_id
    FROM allocation_capitalaccount AS account
    WHERE (%(portfolio_id)s::bigint IS NULL OR account.portfolio_id = %(portfolio_id)s)
      AND account.portfolio_id IN (
        SELECT portfolio_id FROM allocation_reservation WHERE status = 'granted' AND expires_at <= %(now)s
        UNION ALL
        SELECT portfolio_id FROM allocation_reservation WHERE status = 'waiting' AND wait_until <= %(now)s
    )
    ORDER BY account.portfolio_id
    FOR UPDATE OF account
), lapsed AS (
    UPDATE allocation_reservation AS over
    SET status = 'denied', settled_at = %(now)s,
        reason = left('Waited until its time was over' || CASE WHEN portfolio.status = 'active' THEN ''
                      ELSE '; nothing is opened now: ' || portfolio.status_reason END, 240)
    FROM due, accounts_portfolio AS portfolio
    WHERE portfolio.id = due.portfolio_id AND over.portfolio_id = due.portfolio_id
      AND over.status = 'waiting' AND over.wait_until <= %(now)s
), expired AS (
    UPDATE allocation_reservation AS held
    SET status = 'expired', settled_at = %(now)s, reason = 'Not used in time'
    FROM due
    WHERE held.portfolio_id = due.portfolio_id AND held.status = 'granted' AND held.expires_at <= %(now)s
    RETURNING held.id, held.portfolio_id, held.amount
), returned AS (
    SELECT portfolio_id, sum(amount) AS amount FROM expired GROUP BY portfolio_id
), credited AS (
    UPDATE allocation_capitalaccount AS account
    SET reserved = account.reserved - returned.amount,
        free = greatest(account.free - account.deficit + returned.amount, 0),
        deficit = greatest(account.deficit - account.free - returned.amount, 0)
    FROM returned
    WHERE account.portfolio_id = returned.portfolio_id
    RETURNING account.portfolio_id
)
SELECT expired.id FROM expired JOIN credited USING (portfolio_id)
"""


def reservations_expire(*, now: datetime) -> list[UUID]:
    """Return to free capital every grant that ran out unused, of all portfolios, in one statement.

    It ends the requests that waited long enough, too; then each queue is served. The capital rows are
    locked before the reservations, as everywhere.

    :returns: ids of the expired reservations
    """
    expired = _expire(portfolio_id=None, now=now)
    queues = Reservation.objects.filter(status=Status.WAITING).order_by("portfolio_id")
    for portfolio_id in queues.values_list("portfolio_id", flat=True).distinct():
        with transaction.atomic():
            reservations_serve(portfolio_id=portfolio_id, now=now)
    return expired


def _overdue_end(*, portfolio_id: int, now: datetime) -> None:
    """End what is over in one portfolio whose account is locked, and serve its queue."""
    _expire(portfolio_id=portfolio_id, now=now)
    reservations_serve(portfolio_id=portfolio_id, now=now)


def _expire(*, portfolio_id: int | None, now: datetime) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRE_SQL, {"portfolio_id": portfolio_id, "now": now})
        return [row[0] for row in cursor.fetchall()]
