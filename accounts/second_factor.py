"""Whether a person signs in with a second factor, which live trading asks for (SEC-1)."""

from __future__ import annotations

from django.apps import apps

from accounts.models import User


def second_factor_active(*, user: User) -> bool:
    """Tell whether a person has set up a second factor; never where this server offers none."""
    if not apps.is_installed("allauth.mfa"):
        return False
    from allauth.mfa.utils import is_mfa_enabled

    return bool(is_mfa_enabled(user))
