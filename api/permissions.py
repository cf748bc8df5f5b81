"""What a token may be used for: its scopes, and the one portfolio it may be bound to."""

from __future__ import annotations

from typing import Any, Final

from knox.models import AuthToken
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.domain.scopes import Scope
from accounts.models import ApiToken

PORTFOLIO_IN_ADDRESS: Final = "portfolio_id"
BOUND: Final = "This token is for one portfolio; this is about more than that."


class MissingScope(exceptions.PermissionDenied):
    """The token was not made for this. ``scope`` is what it lacks."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            f"This token lacks the scope “{scope}”. Make one that has it, under “API tokens” of your account."
        )
        self.scope = scope


class TokenScope(BasePermission):
    """Let a token do what its scopes say. The session of a signed-in page may do everything.

    A view says what it asks for: ``read_scope`` for looking, ``write_scope`` for the rest; None asks for no
    scope. A token that is bound to one portfolio reaches only addresses that name a portfolio, and views that
    say ``every_token``; whether it is that portfolio is up to ``ApiView.portfolio``.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the caller may.

        :raises MissingScope: the token lacks a scope
        :raises PermissionDenied: the token is for one portfolio, and this is about more than that
        """
        token = grant_of(request)
        if token is None:
            return True
        scope_require(token, view.read_scope if request.method in SAFE_METHODS else view.write_scope)
        bound = token.portfolio_id is not None and not view.every_token
        if bound and PORTFOLIO_IN_ADDRESS not in view.kwargs:
            raise exceptions.PermissionDenied(BOUND)
        return True


def grant_of(request: Request) -> ApiToken | None:
    """Return what the caller's token may do; None for the session of a signed-in page."""
    return request.auth.grant if isinstance(request.auth, AuthToken) else None


def scope_require(token: ApiToken | None, scope: Scope | None) -> None:
    """Refuse a token without the scope.

    :raises MissingScope: it lacks it
    """
    if token is not None and scope is not None and scope.value not in token.scopes:
        raise MissingScope(scope)
