"""SEC-1: every address of pages, API and sockets, tried as nobody, stranger, operator, admin and owner."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import User
from dashboard.routing import websocket_urlpatterns
from tests.answers import text_of
from tests.permissions.matrix import ROUTES, SOCKETS, Access
from tests.permissions.things import Route, everything_of, fingerprint, missing_of, routes
from tests.tokens import token_of

pytestmark = pytest.mark.django_db
ALL = tuple(routes())
SIGN_IN = "/accounts/login/"
STRANGERS = ("other", "operator", "admin")


class Caller:
    """One of the cast, by browser and by token."""

    def __init__(self, user: User | None) -> None:
        self.pages = Client(raise_request_exception=False)
        self.api = Client(raise_request_exception=False, headers={"Accept": "application/json"})
        if user is not None:
            self.pages.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            self.api.defaults["HTTP_AUTHORIZATION"] = f"Token {token_of(user)}"

    def ask(self, route: Route, method: str, values: dict[str, Any]) -> Any:
        """Send an empty request of that method."""
        address = route.address(values)
        if not route.is_api:
            cookies = self.pages.cookies.copy()
            answer = self.pages.generic(method.upper(), address)
            self.pages.cookies = cookies  # signing out, for one, is asked too
            return answer
        body = "{}" if method != "get" else ""
        return self.api.generic(method.upper(), address, body, content_type="application/json")


@pytest.fixture
def things(alice: User) -> dict[str, Any]:
    """One of everything, Alice's."""
    return everything_of(alice)


@pytest.fixture
def caller(charlie: User, alice: User) -> Callable[[str], Caller]:
    """Return a function: part played → caller."""

    def play(part: str) -> Caller:
        if part in {"operator", "admin"}:
            user = User.objects.create_user(
                f"{part}@example.com", "a long enough word", role=part, is_staff=True
            )
            if part == "admin":
                User.objects.filter(pk=user.pk).update(is_superuser=True)
                user.refresh_from_db()
            return Caller(user)
        return Caller({"nobody": None, "other": charlie, "owner": alice}[part])

    return play


def rows(*access: Access) -> list[Route]:
    """Return the routes of such access."""
    return [route for route in ALL if ROUTES.get(route.name) in access]


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    """An address that is added must say here whom it serves."""
    assert sorted({route.name for route in ALL}) == sorted(ROUTES)
    assert [str(pattern.pattern) for pattern in websocket_urlpatterns] == list(SOCKETS)


@pytest.mark.parametrize("part", ["nobody", *STRANGERS])
def test_what_is_alices_does_not_exist_for_anybody_else(
    part: str, things: dict[str, Any], caller: Callable[[str], Caller]
) -> None:
    """Neither to read nor to change, whatever the method; and nothing of hers moves."""
    asking = caller(part)
    before, wrong = fingerprint(), []
    for route in rows(Access.OWNER):
        for method in route.methods:
            answer = asking.ask(route, method, things)
            if not _refused(answer, route, part=part):
                wrong.append(f"{method} {route.name}: {answer.status_code}")
            if method == "get" and part != "nobody":
                missing = asking.ask(route, method, missing_of(things))
                if _said(missing, missing_of(things)) != _said(answer, things):
                    wrong.append(f"{method} {route.name}: tells that it exists")
    assert wrong == []
    assert fingerprint() == before


def test_the_owner_reaches_what_is_hers(things: dict[str, Any], caller: Callable[[str], Caller]) -> None:
    """So that the refusals above are refusals of the person, not of the address."""
    asking, wrong = caller("owner"), []
    for route in rows(Access.OWNER, Access.PERSON, Access.ANYBODY):
        answers = [_rolled_back(asking, route, method, things) for method in route.methods]
        for method, answer in zip(route.methods, answers, strict=True):
            if (
                answer.status_code >= 500
                or answer.status_code in {401, 403, 404}
                or _to_sign_in(answer, route)
            ):
                wrong.append(f"{method} {route.name}: {answer.status_code}")
        if {answer.status_code for answer in answers} == {405}:
            wrong.append(f"{route.name}: answers no method")
    assert wrong == []


