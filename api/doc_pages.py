"""The documentation of the API for people: the OpenAPI document as a page in the site's own design.

Swagger UI and Redoc write styles into the page, which our content security policy refuses; so the server
draws the page, and there is nothing to run in the browser but copying an example.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.domain.scopes import SCOPE_TEXTS
from api.openapi import document

DEPTH_MOST: Final = 4
METHODS: Final = ("get", "post", "put", "patch", "delete")
_PLACEHOLDER: Final[dict[str, Any]] = {"integer": 1, "boolean": True, "number": 1, "array": [], "object": {}}


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter, or one field of a body; ``depth`` for fields of fields."""

    name: str
    kind: str
    required: bool
    text: str
    place: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One way in which an operation is answered."""

    status: str
    text: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as the page shows it."""

    name: str
    method: str
    path: str
    summary: str
    text: str
    scope: str
    parameters: tuple[Row, ...]
    body: tuple[Row, ...]
    answers: tuple[Answer, ...]
    errors: tuple[str, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """The operations about one thing."""

    name: str
    anchor: str
    operations: tuple[Operation, ...]


@require_safe
def docs_page(request: HttpRequest) -> HttpResponse:
    """Show every operation, by chapter, with its fields and an example to copy."""
    base = request.build_absolute_uri("/").rstrip("/")
    context = {
        "chapters": chapters(),
        "scopes": [(scope.value, text) for scope, text in SCOPE_TEXTS.items()],
        "base": base,
        "about": document()["info"]["description"],
    }
    return render(request, "api/docs.html", context)


@cache
def chapters() -> tuple[Chapter, ...]:
    """Return the chapters in alphabetical order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document()["paths"].items():
        for method in METHODS:
            if method in methods:
                found.setdefault(methods[method]["tags"][0], []).append(
                    _operation(path, method, methods[method])
                )
    return tuple(
        Chapter(name=name, anchor=name.lower(), operations=tuple(found[name])) for name in sorted(found)
    )


def _operation(path: str, method: str, told: dict[str, Any]) -> Operation:
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    scope = str(told.get("x-scope", ""))
    text = told.get("description", "").partition("Scope")[0].strip()
    return Operation(
        name=told["operationId"],
        method=method.upper(),
        path=path,
        summary=told["summary"].rstrip("."),
        text=text,
        scope=scope,
        parameters=tuple(_parameters(told.get("parameters", ()))),
        body=tuple(_fields(body)) if body else (),
        answers=tuple(_answers(told["responses"])),
        errors=tuple(sorted(status for status in told["responses"] if status >= "400")),
        example=_example(path, method, body, scope, keyed=_keyed(told)),
    )


def _keyed(told: dict[str, Any]) -> bool:
    return any(parameter["name"] == "Idempotency-Key" for parameter in told.get("parameters", ()))


def _parameters(told: Any) -> Iterator[Row]:
    for parameter in told:
        yield Row(
            name=parameter["name"],
            kind=_kind(parameter["schema"]),
            required=parameter.get("required", False),
            text=parameter.get("description", ""),
            place=parameter["in"],
        )


def _answers(told: dict[str, Any]) -> Iterator[Answer]:
    for status, answer in told.items():
        if status < "400":
            bodies = list(answer.get("content", {}).values())
            schema = bodies[0].get("schema") if bodies else None
            rows = tuple(_fields(schema)) if schema else ()
            yield Answer(status=status, text=_described(schema), rows=rows)


def _described(schema: dict[str, Any] | None) -> str:
    return _resolved(schema).get("description", "") if schema else ""


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with its reference followed; of alternatives the one that is not null."""
    for key in ("allOf", "oneOf", "anyOf"):
        if key in schema:
            first = next(part for part in schema[key] if part.get("type") != "null")
            return _resolved(first)
    name = schema.get("$ref", "").rpartition("/")[2]
    return document()["components"]["schemas"][name] if name else schema


def _fields(schema: dict[str, Any], depth: int = 0) -> Iterator[Row]:
    """Yield the fields of an object or of the objects in a list, and theirs, indented."""
    whole = _resolved(schema)
    inner = whole.get("items") or whole.get("additionalProperties")
    if isinstance(inner, dict) and inner and "properties" not in whole:
        yield from _fields(inner, depth)
        return
    required = set(whole.get("required", ()))
    for name, told in whole.get("properties", {}).items():
        yield Row(name, _kind(told), name in required, told.get("description", ""), depth=depth)
        if depth + 1 < DEPTH_MOST:
            yield from _fields(told, depth + 1)


def _kind(schema: dict[str, Any]) -> str:
    """Return the type in a word or two, with the words it may be."""
    whole = _resolved(schema)
    kinds = whole.get("type", "any")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if (given := whole.get("format")) and kind.startswith("string"):
        kind = str(given)
    if kind == "array":
        kind = f"list of {_kind(whole.get('items', {}))}"
    if "enum" in whole:
        kind = " | ".join(str(value) for value in whole["enum"] if value not in (None, ""))
    nullable = any(part.get("type") == "null" for part in schema.get("oneOf", ()))
    return f"{kind} or null" if nullable else kind


def _example(path: str, method: str, body: Any, scope: str, *, keyed: bool) -> str:
    lines = [f"curl -s -X {method.upper()} $ENSEMBLE{path}".replace(" -X GET", "")]
    if scope or path.endswith("/logout/"):
        lines.append("-H 'Authorization: Token '$TOKEN")
    if keyed:
        lines.append("-H 'Idempotency-Key: '$(uuidgen)")
    if body:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d '{orjson.dumps(_sample(body)).decode()}'")
    return " \\\n  ".join(lines)


def _sample(schema: dict[str, Any]) -> Any:
    """Return a value of the schema's form: required fields, or all where none is required."""
    whole = _resolved(schema)
    if "properties" in whole:
        wanted = set(whole.get("required", ())) or set(whole["properties"])
        return {name: _sample(told) for name, told in whole["properties"].items() if name in wanted}
    if "enum" in whole:
        return whole["enum"][0]
    if "default" in whole:
        return whole["default"]
    kind = whole.get("type", "string")
    if kind == "array":
        return [_sample(whole.get("items", {}))]
    if whole.get("format") == "decimal":
        return "1.5"
    return _PLACEHOLDER.get(kind, "…") if isinstance(kind, str) else "…"
