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

from allocation.reservations import ReservationGone
from api.renderers import SaidRenderer
from core.errors import InputError, NotFound, RetryLater

logger = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"
_TITLES: Final = {
    400: ("invalid-request", "The request makes no sense"),
    401: ("not-signed-in", "Sign in first"),
    403: ("not-allowed", "Not allowed"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    406: ("not-acceptable", "No such representation"),
    409: ("conflict", "It is not as you think any more"),
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

    InputError is 400, NotFound 404, ReservationGone 409, RetryLater and a database or Redis out of reach
    503; anything else is a fault of our own: logged with its traceback, answered with 500 and nothing of it.
    """
    known = _as_api_exception(error)
    headers: dict[str, str] = {}
    if header := getattr(known, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if (wait := getattr(known, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    set_rollback()
    _answer_in_problem_json(context)
    return Response(_problem(known), status=known.status_code, headers=headers, content_type=PROBLEM_TYPE)


def _as_api_exception(error: Exception) -> exceptions.APIException:
    """Translate the errors of Django, of the services and of the stores into API exceptions."""
    match error:
        case exceptions.APIException():
            return error
        case Http404() | NotFound():
            return exceptions.NotFound(str(error) or "There is nothing at this address.")
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case InputError():
            return exceptions.ValidationError({error.field or "detail": [error.message]})
        case ReservationGone():
            return _conflict(str(error))
        case RetryLater():
            return _try_again(str(error), wait_s=error.retry_after_s)
        case OperationalError() | InterfaceError() | RedisError() | ConnectionError():
            logger.error("a store did not answer", exc_info=error)
            return _try_again("The server cannot reach its data right now. Try again in a moment.", wait_s=5)
    logger.error("a request failed", exc_info=error)
    return exceptions.APIException("The fault is ours and has been logged. Try again later.")


def _conflict(detail: str) -> exceptions.APIException:
    problem = exceptions.APIException(detail)
    problem.status_code = status.HTTP_409_CONFLICT
    return problem


def _try_again(detail: str, *, wait_s: float | None) -> exceptions.APIException:
    problem = exceptions.APIException(detail)
    problem.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    problem.wait = wait_s  # type: ignore[attr-defined]
    return problem


def _problem(error: exceptions.APIException) -> dict[str, Any]:
    status_code = error.status_code
    slug, title = _TITLES.get(status_code, ("error", "The request failed"))
    problem: dict[str, Any] = {"type": f"urn:ensemble:problem:{slug}", "title": title, "status": status_code}
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
