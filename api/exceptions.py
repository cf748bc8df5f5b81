"""Every error of the API as problem+json (RFC 9457): type, title, status, detail, and errors per field."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from redis.exceptions import RedisError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from accounts.answers import OutcomeUnknown, StillWorking
from allocation.reservations import ReservationGone
from api.permissions import MissingScope
from api.renderers import SaidRenderer
from core.errors import InputError, KeyReused, NotFound, RetryLater

logger = logging.getLogger(__name__)

STORE_ERRORS: Final = (OperationalError, InterfaceError, RedisError, ConnectionError)
_AWAY: Final = status.HTTP_503_SERVICE_UNAVAILABLE

PROBLEM_TYPE: Final = "application/problem+json"
TITLES: Final = {
    400: ("invalid-request", "The request makes no sense"),
    401: ("not-signed-in", "Sign in first"),
    403: ("not-allowed", "Not allowed"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    406: ("not-acceptable", "No such representation"),
    409: ("conflict", "It is not as you think any more"),
    422: ("key-used", "This key stands for another request"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "Send JSON"),
    429: ("too-many-requests", "Too many requests"),
    500: ("fault", "Something went wrong on our side"),
    503: ("try-again", "Not available right now"),
}


class BodyTooLarge(exceptions.APIException):
    """The body is longer than anything this API takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request's body is too large; the limit is 64 KiB."


class ProblemRenderer(SaidRenderer):
    """JSON that says of itself that it describes a problem."""

    media_type = PROBLEM_TYPE
    format = "problem"


def problem_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer an error as problem+json.

    InputError is 400, NotFound 404, ReservationGone 409, a key that was used for something else 422,
    RetryLater and a database or Redis out of reach 503; anything else is a fault of our own: logged with its
    traceback, answered with 500 and nothing of it.
    """
    known = _as_api_exception(error)
    if isinstance(error, STORE_ERRORS):
        logger.error("a store did not answer", exc_info=error)
    elif known.status_code == status.HTTP_500_INTERNAL_SERVER_ERROR:
        logger.error("a request failed", exc_info=error)
    headers: dict[str, str] = {}
    if header := getattr(known, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if (wait := getattr(known, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    set_rollback()
    _answer_in_problem_json(context)
    return Response(_problem(known), status=known.status_code, headers=headers, content_type=PROBLEM_TYPE)


def status_of(error: Exception) -> int:
    """Return the status with which an error is answered; 500 where it is a fault of our own."""
    return _as_api_exception(error).status_code


def _as_api_exception(error: Exception) -> exceptions.APIException:
    """Translate the errors of Django, of the services and of the stores into API exceptions."""
    match error:
        case exceptions.APIException():
            return error
        case Http404() | NotFound():
            return exceptions.NotFound(str(error) or "There is nothing at this address.")
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case KeyReused():
            return _of_status(status.HTTP_422_UNPROCESSABLE_ENTITY, error.message)
        case InputError():
            return exceptions.ValidationError({error.field or "detail": [error.message]})
        case ReservationGone() | OutcomeUnknown():
            return _of_status(status.HTTP_409_CONFLICT, str(error))
        case StillWorking():
            return _of_status(status.HTTP_409_CONFLICT, str(error), wait_s=1)
        case RetryLater():
            return _of_status(_AWAY, str(error), wait_s=error.retry_after_s)
    if isinstance(error, STORE_ERRORS):
        return _of_status(
            _AWAY, "The server cannot reach its data right now. Try again in a moment.", wait_s=5
        )
    return exceptions.APIException("The fault is ours and has been logged. Try again later.")


def _of_status(status_code: int, detail: str, *, wait_s: float | None = None) -> exceptions.APIException:
    problem = exceptions.APIException(detail)
    problem.status_code = status_code
    problem.wait = wait_s  # type: ignore[attr-defined]
    return problem


def _problem(error: exceptions.APIException) -> dict[str, Any]:
    status_code = error.status_code
    slug, title = TITLES.get(status_code, ("error", "The request failed"))
    problem: dict[str, Any] = {"type": f"urn:ensemble:problem:{slug}", "title": title, "status": status_code}
    if isinstance(error, MissingScope):
        problem |= {"type": "urn:ensemble:problem:missing-scope", "scope": error.scope.value}
    if not isinstance(error, exceptions.ValidationError):
        return {**problem, "detail": str(error.detail)}
    fields = _messages(error.detail)
    general = fields.pop("detail", []) + fields.pop("non_field_errors", [])
    said = [f"{field}: {' '.join(messages)}" for field, messages in fields.items()]
    problem["detail"] = " ".join(general) or "; ".join(said)
    return {**problem, "errors": fields} if fields else problem


def _messages(detail: Any, path: str = "") -> dict[str, list[str]]:
    """Flatten DRF's nested detail to {"field.inner": [sentences]}."""
    if isinstance(detail, Mapping):
        flat: dict[str, list[str]] = {}
        for key, value in detail.items():
            flat.update(_messages(value, f"{path}.{key}" if path else str(key)))
        return flat
    if isinstance(detail, list) and any(isinstance(entry, Mapping) for entry in detail):
        flat = {}
        for index, entry in enumerate(detail):
            flat.update(_messages(entry, f"{path}.{index}" if path else str(index)))
        return flat
    return {path or "detail": [str(entry) for entry in (detail if isinstance(detail, list) else [detail])]}


def _answer_in_problem_json(context: Mapping[str, Any]) -> None:
    """Make the answer carry the problem media type whatever the request would accept."""
    request = context.get("request")
    if request is not None:
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = PROBLEM_TYPE
