"""How fast a person, and each of a person's tokens, may ask: so many requests in each minute of the clock.

Counted in Redis, over all web processes. Every answer tells what is left, in the fields of the IETF draft
"RateLimit header fields for HTTP". Where Redis does not answer nobody is held up: this guards the server
from a program that runs wild, it promises nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api.permissions import grant_of
from core.clock import utc_now

logger = logging.getLogger(__name__)
WINDOW_S: Final = 60


@dataclass(frozen=True, slots=True)
class Pace:
    """One count in this minute: how many are allowed, how many are left, seconds until it begins anew."""

    name: str
    allowed: int
    left: int
    renewed_in_s: int


class PaceThrottle(BaseThrottle):
    """Counts the request for the person and for the token, and refuses what is over either."""

    def __init__(self) -> None:
        self._paces: tuple[Pace, ...] = ()

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count it, and tell whether it may pass."""
        try:
            self._paces = _counted(request)
        except RedisError:
            logger.warning("requests are not counted: Redis does not answer")
            return True
        request._request.api_paces = self._paces  # type: ignore[attr-defined]
        return all(pace.left >= 0 for pace in self._paces)

    def wait(self) -> float | None:
        """Return the seconds until the next request may pass."""
        return max((pace.renewed_in_s for pace in self._paces if pace.left < 0), default=None)


def pace_headers(request: Request) -> dict[str, str]:
    """Return what to tell the caller: the limits, and what is left of them."""
    paces: Sequence[Pace] = getattr(request._request, "api_paces", ())
    if not paces:
        return {}
    left = [f'"{pace.name}";r={max(pace.left, 0)};t={pace.renewed_in_s}' for pace in paces]
    return {
        "RateLimit-Policy": ", ".join(f'"{pace.name}";q={pace.allowed};w={WINDOW_S}' for pace in paces),
        "RateLimit": ", ".join(left),
    }


def _counted(request: Request) -> tuple[Pace, ...]:
    now_s = int(utc_now().timestamp())
    window, renewed_in_s = now_s // WINDOW_S, WINDOW_S - now_s % WINDOW_S
    limits = [("person", request.user.pk, settings.API_PERSON_PER_MINUTE)]
    if (token := grant_of(request)) is not None:
        limits.append(("token", token.pk, settings.API_TOKEN_PER_MINUTE))
    return tuple(
        Pace(name, allowed, allowed - _count(f"api:pace:{name}:{key}:{window}"), renewed_in_s)
        for name, key, allowed in limits
    )


def _count(key: str) -> int:
    cache.add(key, 0, timeout=2 * WINDOW_S)
    return cache.incr(key)
