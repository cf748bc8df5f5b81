"""Cash in and out, measured in fund units: paper cash, and what its owner says came or went at a venue.

A deposit buys units and a withdrawal sells them at the current unit value (equity ÷ units), so that
equity ÷ units is the time-weighted value of one unit and flows never look like results.

Equity is an argument: positions are valued in a package above this one. The caller holds the
capital row while it values, so that nothing is booked in between.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from django.db import transaction
from django.db.models import F

from accounts.models import Portfolio
from allocation.capital import (
    LedgerLine,
    Move,
    account_move,
    amount_checked,
    ledger_write,
)
from allocation.locks import capital_lock
from allocation.models import CapitalAccount, LedgerEntry
from core.decimals import ZERO, dollars, plain
from core.errors import InputError

UNIT_STEP: Final = Decimal("0.0000000000000001")
KEY_LENGTH_MAX: Final = 80


@transaction.atomic
def cash_deposit(
    *,
    portfolio: Portfolio,
    amount: Decimal,
    equity: Decimal,
    key: str,
    now: datetime,
    world_at: datetime,
    at_venue: bool = False,
) -> bool:
    """Put cash in; it buys units at the current unit value and pays a deficit first.

    Where everything was taken out before, it buys at the value at which the last unit was sold.

    :param equity: the portfolio's equity before the deposit, valued under the capital row's lock
    :param key: chosen by the caller; the same key again changes nothing
    :param at_venue: the cash moved at the portfolio's venue, and its owner says so; else it is paper
    :returns: True if booked now, False if this key was booked before
    :raises InputError: not on paper, the amount makes no sense, the key was used for another amount,
        or there are units and equity is not above zero, so that a unit has no price
    """
    account = _account_for_flow(portfolio=portfolio, at_venue=at_venue)
    amount = amount_checked(amount)
    if _booked_before(portfolio=portfolio, kind=LedgerEntry.Kind.DEPOSIT, key=key, amount=amount):
        return False
    units = (
        _units_for(amount=amount, equity=equity, units=account.units)
        if account.units
        else _units_again(portfolio=portfolio, amount=amount)
    )
    line = LedgerLine(LedgerEntry.Kind.DEPOSIT, amount, f"deposit:{key}", units=units)
    _flow_book(portfolio_id=portfolio.pk, move=Move(free=amount), line=line, now=now, world_at=world_at)
    return True


@transaction.atomic
def cash_withdraw(
    *,
    portfolio: Portfolio,
    amount: Decimal,
    equity: Decimal,
    withdrawable: Decimal,
    key: str,
    now: datetime,
    world_at: datetime,
    at_venue: bool = False,
) -> bool:
    """Take cash out, at most what is free and can be spared; it sells units at the current unit value.

    Other arguments, result and errors as in ``cash_deposit``.

    :param withdrawable: what can leave without taking the margin of open perpetuals, valued with ``equity``
    :raises InputError: more than is free, more than the equity, or more than ``withdrawable``
    """
    account = _account_for_flow(portfolio=portfolio, at_venue=at_venue)
    amount = amount_checked(amount)
    if _booked_before(portfolio=portfolio, kind=LedgerEntry.Kind.WITHDRAWAL, key=key, amount=-amount):
        return False
    available = max(ZERO, min(account.free, equity, withdrawable))
    if amount > available:
        why = "only free capital can leave. Close positions or cancel orders to free more."
        if available < account.free:
            why = "open positions need the rest against losses. Close positions to free more."
        raise InputError(
            f"{dollars(available)} can be withdrawn now, not {dollars(amount)}: {why}", field="amount"
        )
    everything = amount == equity
    units = account.units if everything else _units_for(amount=amount, equity=equity, units=account.units)
    line = LedgerLine(LedgerEntry.Kind.WITHDRAWAL, -amount, f"withdrawal:{key}", units=-units)
    _flow_book(portfolio_id=portfolio.pk, move=Move(free=-amount), line=line, now=now, world_at=world_at)
    return True


@transaction.atomic
def cash_reset(
    *, portfolio: Portfolio, amount: Decimal, equity: Decimal, key: str, now: datetime, world_at: datetime
) -> bool:
    """Start the paper account over: cash becomes ``amount``, one unit costs 1, results begin at zero.

    The caller has made sure that no position and no order is open; the account's own columns are
    checked again here. Arguments and result as in ``cash_deposit``.

    :raises InputError: capital is still reserved, committed or deployed
    """
    account = _account_for_flow(portfolio=portfolio)
    amount = amount_checked(amount)
    reference = _reference(LedgerEntry.Kind.RESET, key)
    if LedgerEntry.objects.filter(
        portfolio=portfolio, kind=LedgerEntry.Kind.RESET, reference=reference
    ).exists():
        return False
    if account.reserved or account.committed or account.deployed:
        raise InputError(
            f"Paper cash can be reset only when nothing is open: {dollars(account.reserved)} is reserved, "
            f"{dollars(account.committed)} committed and {dollars(account.deployed)} deployed. "
            "Close all positions and cancel all orders first."
        )
    change = amount - (account.free - account.deficit)
    line = LedgerLine(
        LedgerEntry.Kind.RESET,
        change,
        reference,
        units=amount - account.units,
        note=f"Reset to {plain(amount)}",
    )
    # A reset to what is there already is kept as an entry of zero, so that its key counts as booked.
    LedgerEntry.objects.create(
        portfolio=portfolio, kind=line.kind, amount=line.amount, units=line.units, reference=line.reference,
        note=line.note, at=now, world_at=world_at,
    )  # fmt: skip
    account_move(portfolio_id=portfolio.pk, move=Move(free=change), now=now)
    CapitalAccount.objects.filter(pk=portfolio.pk).update(deposits_net=amount, units=amount)
    return True


def _account_for_flow(*, portfolio: Portfolio, at_venue: bool = False) -> CapitalAccount:
    if portfolio.mode != Portfolio.Mode.PAPER and not at_venue:
        raise InputError("Cash of a live portfolio moves at the exchange; only paper cash can be moved here.")
    return capital_lock(portfolio_id=portfolio.pk)


def _reference(kind: str, key: str) -> str:
    if not 0 < len(key) <= KEY_LENGTH_MAX:
        raise InputError(f"The request's key must have 1 to {KEY_LENGTH_MAX} characters.", field="key")
    return f"{kind}:{key}"


def _booked_before(*, portfolio: Portfolio, kind: str, key: str, amount: Decimal) -> bool:
    entry = LedgerEntry.objects.filter(
        portfolio=portfolio, kind=kind, reference=_reference(kind, key)
    ).first()
    if entry is not None and entry.amount != amount:
        raise InputError(
            f"The key {key} was used for {plain(abs(entry.amount))} before; another amount needs a new key.",
            field="key",
        )
    return entry is not None


def _units_for(*, amount: Decimal, equity: Decimal, units: Decimal) -> Decimal:
    """Return how many units an amount buys or sells: amount × units ÷ equity."""
    if equity <= 0:
        raise InputError(
            f"Equity is {dollars(equity)}, so a share of it has no price. "
            "Close all positions and reset the paper account instead.",
            field="amount",
        )
    return (amount * units / equity).quantize(UNIT_STEP, rounding=ROUND_HALF_EVEN)


def _units_again(*, portfolio: Portfolio, amount: Decimal) -> Decimal:
    """Return how many units an amount buys when there are none: at the price of the last that were sold.

    Only a withdrawal of everything leaves no unit behind, so its ledger entry has the last price exactly.
    """
    sold = LedgerEntry.objects.filter(portfolio=portfolio, units__lt=0).order_by("-id").first()
    if sold is None:
        return amount
    return (amount * sold.units / sold.amount).quantize(UNIT_STEP, rounding=ROUND_HALF_EVEN)


def _flow_book(*, portfolio_id: int, move: Move, line: LedgerLine, now: datetime, world_at: datetime) -> None:
    ledger_write(portfolio_id=portfolio_id, lines=[line], now=now, world_at=world_at)
    account_move(portfolio_id=portfolio_id, move=move, now=now)
    CapitalAccount.objects.filter(pk=portfolio_id).update(
        deposits_net=F("deposits_net") + line.amount, units=F("units") + line.units
    )
