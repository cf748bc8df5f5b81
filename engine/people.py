"""Deleting an account: what runs for the person is stopped first, then the name is taken out."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import Model

from accounts.credentials import credential_revoke, credentials_of
from accounts.forgetting import person_forget, person_name, words_forget
from accounts.models import AuditEntry, LiveAccount, LiveFinding, Portfolio, User
from accounts.selectors import portfolios_of
from alerts.models import Alert, AlertChannel, QuietTime
from allocation.follows import follows_current
from allocation.models import BreakerTrip
from core.errors import InputError
from engine.commands import command_accept
from engine.follows import follow_remove
from engine.models import Command, Decision
from positions.models import ConflictApproval, ConflictRecord, Position
from traders.push import agent_revoke, agents_of

_WORDS_IN: Final[tuple[tuple[type[Model], str], ...]] = (
    (Portfolio, "pk"),
    (BreakerTrip, "portfolio_id"),
    (Decision, "portfolio_id"),
    (Command, "portfolio_id"),
    (ConflictRecord, "portfolio_id"),
    (ConflictApproval, "portfolio_id"),
    (LiveAccount, "portfolio_id"),
    (LiveFinding, "account__portfolio_id"),
)


def person_delete_refusal(*, user: User) -> str:
    """Return why an account cannot be deleted now, in words; empty where it can."""
    live = LiveAccount.objects.filter(portfolio__owner=user).exclude(state=LiveAccount.State.STOPPED)
    account = live.select_related("portfolio").order_by("pk").first()
    if account is not None:
        return (
            f"{account.portfolio.name} is connected to an account at {account.venue}. Close what is open "
            "there, stop it, and disconnect it first: nobody would look after it any more."
        )
    held = Position.objects.filter(portfolio__owner=user, portfolio__mode=Portfolio.Mode.LIVE)
    position = held.exclude(status=Position.Status.CLOSED).select_related("portfolio").order_by("pk").first()
    if position is not None:
        return f"{position.portfolio.name} holds open positions at a real venue. Close them first."
    admins = User.objects.filter(role=User.Role.ADMIN, is_active=True)
    if user.role == User.Role.ADMIN and not admins.exclude(pk=user.pk).exists():
        return "You are the last administrator. Make somebody else one first."
    return ""


def person_delete(*, user: User, confirm: str, via: str, now: datetime) -> None:
    """Stop everything that runs for a person, close paper positions, then delete the account for good.

    Each portfolio is frozen at once and a worker closes what it holds on paper. Call it outside a
    transaction; where it stops half-way the account is still there, and it can be called again.

    :param confirm: the person's e-mail address, typed
    :raises InputError: it is another address, or ``person_delete_refusal`` names a reason
    """
    if confirm.strip().lower() != user.email.lower():
        raise InputError(f"Type {user.email} to confirm.", field="confirm")
    refusal = person_delete_refusal(user=user)
    if refusal:
        raise InputError(refusal)
    portfolios = list(portfolios_of(user=user))
    for portfolio in portfolios:
        _portfolio_end(portfolio, now=now)
    # Their follows end with the next cycle, when nothing is held for them any more; nobody else has any.
    for agent in agents_of(user=user):
        agent_revoke(agent=agent, followed_by=(), via=via, now=now)
    for credential in credentials_of(user=user):
        credential_revoke(credential=credential, via=via, now=now)
    for model in (Alert, AlertChannel, QuietTime):
        model._default_manager.filter(owner=user).delete()
    email, name = user.email, person_name(user_id=user.pk)
    numbers = [portfolio.pk for portfolio in portfolios]
    for table, path in _WORDS_IN:
        words_forget(model=table, portfolio_ids=numbers, path=path, email=email, name=name)
    person_forget(user=user, via=via, now=now)


def _portfolio_end(portfolio: Portfolio, *, now: datetime) -> None:
    """Freeze and close in the system's name, which outlives the person's, and follow nobody any more."""
    command_accept(
        portfolio=portfolio,
        kind=Command.Kind.EMERGENCY_STOP.value,
        data={"confirm": portfolio.name, "reason": "Its owner deletes the account."},
        key=f"account deleted {portfolio.pk}",
        asked_by=None,
        via=AuditEntry.Via.SYSTEM.value,
        now=now,
    )
    for follow in follows_current(portfolio_id=portfolio.pk):
        follow_remove(follow=follow, keep_positions=True, now=now)
