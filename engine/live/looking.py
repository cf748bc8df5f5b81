"""What an account holds, read each minute and held against our books; differences are told, never booked.

A difference counts once a second look has seen it, too: a fill may be on its way when the first is taken.
Less than our books hold bars entries and trips the breaker of the venue; what is not ours is only shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import Q

from accounts.models import LiveAccount, LiveFinding, LiveHolding
from allocation.models import CapitalAccount
from core.decimals import ONE, ZERO, plain
from core.types import Policy
from engine.alerting import finding_tell
from engine.decisions import DecisionNote, decision_store
from engine.domain.live_compare import Difference, cash_difference, holdings_missing, part_ours
from engine.live.accounts import account_venue, cash_total
from engine.order_life import venue_doubt
from engine.publishing import portfolio_changed
from execution.accounts import AccountLook
from execution.client_ids import is_ours
from execution.desks import account_name
from execution.models import Fill, Order
from execution.venues.base import OpenOrder
from markets.models import VenueInstrument
from positions.models import Position

MOVING: Final = timedelta(seconds=15)  # after a fill, in which a venue's own lists may disagree


def account_look_keep(*, portfolio_id: int, now: datetime) -> list[LiveFinding]:
    """Read what an account holds, keep it, and return the findings that stand.

    Must be called outside a transaction.

    :raises RetryLater: the venue gave no usable answer
    """
    account = LiveAccount.objects.select_related("portfolio").get(pk=portfolio_id)
    venue, name = account_venue(account=account), account_name(portfolio_id=portfolio_id)
    before = _books_version(portfolio_id)
    look = venue.account_look(account=name)
    foreign = [one for one in venue.orders_open(account=name) if not is_ours(one.client_order_id)]
    with transaction.atomic():
        seen = _seen(account, look)
        held = _held(account)
        _holdings_store(account, seen, held, foreign)
        if _books_version(portfolio_id) == before:  # else it cannot be compared: the next look can
            _findings_keep(account, look, seen, held, now)
        LiveAccount.objects.filter(pk=portfolio_id).update(looked_at=now, equity=look.equity)
        portfolio_changed(portfolio_id=portfolio_id)
    return _doubts_raise(account, now)


def _books_version(portfolio_id: int) -> int:
    version: int = CapitalAccount.objects.values_list("version", flat=True).get(pk=portfolio_id)
    return version


def _seen(account: LiveAccount, look: AccountLook) -> dict[str, Decimal]:
    """Return what is there by instrument code, in its units; by the coin's name where none is known."""
    if account.policy == Policy.PERP:
        return {one.instrument_code: one.quantity for one in look.positions if one.quantity}
    rules = VenueInstrument.objects.filter(
        venue=account.venue, sandbox=account.sandbox, policy=account.policy, quote=account.quote
    )
    units = {row.symbol.split("/")[0]: (row.instrument_id, row.contract_size) for row in rules}
    seen: dict[str, Decimal] = {}
    for balance in look.balances:
        if balance.coin != account.quote and balance.total:
            code, size = units.get(balance.coin, (balance.coin, ONE))
            seen[code] = balance.total * size
    return seen


def _held(account: LiveAccount) -> dict[str, Decimal]:
    held = Position.objects.filter(portfolio_id=account.pk).exclude(status=Position.Status.CLOSED)
    return dict(held.exclude(quantity=0).values_list("instrument_id", "quantity"))


