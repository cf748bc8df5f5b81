"""Doors of django-allauth that ask for the password or second factor once more before they open."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from allauth.account.views import email
from django.http import HttpRequest, HttpResponseBase

_email_change = reauthentication_required(email)


def email_page(request: HttpRequest) -> HttpResponseBase:
    """Show the address and what is pending; changing it asks once more who is there.

    Whoever changes the address can have the password reset to it.
    """
    page = _email_change if "action_add" in request.POST else email
    return page(request)
