"""Whether a portfolio may go live, or hold more positions live: the facts for ``engine.domain.live_gate``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import RAMP, LiveAccount, LiveFinding, Portfolio, User
from accounts.second_factor import email_verified, second_factor_active
from allocation.models import BreakerTrip
from core.errors import InputError
from engine.domain.live_gate import (
    Condition,
    GateFacts,
    RampFacts,
    gate_conditions,
    ramp_next,
    ramp_problem,
)
from engine.live.accounts import account_read, account_venue, cash_free
from engine.live.bars import key_problem
from execution.accounts import AccountLook
from execution.desks import account_name
from execution.models import Order
from markets.exchanges import exchange_make


def sandbox_exists(*, venue: str) -> bool:
    """Tell whether a venue has a test environment that can be used."""
    try:
        client = exchange_make(venue=venue, sandbox=True)
    except InputError:
        return False
    client.session.close()
    return True


def account_examine(*, account: LiveAccount, now: datetime) -> AccountLook:
    """Ask the venue about an account, and keep what it is not ready for; return what it holds.

    :raises RetryLater: no usable answer
    """
    name = account_name(portfolio_id=account.pk)
    check = account_venue(account=account).account_check(account=name)
    account.problems, account.checked_at = list(check.problems), now
    account.save(update_fields=["problems", "checked_at"])
    return account_read(account=account)


def gate_read(
    *, account: LiveAccount, look: AccountLook | None, shortened: str, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions for going live as they stand.

    :param look: what the account holds now; None where its venue was not asked
    :param shortened: why its owner would end the shadow before its time
    """
    owner = account.portfolio.owner
    return gate_conditions(
        facts=GateFacts(
            server_allows=settings.LIVE_TRADING,
            second_factor=second_factor_active(user=owner),
            email_verified=email_verified(user=owner),
            key_problem=key_problem(credential=account.credential),
            check_problems=tuple(account.problems) if account.checked_at else None,
            shadow_for=now - account.shadow_since,
            shadow_least=timedelta(hours=settings.LIVE_SHADOW_HOURS),
            shortened=shortened,
            sandbox=account.sandbox,
            has_sandbox=account.sandbox or sandbox_exists(venue=account.venue),
            sandbox_filled=_sandbox_orders(owner, account.venue, Order.Status.FILLED),
            sandbox_cancelled=_sandbox_orders(owner, account.venue, Order.Status.CANCELLED),
            assigned=account.assigned,
            free_cash=cash_free(look=look, quote=account.quote) if look else None,
            quote=account.quote,
            stopped=_stopped(account.portfolio),
        )
    )


def conditions_unmet(*, conditions: Sequence[Condition]) -> str:
    """Return what is missing, in words; empty where all is there."""
    return " ".join(condition.text for condition in conditions if not condition.met)


def _sandbox_orders(owner: User, venue: str, status: str) -> bool:
    orders = Order.objects.filter(
        portfolio__owner=owner,
        portfolio__live__sandbox=True,
        portfolio__live__venue=venue,
        venue=venue,
        status=status,
    )
    return orders.exists()


def _stopped(portfolio: Portfolio) -> str:
    trips = BreakerTrip.objects.filter(portfolio=portfolio, reset_at__isnull=True, follow__isnull=True)
    trip = trips.order_by("pk").first()
    return f"{trip.get_kind_display()} stands: {trip.reason}." if trip else ""


def ramp_read(*, account: LiveAccount, now: datetime) -> tuple[str, int | None]:
    """Return why a live portfolio may not hold more positions yet (empty: it may), and how many are next."""
    findings = LiveFinding.objects.filter(account=account, kind__in=LiveFinding.SERIOUS)
    trips = BreakerTrip.objects.filter(portfolio_id=account.pk, effect=BreakerTrip.Effect.HALTED)
    since = account.ramped_at or account.promoted_at or now
    settled = [at for at in findings.values_list("settled_at", flat=True) if at is not None]
    settled += [at for at in trips.values_list("reset_at", flat=True) if at is not None]
    since = max([since, *settled])
    filled = Order.objects.filter(
        portfolio_id=account.pk, venue=account.venue, status=Order.Status.FILLED, finished_at__gt=since
    )
    standing = findings.filter(settled_at__isnull=True).first()
    facts = RampFacts(
        step=account.max_positions,
        since=since,
        filled=filled.count(),
        open_problem=standing.text if standing else _stopped(account.portfolio),
        days_least=settings.LIVE_RAMP_DAYS,
        orders_least=settings.LIVE_RAMP_ORDERS,
    )
    return ramp_problem(facts=facts, now=now), ramp_next(step=account.max_positions, steps=RAMP)
