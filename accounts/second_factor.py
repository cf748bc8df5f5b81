"""Whether a person signs in with a second factor, as live trading asks (SEC-1), and checking a code."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest

from accounts.adapters import lock_text
from accounts.models import User
from core.errors import InputError, RateLimited


def second_factor_active(*, user: User) -> bool:
    """Tell whether a person has set up an authenticator app or a passkey."""
    return bool(is_mfa_enabled(user, [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]))


def second_factor_check(*, request: HttpRequest, user: User, code: str) -> None:
    """Pass where a code of the authenticator app or a recovery code is right, or none is needed.

    A recovery code that passed is used up. Failures count together with those of the sign-in pages.

    :raises InputError: the person has a second factor, and the code is missing or wrong
    :raises RateLimited: too many failures
    """
    if not second_factor_active(user=user):
        return
    if not code:
        raise InputError(
            "This account has a second factor: send a code of the authenticator app, or a recovery code.",
            field="code",
        )
    with context.request_context(request):
        form = AuthenticateForm(data={"code": code}, user=user)
        if form.is_valid():
            return
    if form.has_error("code", "too_many_login_attempts"):
        raise RateLimited(lock_text(), retry_after_s=settings.LOCKOUT_SECONDS)
    raise InputError("The code of the second factor is not right.", field="code")


def email_verified(*, user: User) -> bool:
    """Tell whether a person has shown that mail to their address reaches them.

    Where this server verifies no addresses (``EMAIL_VERIFICATION=none``) every address counts as verified.
    """
    if settings.EMAIL_VERIFICATION == "none":
        return True
    return EmailAddress.objects.filter(user_id=user.pk, email__iexact=user.email, verified=True).exists()
