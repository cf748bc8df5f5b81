"""What pages about an account show: devices in words, passkeys, where mail goes, what is not verified yet."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django import template
from django.conf import settings
from django.db.models import QuerySet

from accounts.domain.devices import device_text
from accounts.models import User
from accounts.second_factor import email_verified

register = template.Library()


@register.filter
def device(user_agent: str) -> str:
    """A browser and its system in words."""
    return device_text(user_agent=user_agent)


@register.simple_tag(takes_context=True)
def passkeys_of_request(context: dict[str, Any]) -> QuerySet[Authenticator]:
    """The passkeys of the person who asks, oldest first."""
    user = context["request"].user
    return Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.WEBAUTHN).order_by("pk")


@register.inclusion_tag("includes/mail_note.html")
def mail_note() -> dict[str, Any]:
    """Where mail is, on a server that has no mail server."""
    return {"kept": not settings.EMAIL_URL}


@register.inclusion_tag("includes/verify_note.html", takes_context=True)
def verify_note(context: dict[str, Any]) -> dict[str, Any]:
    """That the address has to be verified first, where it is not."""
    user = context["request"].user
    return {"needed": isinstance(user, User) and not email_verified(user=user)}
