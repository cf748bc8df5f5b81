"""The language and the time zone of a request: the person's own, else the cookie's, else what the browser asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from accounts.zones import zone_of

API: Final = "/api/"
_KNOWN: Final = frozenset(code for code, _ in settings.LANGUAGES)


class PersonLanguage:
    """Activate both for the time of one request.

    Programs are answered in what they ask for by Accept-Language, in UTC: only pages follow the person.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        page = not request.path_info.startswith(API)
        with (
            translation.override(language_of(request, page=page)),
            timezone.override(_zone_of(request) if page else None),
        ):
            request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]
            response = self.get_response(request)
            if not hasattr(response, "render") or response.is_rendered:  # type: ignore[attr-defined]
                response.headers.setdefault("Content-Language", translation.get_language())
            patch_vary_headers(response, ("Accept-Language",))
            return response


def language_of(request: HttpRequest, *, page: bool = True) -> str:
    """Return the language to answer in; ``page`` is False for programs, which have no language of their own."""
    user = getattr(request, "user", None) if page else None
    chosen = user.language if user is not None and user.is_authenticated else ""
    cookie = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "") if page else ""
    return next((code for code in (chosen, cookie) if code in _KNOWN), None) or _accepted(request)


def _accepted(request: HttpRequest) -> str:
    for code, _ in translation.trans_real.parse_accept_lang_header(  # type: ignore[attr-defined]
        request.headers.get("Accept-Language", "")
    ):
        if (plain := code.partition("-")[0]) in _KNOWN:
            return plain
    return settings.LANGUAGE_CODE


def _zone_of(request: HttpRequest) -> ZoneInfo | None:
    user = getattr(request, "user", None)
    return zone_of(name=user.time_zone) if user is not None and user.is_authenticated else None
