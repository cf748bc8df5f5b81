"""The capital account: reservations, and the one way in which money moves.

Every change of the account is one UPDATE on one row (``account_move``). What is freed pays the
deficit first; what is taken beyond free capital becomes deficit. Hence always
cash = free + reserved + committed and cash − deficit = Σ ledger entries.

``version`` rises by 1 with each booking, and with each change of follows or settings. Granting,
releasing and expiring a reservation is no booking: it changes what may be spent, not what is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import DecimalField, F, Value
from django.db.models.functions import Greatest

from accounts.models import Portfolio
from allocation.locks import capital_lock, reservation_lock
from allocation.models import CapitalAccount, LedgerEntry, Reservation
from core.decimals import MONEY_STEP, ZERO, dollars, plain, to_money
from core.errors import InputError, RetryLater
from core.ids import uuid_new

MONEY_FIELD: Final = DecimalField(max_digits=28, decimal_places=8)
AMOUNT_MAX: Final = Decimal(1_000_000_000_000)


class ReservationGone(RetryLater):
    """The reservation is not granted any more (expired, released or used): reserve anew."""


@dataclass(frozen=True, slots=True)
class Move:
    """Signed changes of an account's columns, in quote currency to 8 places.

    ``free`` is before the deficit is settled. free + reserved + committed must equal the sum of
    the ledger entries booked with it.
    """

    free: Decimal = ZERO
    reserved: Decimal = ZERO
    committed: Decimal = ZERO
    deployed: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One ledger entry about to be written; positive amounts come in."""

    kind: str
    amount: Decimal
    reference: str
    units: Decimal = ZERO
    note: str = ""


@transaction.atomic
def capital_open(
    *, portfolio: Portfolio, amount: Decimal, now: datetime, world_at: datetime
) -> CapitalAccount:
    """Create a portfolio's account with its initial deposit; one unit costs 1 at the start.

    :raises InputError: the amount is not above zero
    """
    amount = amount_checked(amount)
    account = CapitalAccount.objects.create(
        portfolio=portfolio, free=amount, deposits_net=amount, units=amount, version=1
    )
    line = LedgerLine(
        LedgerEntry.Kind.DEPOSIT, amount, "deposit:initial", units=amount, note="Initial deposit"
    )
    ledger_write(portfolio_id=portfolio.pk, lines=[line], now=now, world_at=world_at)
    account.refresh_from_db()
    return account


def amount_checked(amount: Decimal, *, field: str = "amount") -> Decimal:
    """Return an amount a person asked for.

    :raises InputError: not finite, not above zero, above 10^12, or finer than 8 decimals
    """
    if not amount.is_finite() or not 0 < amount <= AMOUNT_MAX:
        raise InputError(f"The amount must be above 0 and at most {AMOUNT_MAX:,}, got {amount}.", field=field)
    if amount != amount.quantize(MONEY_STEP):
        raise InputError(f"An amount has at most 8 decimals, got {plain(amount)}.", field=field)
    return amount


def account_move(*, portfolio_id: int, move: Move, booking: bool = True) -> None:
    """Change an account's columns in one UPDATE; raise ``version`` by 1 if ``booking``.

    :raises ValueError: an amount finer than 8 decimals, which the database would round
    :raises django.db.IntegrityError: reserved, committed or deployed would fall below zero
    """
    for value in (move.free, move.reserved, move.committed, move.deployed):
        if value != to_money(value):
            msg = f"an account moves in steps of {MONEY_STEP}, got {value}"
            raise ValueError(msg)
    net = F("free") - F("deficit") + Value(move.free, output_field=MONEY_FIELD)
    nothing = Value(ZERO, output_field=MONEY_FIELD)
    changed = CapitalAccount.objects.filter(pk=portfolio_id).update(
        free=Greatest(net, nothing, output_field=MONEY_FIELD),
        deficit=Greatest(nothing - net, nothing, output_field=MONEY_FIELD),
        reserved=F("reserved") + move.reserved,
        committed=F("committed") + move.committed,
        deployed=F("deployed") + move.deployed,
        version=F("version") + int(booking),
    )
    if changed != 1:
        msg = f"portfolio {portfolio_id} has no capital account"
        raise ValueError(msg)


def capital_version_raise(*, portfolio_id: int) -> None:
    """Make every copy decision in flight start over, since something it rests on changes in this transaction.

    For changes that move no money (follows, settings, a replay's new run). Takes the capital row.
    """
    account_move(portfolio_id=portfolio_id, move=Move())


