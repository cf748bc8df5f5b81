"""What happens to an account goes to the audit log: passwords, addresses, second factors, new devices."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account_signals
from allauth.account.models import EmailAddress
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.http import HttpRequest, HttpResponse

from accounts.audit import audit_write
from accounts.devices import device_signed_in
from accounts.models import AuditEntry, User
from core.clock import utc_now


def receivers_connect() -> None:
    """Listen to django-allauth; called once, when the apps are ready."""
    account_signals.user_logged_in.connect(_signed_in, dispatch_uid="people_signed_in")
    account_signals.password_changed.connect(_password_changed, dispatch_uid="people_password")
    account_signals.password_set.connect(_password_changed, dispatch_uid="people_password")
    account_signals.password_reset.connect(_password_reset, dispatch_uid="people_password_reset")
    account_signals.email_confirmed.connect(_email_verified, dispatch_uid="people_email_verified")
    account_signals.email_changed.connect(_email_changed, dispatch_uid="people_email_changed")
    mfa_signals.authenticator_added.connect(_factor_added, dispatch_uid="people_factor_added")
    mfa_signals.authenticator_removed.connect(_factor_removed, dispatch_uid="people_factor_removed")
    mfa_signals.authenticator_reset.connect(_codes_renewed, dispatch_uid="people_codes_renewed")


def _signed_in(*, request: HttpRequest, response: HttpResponse, user: User, **more: Any) -> None:
    device_signed_in(request=request, response=response, user=user, now=utc_now())


def _password_changed(*, user: User, **more: Any) -> None:
    _note(user, "password.change", "Changed the password")


def _password_reset(*, user: User, **more: Any) -> None:
    _note(user, "password.reset", "Set a new password by a link sent by mail")


def _email_verified(*, email_address: EmailAddress, **more: Any) -> None:
    _note(email_address.user, "email.verify", "Verified the e-mail address")


def _email_changed(*, user: User, **more: Any) -> None:
    _note(user, "email.change", "Changed the e-mail address")


def _factor_added(*, user: User, authenticator: Authenticator, **more: Any) -> None:
    _note(user, "second_factor.add", f"Added a second factor: {_kind(authenticator)}")


def _factor_removed(*, user: User, authenticator: Authenticator, **more: Any) -> None:
    _note(user, "second_factor.remove", f"Removed a second factor: {_kind(authenticator)}")


def _codes_renewed(*, user: User, **more: Any) -> None:
    _note(user, "second_factor.codes", "Made new recovery codes")


def _kind(authenticator: Authenticator) -> str:
    words = {"totp": "authenticator app", "webauthn": "passkey", "recovery_codes": "recovery codes"}
    return words[authenticator.type]


def _note(user: User, action: str, text: str) -> None:
    audit_write(action=action, outcome="done", via=AuditEntry.Via.PAGE, actor=user, text=text, now=utc_now())
