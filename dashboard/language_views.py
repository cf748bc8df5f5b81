"""The language and the time zone of the pages: the switch, and a person's own choice."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_POST

from accounts.models import User
from dashboard.language_forms import ProfileForm
from dashboard.page import SignedInRequest


@require_POST
def language_set(request: HttpRequest) -> HttpResponse:
    """Show this browser's pages in a language from now on, and a signed-in person's on every device."""
    code = request.POST.get("language", "")
    response = redirect(_back(request))
    if code in dict(settings.LANGUAGES):
        if request.user.is_authenticated:
            User.objects.filter(pk=request.user.pk).update(language=code)
        _keep(response, code)
    return response


@login_required
@require_POST
def profile_save(request: SignedInRequest) -> HttpResponse:
    """Keep the language and the zone a person chose; a zone we do not know is refused."""
    form = ProfileForm(request.POST)
    response = redirect(_back(request))
    if not form.is_valid():
        for problem in (text for texts in form.errors.values() for text in texts):
            messages.error(request, str(problem))
        return response
    language, zone = form.cleaned_data["language"], form.cleaned_data["time_zone"]
    User.objects.filter(pk=request.user.pk).update(language=language, time_zone="" if zone == "UTC" else zone)
    with override(language):
        messages.success(request, _("Language and time zone saved."))
    _keep(response, language)
    return response


def _keep(response: HttpResponse, code: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        samesite="Lax",
    )


def _back(request: HttpRequest) -> str:
    """Return the page the form was on, where it is one of ours."""
    wanted: Any = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if allowed else "/"
