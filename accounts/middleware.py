"""Keeps when and from where a session was seen last, at most once in five minutes."""

from __future__ import annotations

from typing import Final

from allauth.usersessions.models import UserSession
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from accounts.models import User
from core.clock import utc_now

SEEN_EVERY_S: Final = 300
_SEEN_AT: Final = "seen_at"


class SessionSeen(MiddlewareMixin):
    """Note the time, the address and the browser of a signed-in session on the way out.

    A request that did not ask who is signed in is left alone: asking here would cost it a query.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Note it where the last note is older than ``SEEN_EVERY_S``."""
        user = getattr(request, "_cached_user", None)
        session = getattr(request, "session", None)
        if not isinstance(user, User) or session is None or not session.session_key:
            return response
        if request.user != user:  # the API turned the session down, or was asked with a token
            return response
        now_s = int(utc_now().timestamp())
        if now_s - session.get(_SEEN_AT, 0) >= SEEN_EVERY_S:
            session[_SEEN_AT] = now_s
            UserSession.objects.create_from_request(request)
        return response
