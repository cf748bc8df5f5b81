"""What keeps a portfolio that is connected to an account from opening, all of it or in one instrument."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import F

from accounts.models import Credential, LiveAccount, LiveFinding, LiveHolding
from core.instruments import underlying_of
from execution.desks import Desk

_STATES: Final = {
    LiveAccount.State.PROMOTING.value: "the shadow ends; live trading begins when nothing is open",
    LiveAccount.State.STOPPING.value: "live trading stops; what is ours is being closed",
    LiveAccount.State.STOPPED.value: "live trading was stopped; connect an account again",
}
FOREIGN: Final = "the account holds a position of its own in it, which is not touched"


def live_bar(*, portfolio_id: int, desk: Desk) -> str:
    """Return why a portfolio may open nothing at its venue now; empty when it may. Exits always pass."""
    if not desk.state or desk.state == LiveAccount.State.SHADOW:
        return ""
    if desk.state in _STATES:
        return _STATES[desk.state]
    if not settings.LIVE_TRADING:
        return "this server does not trade live now (LIVE_TRADING)"
    account = LiveAccount.objects.select_related("credential").get(pk=portfolio_id)
    if problem := key_problem(credential=account.credential):
        return problem
    finding = LiveFinding.objects.filter(
        account=account,
        kind__in=LiveFinding.SERIOUS,
        confirmed_at__isnull=False,
        settled_at__isnull=True,
    ).first()
    return finding.text if finding else ""


def key_problem(*, credential: Credential) -> str:
    """Return why a key cannot be traded with, in words; empty when it can."""
    if credential.revoked_at is not None or not credential.sealed:
        return f"The key {credential} was revoked; connect with another."
    if credential.purpose != Credential.Purpose.TRADE:
        return f"The key {credential} may only read; enter one that may trade."
    if credential.check_error:
        return f"The key {credential} cannot be used: {credential.check_error}"
    return ""


def foreign_barred(*, portfolio_id: int, desk: Desk) -> dict[str, str]:
    """Return the underlyings in which the account holds a perpetual position beside ours, and why not.

    A venue keeps one position per instrument: ours would net with it, and closing ours could close it.
    """
    if not desk.live:
        return {}
    foreign = LiveHolding.objects.filter(account_id=portfolio_id, kind=LiveHolding.Kind.PERP)
    codes = foreign.exclude(quantity=F("ours")).values_list("code", flat=True)
    return {underlying_of(code)[0]: FOREIGN for code in codes}
