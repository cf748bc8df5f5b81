"""API tokens for tests, made without an entry in the audit log."""

from __future__ import annotations

from knox.models import AuthToken

from accounts.domain.scopes import Scope
from accounts.models import ApiToken, Portfolio, User


def token_of(user: User, *scopes: Scope, portfolio: Portfolio | None = None, name: str = "") -> str:
    """Return a new token of a person; with no scope named it may do everything."""
    stored, token = AuthToken.objects.create(user=user)
    ApiToken.objects.create(
        token=stored, owner=user, name=name, scopes=list(scopes or Scope), portfolio=portfolio
    )
    return token
