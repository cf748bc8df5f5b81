"""Funding of perpetual positions: paid or received per full hour of world time; see ``domain.margin``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from allocation.capital import LedgerLine, Move, account_move, ledger_write
from allocation.locks import capital_lock
from allocation.models import LedgerEntry
from core.decimals import ZERO
from core.types import Policy
from markets.models import Mark
from positions.domain.margin import HOUR, funding_hours, funding_payments
from positions.held import HeldPosition, held_of
from positions.locks import positions_lock
from positions.models import Position, SliceEntry


@transaction.atomic
def positions_fund(*, portfolio_id: int, world: str, now: datetime, world_at: datetime) -> Decimal:
    """Book the funding of a portfolio's perpetuals up to ``world_at``; return what was received (− paid).

    All full hours since the last booking are paid at the present mark and rate. A position whose
    instrument has no mark waits.
    """
    due = Position.objects.filter(
        portfolio_id=portfolio_id, policy=Policy.PERP, funded_until__lte=world_at - HOUR
    ).exclude(status=Position.Status.CLOSED)
    if not due.exists():
        return ZERO
    capital_lock(portfolio_id=portfolio_id)
    held = [held_of(position=position) for position in positions_lock(portfolio_id=portfolio_id)]
    codes = [one.position.instrument_id for one in held]
    marks = dict(
        Mark.objects.filter(world_id=world, instrument_id__in=codes).values_list("instrument_id", "price")
    )
    received = ZERO
    for one in held:
        mark = marks.get(one.position.instrument_id)
        if mark is not None:
            received += funding_book(held=one, mark=mark, now=now, world_at=world_at)
            one.save()
    account_move(portfolio_id=portfolio_id, move=Move(free=received), now=now)
    return received


def funding_book(*, held: HeldPosition, mark: Decimal, now: datetime, world_at: datetime) -> Decimal:
    """Book the full hours that struck since the last funding into a locked position and the ledger.

    Rows change in memory; the caller saves them and moves the returned amount (received +, paid −) to
    free capital.
    """
    position = held.position
    if position.policy != Policy.PERP or position.funded_until is None:
        return ZERO
    hours = funding_hours(funded_until=position.funded_until, world_at=world_at)
    if not hours:
        return ZERO
    position.funded_until += hours * HOUR
    parts = list(held.slices.values())
    payments = funding_payments(
        slices=[part.quantity for part in parts],
        mark=mark,
        rate_hourly=position.instrument.funding_rate_hourly,
        hours=hours,
    )
    for part, payment in zip(parts, payments, strict=True):
        if payment:
            part.funding += payment
            held.entries.append(
                SliceEntry(
                    slice=part,
                    kind=SliceEntry.Kind.FUNDING,
                    price=mark,
                    funding=payment,
                    at=now,
                    world_at=world_at,
                )
            )
    received = sum(payments, ZERO)
    position.funding += received
    reference = f"funding:{position.pk}:{position.funded_until:%Y-%m-%dT%H}"
    line = LedgerLine(
        LedgerEntry.Kind.FUNDING, received, reference, note=f"{hours} h of {position.instrument_id}"
    )
    ledger_write(portfolio_id=position.portfolio_id, lines=[line], now=now, world_at=world_at)
    return received
