"""Who is asking: an API token, or the session of a signed-in page (then with CSRF protection).

Failed sign-ins are counted per address and per e-mail together with those of the sign-in page, so
neither door helps to guess at the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts.adapters import lock_text
from accounts.domain.scopes import scopes_clean
from accounts.models import AuditEntry, User
from accounts.second_factor import second_factor_check
from accounts.selectors import portfolio_get
from accounts.services import api_tokens_revoke
from accounts.tokens import NewToken, api_token_create, api_token_seen
from core.clock import utc_now
from core.errors import InputError, RateLimited

_NOT_KNOWN: Final = "This API token is not known or has expired. Ask for a new one."
_TOKEN = re.compile(rb"^[0-9a-zA-Z]{15,128}$")


class ApiTokenAuthentication(TokenAuthentication):
    """Knox tokens; anything that cannot be one is refused before the database is asked."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """Return the person and the token.

        :raises AuthenticationFailed: malformed, unknown or expired token, or the person was deactivated
        """
        if not _TOKEN.match(token):
            raise AuthenticationFailed(_NOT_KNOWN)
        try:
            user, auth_token = super().authenticate_credentials(token)
        except AuthenticationFailed:
            raise AuthenticationFailed(_NOT_KNOWN) from None
        if not hasattr(auth_token, "grant"):  # made by other hands: nothing says what it may do
            raise AuthenticationFailed(_NOT_KNOWN)
        api_token_seen(record=auth_token.grant, now=utc_now())
        return user, auth_token


def token_create(
    *,
    request: Request,
    email: str,
    password: str,
    code: str = "",
    scopes: Sequence[str],
    days: int,
    portfolio_id: int | None = None,
) -> NewToken:
    """Exchange e-mail and password for an API token; the oldest is dropped when there are too many.

    :param code: of the person's second factor; needed where there is one
    :param portfolio_id: the only portfolio it is to reach
    :raises InputError: the pair is wrong; whether the address has an account is not told. Or the code is
        missing or wrong, or a scope is not known
    :raises NotFound: the person has no such portfolio
    :raises Throttled: too many failures for this address or this e-mail
    """
    user = _signed_in(request=request._request, email=email, password=password)
    try:
        second_factor_check(request=request._request, user=user, code=code)
    except RateLimited as error:
        raise Throttled(wait=settings.LOCKOUT_SECONDS, detail=str(error)) from None
    return api_token_create(
        owner=user,
        name="",
        scopes=scopes_clean(wanted=scopes),
        lifetime=timedelta(days=days),
        portfolio=None if portfolio_id is None else portfolio_get(user=user, portfolio_id=portfolio_id),
        via=AuditEntry.Via.API.value,
        now=utc_now(),
    )


def tokens_end_with_password(sender: object, *, user: User, **more: Any) -> None:
    """Revoke a person's tokens: the password they were made with is no longer valid."""
    api_tokens_revoke(user=user)


def _signed_in(*, request: HttpRequest, email: str, password: str) -> User:
    try:
        user = get_adapter(request).authenticate(request, email=email, password=password)
    except ValidationError:
        raise Throttled(wait=settings.LOCKOUT_SECONDS, detail=lock_text()) from None
    if not isinstance(user, User) or not user.is_active:
        raise InputError("The e-mail address or the password is not right.")
    return user