def _holdings_store(
    account: LiveAccount,
    seen: Mapping[str, Decimal],
    held: Mapping[str, Decimal],
    orders: list[OpenOrder],
) -> None:
    """Keep what is there instead of what was."""
    kind = LiveHolding.Kind.PERP if account.policy == Policy.PERP else LiveHolding.Kind.COIN
    rows = [
        LiveHolding(
            account=account,
            kind=kind,
            code=code,
            quantity=quantity,
            ours=part_ours(held=held.get(code, ZERO), seen=quantity),
        )
        for code, quantity in sorted(seen.items())
    ]
    rows += [
        LiveHolding(
            account=account,
            kind=LiveHolding.Kind.ORDER,
            code=(one.client_order_id or one.venue_order_id)[:80],
            quantity=one.quantity,
            text=f"{one.side} {plain(one.quantity)} {one.instrument_code}"[:160],
        )
        for one in orders
    ]
    LiveHolding.objects.filter(account=account).delete()
    LiveHolding.objects.bulk_create(rows, ignore_conflicts=True)


def _findings_keep(
    account: LiveAccount,
    look: AccountLook,
    seen: Mapping[str, Decimal],
    held: Mapping[str, Decimal],
    now: datetime,
) -> None:
    """Keep what differs, and settle what does not any more."""
    moving = _moving(account.pk, now)
    found = {(one.kind, one.code): one for one in holdings_missing(held=held, seen=seen, moving=moving)}
    if not moving and (cash := _cash(account, look)):
        found[cash.kind, cash.code] = cash
    standing = {
        (row.kind, row.code): row
        for row in LiveFinding.objects.filter(account=account, settled_at__isnull=True)
    }
    for key, row in standing.items():
        gone = key not in found and row.code not in moving
        if gone and not (moving and row.code == account.quote):
            row.settled_at, row.settled_how = now, "The account agrees with our books again"
            row.save(update_fields=["settled_at", "settled_how"])
    for key, one in found.items():
        _finding_keep(account, standing.get(key), one, now)


def _finding_keep(account: LiveAccount, row: LiveFinding | None, one: Difference, now: datetime) -> None:
    row = row or LiveFinding(account=account, kind=one.kind, code=one.code, looks=0, found_at=now)
    row.books, row.seen, row.text = one.books, one.seen, one.text[:300]
    row.looks += 1
    first_confirmed = row.looks >= 2 and row.confirmed_at is None
    row.confirmed_at = now if first_confirmed else row.confirmed_at
    row.save()
    if first_confirmed:
        note = DecisionNote(kind="live", text=f"{row.get_kind_display()}: {row.code}", reason=row.text)
        decision_store(portfolio=account.portfolio, note=note, now=now)
        finding_tell(finding=row, at=now)


def _moving(portfolio_id: int, now: datetime) -> set[str]:
    """Return the instruments with an order under way, or one that was filled just now."""
    orders = Order.objects.filter(portfolio_id=portfolio_id)
    working = orders.filter(Q(status__in=Order.OPEN_STATUSES) | Q(finished_at__gt=now - MOVING))
    filled = Fill.objects.filter(order__portfolio_id=portfolio_id, received_at__gt=now - MOVING)
    return {
        *working.values_list("instrument_id", flat=True),
        *filled.values_list("order__instrument_id", flat=True),
    }


def _cash(account: LiveAccount, look: AccountLook) -> Difference | None:
    """Return what the cash does not agree in; the first look after going live says what lies beside it."""
    capital = CapitalAccount.objects.get(pk=account.pk)
    cash, seen = capital.cash - capital.deficit, cash_total(look=look, quote=account.quote)
    if account.elsewhere is None:
        LiveAccount.objects.filter(pk=account.pk).update(elsewhere=max(ZERO, seen - cash))
        account.elsewhere = max(ZERO, seen - cash)
    return cash_difference(cash=cash, elsewhere=account.elsewhere, seen=seen, quote=account.quote)


def _doubts_raise(account: LiveAccount, now: datetime) -> list[LiveFinding]:
    """Trip the breaker of the venue for what is missing and was seen twice; return what stands."""
    standing = list(LiveFinding.objects.filter(account=account, settled_at__isnull=True).order_by("pk"))
    for row in standing:
        if row.kind in LiveFinding.SERIOUS and row.confirmed_at == now:
            venue_doubt(portfolio_id=account.pk, why=row.text, now=now)
    return standing
