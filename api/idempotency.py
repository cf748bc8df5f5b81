"""The header ``Idempotency-Key``: the same request sent again is carried out once and answered alike.

``@once`` guards a handler. The key is the caller's own, for a day. What comes of a repetition:

    the same request       the same answer, with the header ``Idempotency-Replayed: true``
    another request        422; the key was used
    while the first works  409 with Retry-After
    the first died         409; whether it was carried out is not known

A request that was refused has done nothing, so its key is free again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from django.utils.crypto import salted_hmac
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.answers import Kept, answer_claim, answer_keep, answer_release
from accounts.models import User
from api.exceptions import status_of
from core.clock import utc_now
from core.errors import InputError

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEY_LENGTH_MAX: Final = 80
_SALT: Final = "ensemble.api.idempotency"
Handler = TypeVar("Handler", bound=Callable[..., Response])


def key_read(request: Request) -> str:
    """Return the caller's key, empty where none was sent.

    :raises InputError: it is too long, or not plain text
    """
    key = request.headers.get(KEY_HEADER, "")
    if len(key) > KEY_LENGTH_MAX or not key.isascii() or (key and not key.isprintable()):
        raise InputError(f"A key is 1 to {KEY_LENGTH_MAX} printable ASCII characters.", field=KEY_HEADER)
    return key


def once(handler: Handler) -> Handler:
    """Guard a handler that does something; without the header it is called as it is."""

    @wraps(handler)
    def guarded(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = key_read(request)
        if not key:
            return handler(view, request, *args, **kwargs)
        claim = answer_claim(
            owner=cast("User", request.user), key=key, fingerprint=_fingerprint(request), now=utc_now()
        )
        if claim.kept is not None:
            return _replayed(claim.kept)
        try:
            response = handler(view, request, *args, **kwargs)
        except Exception as error:
            if status_of(error) != 500:
                answer_release(claim=claim)
            raise
        body = "" if response.data is None else JSONRenderer().render(response.data).decode()
        answer_keep(claim=claim, kept=Kept(status=response.status_code, body=body), now=utc_now())
        return response

    guarded.once = True  # type: ignore[attr-defined]  # the document of the API looks here
    return cast("Handler", guarded)


def _fingerprint(request: Request) -> str:
    """Return what tells two requests apart; keyed, since a body may hold a secret."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    return salted_hmac(
        _SALT, f"{request.method} {request.get_full_path()}\n{body}", algorithm="sha256"
    ).hexdigest()


def _replayed(kept: Kept) -> Response:
    data = json.loads(kept.body) if kept.body else None
    return Response(data, status=kept.status, headers={REPLAYED: "true", "Cache-Control": "no-store"})
