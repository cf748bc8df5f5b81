"""What its owner says of a difference between an account and our books: then, and only then, it is booked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final

from django.db import transaction

from accounts.models import LiveAccount, LiveFinding, Portfolio
from allocation.locks import capital_lock
from core.decimals import ZERO, plain
from core.errors import InputError, NotFound
from engine.closing import position_facts
from engine.decisions import DecisionNote, decision_store, world_time
from engine.domain.exit_draft import exit_draft
from engine.domain.live_compare import part_ours
from engine.domain.plan_types import Purpose
from engine.own_orders import legs_release
from engine.portfolios import cash_deposit, cash_withdraw
from engine.publishing import portfolio_changed
from execution.client_ids import client_order_id_new
from execution.models import Order
from execution.orders import order_create
from execution.venues.base import VenueFill, VenueOrder, VenueStatus
from markets.models import Mark
from positions.models import Position
from positions.services import report_book

Kind = LiveFinding.Kind
FLOW, ELSEWHERE, GONE = "flow", "elsewhere", "gone"
WAYS: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.CASH_CAME.value: (FLOW, ELSEWHERE),
    Kind.CASH_LEFT.value: (ELSEWHERE,),
    Kind.CASH_MISSING.value: (FLOW,),
    Kind.MISSING.value: (GONE,),
}
LABELS: Final = {
    FLOW: "It is the portfolio's: a deposit or a withdrawal",
    ELSEWHERE: "It is not the portfolio's",
    GONE: "It is gone: book it out at the present price",
}


def finding_get(*, portfolio: Portfolio, finding_id: int) -> LiveFinding:
    """Return one of a portfolio's findings.

    :raises NotFound: it has none of this number
    """
    found = LiveFinding.objects.select_related("account").filter(pk=finding_id, account_id=portfolio.pk)
    finding = found.first()
    if finding is None:
        raise NotFound(f"This portfolio has no finding {finding_id}.", field="finding_id")
    return finding


def finding_settle(*, portfolio: Portfolio, finding_id: int, way: str, by: str, now: datetime) -> str:
    """Book, or set aside, what a finding speaks of; return what was done, in words.

    A finding that is settled already stays as it was.

    :param way: one of ``WAYS`` of its kind
    :raises NotFound: there is no such finding
    :raises InputError: it cannot be settled in this way, or not now
    """
    finding = finding_get(portfolio=portfolio, finding_id=finding_id)
    if finding.settled_at is not None:
        return finding.settled_how
    if way not in WAYS[finding.kind]:
        raise InputError(f"“{finding.get_kind_display()}” cannot be settled like that.", field="way")
    settle = {
        FLOW: partial(_flow, portfolio, finding, now),
        ELSEWHERE: partial(_elsewhere, finding),
        GONE: partial(_gone, portfolio, finding, now),
    }[way]
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio.pk)
        open_ones = LiveFinding.objects.filter(pk=finding.pk, settled_at__isnull=True)
        if not open_ones.update(settled_at=now, settled_how=f"{LABELS[way]}, says {by}"[:240]):
            return "Settled meanwhile."
        done = settle()
        note = DecisionNote(kind="live", text=f"Finding settled: {finding.code}", reason=done)
        decision_store(portfolio=portfolio, note=note, now=now)
        portfolio_changed(portfolio_id=portfolio.pk)
    return done


def _change(finding: LiveFinding) -> Decimal:
    """Return what came (+) or went (−), in the account's currency, as it is stored."""
    return (finding.seen - finding.books).quantize(Decimal("0.00000001"))


def _flow(portfolio: Portfolio, finding: LiveFinding, now: datetime) -> str:
    amount = _change(finding)
    move = cash_deposit if amount > 0 else cash_withdraw
    move(portfolio=portfolio, amount=abs(amount), key=f"finding {finding.pk}", now=now, at_venue=True)
    account = LiveAccount.objects.select_for_update().get(pk=portfolio.pk)
    if finding.kind == Kind.CASH_MISSING and account.elsewhere:
        # What lay beside is gone as well: the account showed less than our books alone.
        LiveAccount.objects.filter(pk=account.pk).update(elsewhere=ZERO)
    return f"{'Deposited' if amount > 0 else 'Withdrew'} {plain(abs(amount))} {finding.code}."


def _elsewhere(finding: LiveFinding) -> str:
    account = LiveAccount.objects.select_for_update().get(pk=finding.account_id)
    account.elsewhere = max(ZERO, (account.elsewhere or ZERO) + _change(finding))
    account.save(update_fields=["elsewhere"])
    return f"{plain(account.elsewhere)} {finding.code} of the account are not the portfolio's."


def _gone(portfolio: Portfolio, finding: LiveFinding, now: datetime) -> str:
    """Book out what is missing, as an order of the owner's that filled at the present price without a fee."""
    position = Position.objects.filter(portfolio=portfolio, instrument_id=finding.code).exclude(
        status=Position.Status.CLOSED
    )
    held = position.select_related("instrument").prefetch_related("slices").first()
    mark = Mark.objects.filter(world_id=portfolio.world, instrument_id=finding.code).first()
    if held is None or mark is None:
        raise InputError(f"{finding.code} is not held any more, or has no price now.")
    if Order.objects.filter(
        portfolio=portfolio, underlying=held.underlying, status__in=Order.OPEN_STATUSES
    ).exists():
        raise InputError(f"An order works on {finding.code}. Wait for its end, or call it back.")
    missing = abs(held.quantity) - abs(part_ours(held=held.quantity, seen=finding.seen))
    if missing <= 0:
        raise InputError(f"Nothing of {finding.code} is missing any more.")
    whole = missing == abs(held.quantity)
    draft = exit_draft(
        held=position_facts(position=held, whole=True),
        quantity=missing,
        mark=mark.price,
        market=True,
        purpose=Purpose.CLOSE if whole else Purpose.REDUCE,
        reason="It was sold or moved at the venue by hand",
        lifetime_s=60,
        origin=Order.Origin.PERSON,
    )
    world_at, run = world_time(world_name=portfolio.world, now=now)
    name = client_order_id_new()
    order = order_create(
        portfolio_id=portfolio.pk, draft=draft, reservation_id=None, run=run, now=now, sent_as=name
    )
    fill = VenueFill(
        client_order_id=name,
        venue_fill_id=f"by hand {finding.pk}",
        quantity=missing,
        price=mark.price,
        fee=ZERO,
        world_at=world_at,
    )
    report = VenueOrder(name, f"by hand {finding.pk}", VenueStatus.FILLED, missing, "", (fill,))
    report_book(order_id=order.pk, report=report, now=now)
    legs_release(
        portfolio_id=portfolio.pk,
        underlyings=[held.underlying],
        fraction=missing / abs(held.quantity),
        now=now,
    )
    return f"{plain(missing)} {finding.code} are booked out at {plain(mark.price)}."
