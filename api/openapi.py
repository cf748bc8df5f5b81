"""The OpenAPI document: written from the endpoints, with what they all have in common added here.

Of a handler's docstring the first sentence is the summary, the rest the description. Every operation tells
its scope, its errors as problem+json, what is left of the caller's pace, and whether it takes an
``Idempotency-Key``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from django.urls import URLPattern, reverse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_doc
from drf_spectacular.utils import OpenApiParameter

from accounts.domain.scopes import SCOPE_TEXTS, Scope
from api.asking import SCOPES
from api.base import ApiView, PagedView
from api.exceptions import PROBLEM_TYPE, TITLES
from api.idempotency import KEY_HEADER, KEY_LENGTH_MAX

_PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "examples": ["urn:ensemble:problem:invalid-request"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For a person: what happened, and what to do."},
        "errors": {
            "type": "object",
            "description": "By field, what is wrong with it.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "scope": {"type": "string", "description": "What the token lacks.", "enum": list(map(str, Scope))},
    },
    "required": ["type", "title", "status", "detail"],
    "additionalProperties": False,
}
_WAIT: Final = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
_PACE: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit", "RateLimit-Policy")}
_HEADERS: Final = {
    "RateLimit": {"schema": {"type": "string"}, "description": "What is left in this minute."},
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": "How many a minute are allowed."},
}
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiSchema(AutoSchema):
    """Describes an endpoint of ours."""

    view: ApiView  # type: ignore[override]

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with everything that all endpoints share."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        answers = operation["responses"]
        if self.view.throttle_classes:
            for answer in answers.values():
                answer["headers"] = {**answer.get("headers", {}), **_PACE}
        for status in self._errors():
            answers.setdefault(str(status), {"$ref": f"#/components/responses/{TITLES[status][0]}"})
        operation["x-scope"] = self._scope()
        return operation

    def _is_list_view(self, serializer: Any = None) -> bool:
        """Tell whether it answers in pages; then the document shows its filters, too."""
        if isinstance(self.view, PagedView):
            return self.method == "GET"
        return bool(super()._is_list_view(serializer))

    def get_operation_id(self) -> str:
        """Return the name of the address with the method: ``follow_patch``."""
        return f"{_names()[self.path]}_{self.method.lower()}"

    def get_summary(self) -> str:
        """Return the first sentence of the handler's docstring; of a list what the view says."""
        if self.method == "GET" and isinstance(self.view, PagedView):
            return self.view.list_summary
        return self._told()[0]

    def get_description(self) -> str:  # type: ignore[override]
        """Return the rest of it, and the scope."""
        told = [] if self.method == "GET" and isinstance(self.view, PagedView) else [self._told()[1]]
        scope = self._scope()
        if scope == "by kind":
            kinds = ", ".join(f"`{kind}`: `{wanted}`" for kind, wanted in SCOPES.items())
            told.append(f"Scope by kind: {kinds}; every other: `{Scope.TRADE}`.")
        elif scope:
            told.append(f"Scope: `{scope}`.")
        return " ".join(part for part in told if part)

    def get_tags(self) -> list[str]:
        """Return the chapter."""
        return [self.view.tag]

    def get_override_parameters(self) -> list[Any]:
        """Add the header that makes a request unrepeatable."""
        own = super().get_override_parameters()
        once = getattr(getattr(self.view, self.method.lower()), "once", False)
        if self.method in _READS or not (once or self.view.keyed):
            return own
        text = "A text of your own, new for each wish; the same again does it once and is answered alike."
        return [
            *own,
            OpenApiParameter(
                KEY_HEADER,
                type={"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[!-~]+$"},
                location=OpenApiParameter.HEADER,
                required=self._scope() == "by kind",
                description=text,
            ),
        ]

    def _told(self) -> tuple[str, str]:
        first, _, rest = get_doc(getattr(self.view, self.method.lower())).partition(". ")
        return f"{first.rstrip('.')}.", " ".join(rest.split())

    def _scope(self) -> str:
        if not self.view.authentication_classes:
            return ""
        if self.method in _READS:
            return str(self.view.read_scope or "")
        if self.view.write_scope is None:
            return "" if self.view.every_token else "by kind"
        return str(self.view.write_scope)

    def _errors(self) -> list[int]:
        found = {400, 406, 500, 503}
        if self.view.authentication_classes:
            found |= {401, 403}
        elif "get_authenticate_header" in vars(type(self.view)):  # signed in a way of its own
            found.add(401)
        if self.view.throttle_classes or not self.view.authentication_classes:
            found.add(429)
        if "{" in self.path or self.method not in _READS:
            found |= {403, 404}
        if self.method not in _READS and self.method != "DELETE":
            found |= {413, 415}
        if self.method == "POST":
            found |= {409, 422}
        if self.method == "DELETE":
            found.add(409)
        return sorted(found)


class TokenScheme(OpenApiAuthenticationExtension):
    """``Authorization: Token …``."""

    target_class = "api.authentication.ApiTokenAuthentication"
    name = "token"

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        """Name the scope a token needs."""
        scope = auto_schema._scope()
        return {"token": [scope] if scope in set(map(str, Scope)) else []}

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Say how it is sent, and what the scopes are."""
        scopes = "\n".join(f"- `{scope}`: {text}" for scope, text in SCOPE_TEXTS.items())
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`Token <token>`. What a token may do is what its scopes say:\n\n{scopes}",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    """The session of a signed-in page."""

    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Say how it is sent."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The session of a signed-in page; changes need the header `X-CSRFToken` too.",
        }


def problems_add(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add errors and paces, which all operations share, to the document (a hook after its generation)."""
    parts = result["components"]
    parts.setdefault("schemas", {})["Problem"] = _PROBLEM
    parts["responses"] = {slug: _problem_answer(status) for status, (slug, _) in TITLES.items()}
    parts["headers"] = _HEADERS
    return result


@cache
def document() -> dict[str, Any]:
    """Return the document of the whole API; it is the same as long as the process runs."""
    written: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return written


def _problem_answer(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": TITLES[status][1] + ".",
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in {429, 503}:
        answer["headers"] = dict(_WAIT)
    return answer


@cache
def _names() -> dict[str, str]:
    """Return the name of each address, as the document writes it."""
    from api.urls import urlpatterns

    base = reverse("api:schema").removesuffix("schema/")
    return {
        base + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern)): str(pattern.name)
        for pattern in urlpatterns
        if isinstance(pattern, URLPattern)
    }
