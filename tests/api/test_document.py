"""API-1: the OpenAPI document is whole and true: requests made from it are answered as it says."""

from __future__ import annotations

import json
import re
import traceback
from io import StringIO
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import got_request_exception, request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.domain.scopes import Scope
from accounts.models import User
from api.doc_pages import chapters
from api.openapi import document
from core.errors import RetryLater
from tests.permissions.things import everything_of
from tests.tokens import token_of

SCHEMA = "/api/v1/schema/"
CHECKS: list[CheckFunction] = [
    content_type_conformance,
    response_headers_conformance,
    status_code_conformance,
]
METHODS = {"get", "post", "put", "patch", "delete"}
FEW, MANY = 3, 60
STATISTICS = {"IndependenceAnswer", "PairAnswer"}  # floats, of no book
NUMBERS = dict.fromkeys(("agent_id", "command_id", "reservation_id"), "00000000-0000-4000-8000-000000000000")


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return address, method and description of every operation."""
    return [
        (path, method, told)
        for path, methods in document()["paths"].items()
        for method, told in methods.items()
        if method in METHODS
    ]


def test_the_document_is_valid_and_written_without_a_warning() -> None:
    """API-1: what `manage.py spectacular --validate --fail-on-warn` says."""
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())
    assert document()["openapi"] == "3.1.0"


def test_every_operation_says_what_it_does_needs_and_answers() -> None:
    """API-1: summary, chapter, scope, a successful answer, and the errors as problem+json."""
    known = {*map(str, Scope), "by kind", ""}
    for path, method, told in operations():
        assert told["summary"], (path, method)
        assert told["tags"][0], (path, method)
        assert told["x-scope"] in known, (path, method)
        assert any(status < "400" for status in told["responses"]), (path, method)
        assert {"400", "500", "503"} <= set(told["responses"]), (path, method)
    identities = [told["operationId"] for _, _, told in operations()]
    assert len(identities) == len(set(identities))
    problem = document()["components"]["responses"]["not-found"]["content"]
    assert list(problem) == ["application/problem+json"]


def test_decimals_are_text_and_words_have_names() -> None:
    """API-1: no amount is a JSON number, and every set of words is a component."""
    schemas = document()["components"]["schemas"]
    order = schemas["OrderAnswer"]["properties"]
    assert (order["quantity"]["type"], order["quantity"]["format"]) == ("string", "decimal")
    assert order["quantity"]["pattern"] == r"^-?\d+(\.\d+)?$"
    assert schemas["OrderStatus"]["enum"][0] == "pending"
    numbers = [
        (name, field)
        for name, schema in schemas.items()
        for field, told in schema.get("properties", {}).items()
        if told.get("type") == "number" and name not in STATISTICS
    ]
    assert numbers == []


def test_the_document_and_its_page_are_open_to_all(db: None) -> None:
    """API-1: nobody has to sign in to read them; the page shows every operation and nothing inline."""
    assert Client().get(SCHEMA).json()["info"]["title"] == "Ensemble"
    page = Client().get("/api/v1/docs/").content.decode()
    shown = [operation.name for chapter in chapters() for operation in chapter.operations]
    assert sorted(shown) == sorted(told["operationId"] for _, _, told in operations())
    assert all(f'id="{name}"' in page for name in shown)
    assert "<style" not in page
    assert "style=" not in page


def test_nothing_that_asks_for_a_person_is_answered_without_one(db: None) -> None:
    """SEC-1: 401 for every operation with a security requirement, whatever is sent."""
    asked = 0
    for path, method, told in operations():
        if told.get("security") and {} not in told["security"]:
            address = re.sub(r"{(\w+)}", lambda name: NUMBERS.get(name[1], "1"), path)
            answer = Client().generic(method.upper(), address, "{}", content_type="application/json")
            assert answer.status_code == 401, (method, path)
            asked += 1
    assert asked > 60


@pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=pytest.mark.exhaustive)], ids=["few", "many"]
)
def test_answers_are_as_the_document_says(
    alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any, examples: int, request: pytest.FixtureRequest
) -> None:
    """API-1: requests made from the document by schemathesis: no fault, and every answer conforms."""
    if examples == MANY and "exhaustive" not in request.config.getoption("-m"):
        pytest.skip("that many take minutes: pytest -m exhaustive")
    _nobody_outside(monkeypatch)
    for signal in (request_started, request_finished):  # the test's transaction stays open
        signal.disconnect(close_old_connections)
        request.addfinalizer(lambda signal=signal: signal.connect(close_old_connections))
    settings.API_PERSON_PER_MINUTE = settings.API_TOKEN_PER_MINUTE = 1_000_000
    things = everything_of(alice)
    headers = {"Authorization": f"Token {token_of(alice)}"}
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
    schema.app = get_wsgi_application()
    wrong: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        try:
            _tried(operation, things=things, headers=headers, examples=examples)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all that is wrong is told at once
            causes = getattr(error, "exceptions", (error,))
            wrong.append(f"{operation.label}: " + "\n".join(map(str, causes)))
    assert not wrong, "\n\n".join(wrong)


def _tried(operation: Any, *, things: dict[str, Any], headers: dict[str, str], examples: int) -> None:
    faults: list[str] = []

    def note(**_: Any) -> None:
        faults.append(traceback.format_exc(limit=-3))

    got_request_exception.connect(note)

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate], report_multiple_bugs=False,
    )  # fmt: skip
    @given(case=operation.as_strategy(), real=st.integers(0, 3))
    def conforms(case: Any, real: int) -> None:
        if real:
            case.path_parameters = {
                name: str(things.get(name, value)) for name, value in (case.path_parameters or {}).items()
            }
        with transaction.atomic():
            answer = case.call(headers=headers)
            transaction.set_rollback(True)
        assert answer.status_code != 500, f"{case.as_curl_command()}\n{faults[-1:]}"
        shapes = [response_schema_conformance] if examples == MANY else []  # the many look at bodies, too
        case.validate_response(answer, checks=CHECKS + shapes)

    try:
        conforms()
    finally:
        got_request_exception.disconnect(note)


def _nobody_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let venues and sources be away: what asks them is answered 503."""

    def away(*_: Any, **__: Any) -> Any:
        raise RetryLater("Nobody answers.")

    monkeypatch.setattr("api.credential_views.credential_add", away)
    monkeypatch.setattr("traders.services._read_once", away)
