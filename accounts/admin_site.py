"""The admin's door: by role, through the site's own sign-in, with a second factor where one is asked for.

Django's own sign-in form of the admin knows passwords only, so it would be a way around the second factor.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import ENTERS_ADMIN, role_allows
from accounts.second_factor import second_factor_active


class GuardedAdminSite(AdminSite):
    """Lets in whose role says so; ``ADMIN_SECOND_FACTOR`` asks for a second factor as well."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may look at anything here."""
        return role_allows(user=request.user, may=ENTERS_ADMIN) and not _factor_missing(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send a stranger to the sign-in page, and who lacks a second factor to where it is set up.

        :raises PermissionDenied: signed in, and not an operator or administrator
        """
        wanted = request.GET.get("next", "")
        safe = url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
        target = wanted if safe else request.build_absolute_uri("/admin/")
        if not request.user.is_authenticated:
            return redirect_to_login(target, settings.LOGIN_URL)
        if not role_allows(user=request.user, may=ENTERS_ADMIN):
            raise PermissionDenied
        if _factor_missing(request):
            messages.warning(request, _("The admin is entered with a second factor. Set one up first."))
            return redirect("mfa_index")
        return redirect(target)


def _factor_missing(request: HttpRequest) -> bool:
    if not settings.ADMIN_SECOND_FACTOR or not isinstance(request.user, User):
        return False
    return not second_factor_active(user=request.user)