def ledger_write(
    *, portfolio_id: int, lines: Sequence[LedgerLine], now: datetime, world_at: datetime
) -> None:
    """Write ledger entries; lines of zero are left out.

    :raises django.db.IntegrityError: the same kind and reference was booked before
    """
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            portfolio_id=portfolio_id,
            kind=line.kind,
            amount=line.amount,
            units=line.units,
            reference=line.reference,
            note=line.note,
            at=now,
            world_at=world_at,
        )
        for line in lines
        if line.amount or line.units
    )


@transaction.atomic
def capital_reserve(
    *,
    portfolio_id: int,
    amount: Decimal,
    source: str,
    instrument_code: str,
    now: datetime,
    timeout_s: int,
    priority: int = Reservation.Priority.MEDIUM,
) -> Reservation:
    """Set capital aside for one purpose if it is free; the grant is one conditional UPDATE (CAP-1, CAP-2).

    :param amount: quote currency, above zero; rounded up to 8 decimals
    :param timeout_s: wall seconds after which an unused grant returns by itself
    :returns: the stored reservation, GRANTED, or DENIED with the reason
    :raises InputError: the amount is not a number above zero
    """
    if not amount.is_finite() or amount <= 0:
        raise InputError(f"The amount to reserve must be above 0, got {amount}.", field="amount")
    amount = amount.quantize(MONEY_STEP, rounding=ROUND_UP)
    granted = CapitalAccount.objects.filter(pk=portfolio_id, free__gte=amount).update(
        free=F("free") - amount, reserved=F("reserved") + amount
    )
    status, reason = Reservation.Status.GRANTED, ""
    if not granted:
        status, reason = Reservation.Status.DENIED, _denial(portfolio_id=portfolio_id, amount=amount)
    return Reservation.objects.create(
        id=uuid_new(),
        portfolio_id=portfolio_id,
        source=source,
        instrument_code=instrument_code,
        amount=amount,
        priority=priority,
        status=status,
        reason=reason,
        requested_at=now,
        granted_at=now if granted else None,
        expires_at=now + timedelta(seconds=timeout_s) if granted else None,
        settled_at=None if granted else now,
    )


def _denial(*, portfolio_id: int, amount: Decimal) -> str:
    account = CapitalAccount.objects.filter(pk=portfolio_id).first()
    if account is None:
        raise InputError(
            f"Portfolio {portfolio_id} has no capital account. Open one with an initial deposit."
        )
    return f"{dollars(amount)} needed, {dollars(account.free)} free"


@transaction.atomic
def capital_release(*, reservation_id: UUID, now: datetime) -> bool:
    """Give a granted reservation back to free capital; False if it was not granted any more."""
    reservation = Reservation.objects.filter(pk=reservation_id).first()
    if reservation is None:
        return False
    capital_lock(portfolio_id=reservation.portfolio_id)
    released = Reservation.objects.filter(pk=reservation_id, status=Reservation.Status.GRANTED).update(
        status=Reservation.Status.RELEASED, settled_at=now
    )
    if released:
        move = Move(free=reservation.amount, reserved=-reservation.amount)
        account_move(portfolio_id=reservation.portfolio_id, move=move, booking=False)
    return bool(released)


@transaction.atomic
def capital_commit(*, reservation_id: UUID, portfolio_id: int, now: datetime) -> Decimal:
    """Turn a granted reservation into capital committed behind an order; return the amount.

    The caller stores the amount on the order in the same transaction, since committed capital is
    the sum of what the orders and positions hold.

    :raises ReservationGone: it expired, was released, used or denied, or belongs to another portfolio
    """
    capital_lock(portfolio_id=portfolio_id)
    reservation = reservation_lock(reservation_id=reservation_id)
    lapsed = reservation.expires_at is not None and reservation.expires_at <= now
    if reservation.portfolio_id != portfolio_id or reservation.status != Reservation.Status.GRANTED or lapsed:
        state = "expired" if lapsed else reservation.status
        raise ReservationGone(
            f"Reservation {reservation_id} is {state}; reserve {plain(reservation.amount)} anew."
        )
    Reservation.objects.filter(pk=reservation_id).update(status=Reservation.Status.USED, settled_at=now)
    move = Move(reserved=-reservation.amount, committed=reservation.amount)
    account_move(portfolio_id=portfolio_id, move=move)
    return reservation.amount


_EXPIRE_SQL: Final = """
WITH due AS (
    SELECT account.portfolio_id
    FROM allocation_capitalaccount AS account
    WHERE EXISTS (
        SELECT 1 FROM allocation_reservation AS held
        WHERE held.portfolio_id = account.portfolio_id
          AND held.status = 'granted' AND held.expires_at <= %(now)s
    )
    ORDER BY account.portfolio_id
    FOR UPDATE OF account
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

    The capital rows are locked before the reservations, as everywhere.

    :returns: ids of the expired reservations
    """
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRE_SQL, {"now": now})
        return [row[0] for row in cursor.fetchall()]
