"""Reading portfolios. Page, endpoint and socket come through here, so nobody meets another's portfolio."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from accounts.models import Portfolio, User
from core.errors import NotFound

BIGGEST_ID = 2**63 - 1


def portfolios_of(*, user: User | AnonymousUser) -> QuerySet[Portfolio]:
    """Return the person's own portfolios, oldest first; none for someone who is not signed in.

    Roles make no difference: an administrator sees other people's portfolios in the admin only.
    """
    if not isinstance(user, User):
        return Portfolio.objects.none()
    return Portfolio.objects.filter(owner=user)


def portfolio_get(*, user: User | AnonymousUser, portfolio_id: int) -> Portfolio:
    """Return one of the person's own portfolios.

    :raises NotFound: there is none with this id, or it is someone else's; the two are not told apart
    """
    if 0 < portfolio_id <= BIGGEST_ID:
        portfolio = portfolios_of(user=user).filter(pk=portfolio_id).first()
        if portfolio is not None:
            return portfolio
    raise NotFound(f"You have no portfolio with the number {portfolio_id}.")
