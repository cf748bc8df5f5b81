"""The language and the time zone of a request: the person's own, else the cookie's, else what the browser
asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from accounts.words import language_chosen
from accounts.zones import zone_of

API: Final = "/api/"


class PersonLanguage:
    """Activate both for the time of one request.

    Programs are answered in what they ask for by Accept-Language, in UTC: only pages follow the person.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request in its language."""
        user = None if request.path_info.startswith(API) else getattr(request, "user", None)
        language = language_chosen(
            user=user,
            cookie=request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "") if user is not None else "",
            accepted=request.headers.get("Accept-Language", ""),
        )
        with translation.override(language), timezone.override(_zone_of(user)):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language",))
        return response


def _zone_of(user: Any) -> ZoneInfo | None:
    return zone_of(name=getattr(user, "time_zone", ""))
