"""Other programs and a portfolio's capital: ask for it, give it back, use it for an entry (CAP-1, CAP-3).

What an outside program enters belongs to the owner's own slice and passes the same bars and limits as the
owner's entries; its capital is the reservation it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.audit import audit_write
from accounts.models import AuditEntry, Portfolio, User
from allocation.locks import capital_lock
from allocation.models import Reservation
from allocation.reservations import ReservationGone, capital_release, capital_request
from core.decimals import plain
from core.errors import InputError, NotFound
from engine.domain.own_entry import EntryWish
from engine.own_entries import entry_place
from engine.publishing import portfolio_changed
from execution.models import Order
from markets.models import Instrument

OWN_SOURCES: Final = frozenset({"copy cycle", "owner", "other"})  # what our own parts ask as, and a sum
ENTRY_LIFETIME_S: Final = 60


class InUse(ReservationGone):
    """An order stands on the reservation: cancel the order instead."""


def grant_request(
    *,
    portfolio: Portfolio,
    instrument_code: str,
    amount: Decimal,
    priority: int,
    source: str,
    wait_s: int,
    key: str,
    now: datetime,
) -> Reservation:
    """Ask for capital on behalf of another program; see ``allocation.reservations.capital_request``.

    :raises InputError: also where nothing may be opened at all, the instrument is not known, or the source is
        one of our own
    """
    if source in OWN_SOURCES:
        raise InputError(f"“{source}” is a name of our own; choose another.", field="source")
    if not Instrument.objects.filter(pk=instrument_code).exists():
        raise InputError(f"There is no instrument “{instrument_code}”.", field="instrument")
    if portfolio.status != Portfolio.Status.ACTIVE and not _asked_before(portfolio, key):
        why = portfolio.status_reason or f"the portfolio is {portfolio.get_status_display().lower()}"
        raise InputError(f"Nothing is opened now, so no capital is granted: {why}.")
    reservation = capital_request(
        portfolio_id=portfolio.pk,
        amount=amount,
        source=source,
        instrument_code=instrument_code,
        now=now,
        timeout_s=settings.RESERVATION_TIMEOUT_SECONDS,
        priority=priority,
        wait_s=wait_s,
        client_key=key,
    )
    portfolio_changed(portfolio_id=portfolio.pk)
    return reservation


def _asked_before(portfolio: Portfolio, key: str) -> bool:
    return bool(key) and Reservation.objects.filter(portfolio=portfolio, client_key=key).exists()


def grant_get(*, portfolio: Portfolio, reservation_id: UUID) -> Reservation:
    """Return one of a portfolio's reservations.

    :raises NotFound: it has none with this id
    """
    own = Reservation.objects.filter(portfolio=portfolio, pk=reservation_id).select_related("order")
    if (reservation := own.first()) is None:
        raise NotFound(f"This portfolio has no reservation {reservation_id}.")
    return reservation


@transaction.atomic
def grant_release(*, portfolio: Portfolio, reservation_id: UUID, now: datetime) -> Reservation:
    """Give a grant back, or leave the queue; one that is over already stays as it is.

    :raises NotFound: the portfolio has no such reservation
    :raises InUse: an order stands on it
    """
    capital_lock(portfolio_id=portfolio.pk)
    reservation = grant_get(portfolio=portfolio, reservation_id=reservation_id)
    if reservation.status == Reservation.Status.USED:
        raise InUse(f"An order uses reservation {reservation_id}; cancel the order instead.")
    if capital_release(reservation_id=reservation_id, now=now):
        portfolio_changed(portfolio_id=portfolio.pk)
    return grant_get(portfolio=portfolio, reservation_id=reservation_id)


def grant_use(
    *, portfolio: Portfolio, reservation_id: UUID, wish: EntryWish, by: User, via: str, now: datetime
) -> Order:
    """Place a limit entry behind a grant, which stops its 30 seconds; the same once more is the same order.

    :raises NotFound: the portfolio has no such reservation
    :raises InputError: the grant is for another instrument or too small, or a breaker, a limit, … forbids it
    :raises ReservationGone: the grant is over, or was used for another order
    :raises RetryLater: the books kept moving; nothing was stored
    """
    reservation = grant_get(portfolio=portfolio, reservation_id=reservation_id)
    if reservation.status == Reservation.Status.USED:
        return _known(reservation, wish)
    _check(reservation, wish=wish, now=now)
    told = _Audit(reservation, wish=wish, by=by, via=via, now=now)
    told.write(AuditEntry.Outcome.ACCEPTED)
    try:
        order = entry_place(
            portfolio=portfolio,
            wish=wish,
            lifetime_s=ENTRY_LIFETIME_S,
            command_id=None,
            now=now,
            grant=reservation,
        )
    except (InputError, ReservationGone) as refusal:
        reservation = grant_get(portfolio=portfolio, reservation_id=reservation_id)
        if reservation.status == Reservation.Status.USED:  # the same was asked twice at this moment
            return _known(reservation, wish)
        told.write(AuditEntry.Outcome.REFUSED, why=str(refusal))
        raise
    told.write(AuditEntry.Outcome.DONE, order_id=order.pk)
    return order


@dataclass(frozen=True, slots=True)
class _Audit:
    """What the audit log is told of one use of a grant."""

    reservation: Reservation
    wish: EntryWish
    by: User
    via: str
    now: datetime

    def write(self, outcome: str, *, why: str = "", **data: object) -> None:
        """Add an entry."""
        wish = self.wish
        text = f"{wish.side.title()} {plain(wish.quantity)} {wish.code} at {plain(wish.limit_price)}"
        audit_write(
            action="capital.use",
            outcome=outcome,
            via=self.via,
            actor=self.by,
            portfolio_id=self.reservation.portfolio_id,
            text=f"{text}: {why}" if why else text,
            data={"reservation_id": str(self.reservation.pk), "source": self.reservation.source, **data},
            now=self.now,
        )


def _check(reservation: Reservation, *, wish: EntryWish, now: datetime) -> None:
    """Refuse what no look at the books is needed for."""
    if reservation.status != Reservation.Status.GRANTED:
        raise ReservationGone(
            f"Reservation {reservation.pk} is {reservation.status}"
            + (f" ({reservation.reason})" if reservation.reason else "")
            + "; only a granted one can be used."
        )
    if reservation.expires_at is not None and reservation.expires_at <= now:
        raise ReservationGone(f"Reservation {reservation.pk} has expired; ask anew.")
    if wish.code != reservation.instrument_code:
        raise InputError(
            f"The capital was granted for {reservation.instrument_code}, not for {wish.code}.",
            field="instrument",
        )


def _known(reservation: Reservation, wish: EntryWish) -> Order:
    order: Order = reservation.order
    if (order.side, order.quantity, order.limit_price) != (wish.side, wish.quantity, wish.limit_price):
        raise ReservationGone(
            f"Reservation {reservation.pk} was used for {order.side} {plain(order.quantity)} at "
            f"{plain(order.limit_price)}; ask for another."
        )
    return order
