"""The capital account and its ledger: the one way in which money moves.

Every booking is one UPDATE on one row (``account_move``), with its ledger entries beside it.

``version`` rises by 1 with each booking, and with each change of follows or settings. Granting,
releasing and expiring a reservation (``allocation.reservations``) is no booking: it changes what may be
spent, not what is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from accounts.models import Portfolio
from allocation.account import AMOUNT_MAX, Move, account_change
from allocation.models import CapitalAccount, LedgerEntry
from allocation.reservations import reservations_serve
from core.decimals import MONEY_STEP, ZERO, plain
from core.errors import InputError

__all__ = [
    "LedgerLine",
    "Move",
    "account_move",
    "amount_checked",
    "capital_open",
    "capital_version_raise",
    "ledger_write",
]


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


def account_move(*, portfolio_id: int, move: Move, now: datetime) -> None:
    """Book a change of an account in one UPDATE, and serve who waits for capital if some comes back.

    :raises ValueError: an amount finer than 8 decimals, which the database would round
    :raises django.db.IntegrityError: reserved, committed or deployed would fall below zero
    """
    account_change(portfolio_id=portfolio_id, move=move, booking=True)
    if move.free > 0:
        reservations_serve(portfolio_id=portfolio_id, now=now)


def capital_version_raise(*, portfolio_id: int) -> None:
    """Make every copy decision in flight start over, since something it rests on changes in this transaction.

    For changes that move no money (follows, settings, a replay's new run). Takes the capital row.
    """
    account_change(portfolio_id=portfolio_id, move=Move(), booking=True)


def capital_versions_raise(*, portfolio_ids: Iterable[int]) -> None:
    """Raise the versions of many portfolios at once; whoever calls holds their capital rows."""
    CapitalAccount.objects.filter(pk__in=list(portfolio_ids)).update(version=F("version") + 1)


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
