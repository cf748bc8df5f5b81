"""The admin's pages of django-allauth's tables, in place of its own, which show secrets and allow editing.

Loaded when every app has registered its pages (``accounts.admin_app``).
"""

from __future__ import annotations

from typing import Any, cast

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin
from accounts.audit import audit_write
from accounts.models import AuditEntry, User
from accounts.roles import ADMIN_EDITS_PEOPLE, role_allows
from core.clock import utc_now

for foreign in (Authenticator, EmailAddress, EmailConfirmation, UserSession):
    if admin.site.is_registered(foreign):
        admin.site.unregister(foreign)


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Which addresses were verified. A person changes their own on the account page."""

    list_display = ("user", "email", "verified", "primary")
    list_filter = ("verified",)
    list_select_related = ("user",)
    search_fields = ("user__email", "email")


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin):
    """Where people are signed in."""

    list_display = ("user", "ip", "user_agent", "created_at", "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "ip", "user_agent")
    fields = ("user", "ip", "user_agent", "created_at", "last_seen_at")


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Second factors. An administrator can take one away from a person who has lost it, and nothing else."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fields = ("user", "type", "created_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administrators alone."""
        return role_allows(user=request.user, may=ADMIN_EDITS_PEOPLE)

    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        """Take the factor away and say so in the audit log."""
        audit_write(
            action="second_factor.remove",
            outcome="done",
            via=AuditEntry.Via.ADMIN,
            actor=cast("User", request.user),
            text=f"Took a second factor ({obj.get_type_display()}) away from {obj.user}",
            data={"user": obj.user_id, "type": obj.type},
            now=utc_now(),
        )
        super().delete_model(request, obj)