def test_pages_follow_the_content_policy(things: dict[str, Any], caller: Callable[[str], Caller]) -> None:
    """No inline style, no inline script except data, no handler attribute on any page."""
    asking, wrong = caller("owner"), []
    for route in rows(Access.OWNER, Access.PERSON, Access.ANYBODY):
        answer = _rolled_back(asking, route, "get", things)
        if not answer.headers.get("Content-Type", "").startswith("text/html"):
            continue
        body = answer.content.decode()
        inline = [mark for mark in (' style="', " onclick", " onload", "<script>", "<style") if mark in body]
        if inline or "script-src 'self'" not in answer.headers["Content-Security-Policy"]:
            wrong.append(f"{route.name}: {inline}")
    assert wrong == []


@pytest.mark.parametrize("part", ["nobody", "other", "operator", "admin"])
def test_what_is_a_persons_own_needs_a_person(
    part: str, things: dict[str, Any], caller: Callable[[str], Caller]
) -> None:
    """Nobody is sent to the sign-in; whoever is signed in sees their own, and nothing of Alice's."""
    asking, wrong = caller(part), []
    for route in rows(Access.PERSON):
        for method in route.methods:
            answer = _rolled_back(asking, route, method, things)
            if part == "nobody":
                if not _refused(answer, route, part=part):
                    wrong.append(f"{method} {route.name}: {answer.status_code}")
            elif answer.status_code >= 500 or answer.status_code in {401, 403, 404}:
                wrong.append(f"{method} {route.name}: {answer.status_code}")
            elif b"alice" in answer.content or b"Four models" in answer.content:
                wrong.append(f"{method} {route.name}: shows what is Alice's")
    assert wrong == []


@pytest.mark.parametrize("part", ["nobody", *STRANGERS, "owner"])
def test_what_asks_once_more_shows_and_does_nothing_before(
    part: str, things: dict[str, Any], caller: Callable[[str], Caller]
) -> None:
    """A session left open is not enough: each is asked for the password or the second factor first."""
    asking, before, wrong = caller(part), fingerprint(), []
    for route in rows(Access.CONFIRMED):
        for method in route.methods:
            answer = asking.ask(route, method, things)
            if part == "nobody":
                held = _refused(answer, route, part=part)
            else:
                asked = answer.status_code == 302 and str(answer.url).startswith("/accounts/reauthenticate/")
                held = asked or answer.status_code in {404, 405}
            if not held:
                wrong.append(f"{method} {route.name}: {answer.status_code}")
    assert wrong == []
    assert fingerprint() == before


@pytest.mark.parametrize("part", ["nobody", "other", "operator", "admin", "owner"])
def test_what_is_for_anybody_and_for_nobody(
    part: str, things: dict[str, Any], caller: Callable[[str], Caller]
) -> None:
    """Open addresses answer without a person; those that need a signature refuse one; the rest is nothing."""
    asking, wrong = caller(part), []
    expected = {
        Access.ANYBODY: range(200, 400),
        Access.LINK: (200, 302, 404),
        Access.MIDWAY: (302,),
        Access.SIGNATURE: (401,),
        Access.NOBODY: (404,),
    }
    for access, codes in expected.items():
        for route in rows(access):
            method = "post" if access is Access.SIGNATURE else "get"
            answer = asking.ask(route, method, things)
            if answer.status_code not in codes and answer.status_code != 405:
                wrong.append(f"{method} {route.name}: {answer.status_code}")
    assert wrong == []


def _rolled_back(asking: Caller, route: Route, method: str, values: dict[str, Any]) -> Any:
    """Ask, and undo what it did, so that each request meets the same."""
    with transaction.atomic():
        answer = asking.ask(route, method, values)
        transaction.set_rollback(True)
    return answer


def _refused(answer: Any, route: Route, *, part: str) -> bool:
    if answer.status_code == 405:
        return True
    if part != "nobody":
        return bool(answer.status_code == 404)
    return bool(answer.status_code == 401) if route.is_api else _to_sign_in(answer, route)


def _said(answer: Any, values: dict[str, Any]) -> tuple[int, str]:
    """Return what was answered, without the numbers that were asked for."""
    text = text_of(answer)
    for value in values.values():
        # Whole words alone: a number may well be a part of a drawing's path.
        text = re.sub(rf"(?<!\w)(?<!\d\.){re.escape(str(value))}(?!\w|\.\d)", "…", text)
    return answer.status_code, re.sub(r"\b\d+\b", "…", text)


def _to_sign_in(answer: Any, route: Route) -> bool:
    return answer.status_code == 302 and str(answer.url).startswith(SIGN_IN) and route.name != "account_login"
