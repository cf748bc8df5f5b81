"""Reading an account at its venue: whose it is, what it holds, whether it can be traded with."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol, cast, runtime_checkable

from accounts.models import LiveAccount, Portfolio
from core.decimals import ZERO
from core.errors import InputError, NotFound
from execution.accounts import AccountCheck, AccountLook
from execution.desks import account_name
from execution.venues import venue_get
from execution.venues.base import Venue


@runtime_checkable
class AccountVenue(Venue, Protocol):
    """A venue at which people have accounts of their own."""

    def account_look(self, *, account: str) -> AccountLook:
        """Return what an account holds, ours and not ours together.

        :raises RetryLater: no usable answer
        """
        ...

    def account_check(self, *, account: str) -> AccountCheck:
        """Return what keeps an account from being traded with.

        :raises RetryLater: no usable answer
        """
        ...


def live_get(*, portfolio: Portfolio) -> LiveAccount:
    """Return the account a portfolio is connected to.

    :raises NotFound: it is connected to none
    """
    account = LiveAccount.objects.select_related("credential", "portfolio").filter(pk=portfolio.pk).first()
    if account is None or (
        account.state == LiveAccount.State.STOPPED and account.portfolio.mode == Portfolio.Mode.PAPER
    ):
        raise NotFound(f"{portfolio.name} is connected to no account.")
    return account


def account_venue(*, account: LiveAccount) -> AccountVenue:
    """Return the venue of an account.

    :raises InputError: this server cannot trade there
    """
    try:
        venue = venue_get(name=account.venue)
    except LookupError:
        raise InputError(f"This server cannot trade at {account.venue}.", field="credential_id") from None
    return cast("AccountVenue", venue)


def account_read(*, account: LiveAccount) -> AccountLook:
    """Ask the venue what an account holds.

    :raises RetryLater: no usable answer
    """
    name = account_name(portfolio_id=account.pk)
    return account_venue(account=account).account_look(account=name)


def cash_free(*, look: AccountLook, quote: str) -> Decimal:
    """Return the cash that no order and no margin holds, in the account's currency.

    Of a perpetuals account at most its equity: losses that are not realized count.
    """
    free = sum((one.free for one in look.balances if one.coin == quote), ZERO)
    return free if look.equity is None else max(ZERO, min(free, look.equity))


def cash_total(*, look: AccountLook, quote: str) -> Decimal:
    """Return the cash of an account, without what open positions have gained or lost and not realized."""
    if look.equity is not None:
        return look.equity - sum((one.unrealized_pnl for one in look.positions), ZERO)
    return sum((one.total for one in look.balances if one.coin == quote), ZERO)
