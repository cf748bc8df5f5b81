"""API-1, SEC-1: how a token is got, how long it lives, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from accounts.models import Portfolio, User
from tests.api.conftest import problem
from tests.conftest import CAST_PASSWORD

TOKEN = "/api/v1/auth/token/"
LOGOUT = "/api/v1/auth/logout/"
LIST = "/api/v1/portfolios/"
WRONG = "The e-mail address or the password is not right."


def _ask(email: str, password: str) -> Any:
    return Client().post(TOKEN, {"email": email, "password": password}, content_type="application/json")


def _with(token: str | bytes) -> Client:
    text = token if isinstance(token, str) else token.decode("latin-1")
    return Client(headers={"Authorization": f"Token {text}"})


def test_the_right_pair_gets_a_token_that_opens_the_api(portfolio: Portfolio) -> None:
    """API-1: e-mail (in any case) and password → token; it is stored hashed and lives thirty days."""
    answer = _ask("Alice@Example.com", CAST_PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"token", "expires_at", "scopes"}
    assert body["scopes"] == ["read"]
    stored = AuthToken.objects.get()
    assert body["token"] not in (stored.digest, stored.token_key)
    assert timedelta(days=29, hours=23) < stored.expiry - timezone.now() <= timedelta(days=30)
    listed = _with(body["token"]).get(LIST).json()
    assert [entry["id"] for entry in listed["results"]] == [portfolio.pk]


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("alice@example.com", "not her password"),
        ("nobody@example.com", CAST_PASSWORD),
        ("alice@example.com", f" {CAST_PASSWORD} "),
    ],
)
def test_a_wrong_pair_says_nothing_about_who_exists(alice: User, email: str, password: str) -> None:
    """SEC-1: wrong password and unknown address get the very same answer."""
    answer = _ask(email, password)
    assert answer.status_code == 400
    assert problem(answer) == {
        "type": "urn:ensemble:problem:invalid-request",
        "title": "The request makes no sense",
        "status": 400,
        "detail": WRONG,
    }
    assert AuthToken.objects.count() == 0


def test_a_deactivated_person_gets_in_nowhere(alice: User, api: Client) -> None:
    """SEC-1: no new token, and the old ones stop working; the answer is that of a wrong password."""
    alice.is_active = False
    alice.save()
    assert problem(_ask(alice.email, CAST_PASSWORD))["detail"] == WRONG
    assert api.get(LIST).status_code == 401


def test_guessing_is_stopped_for_the_right_password_too(alice: User, bob: User) -> None:
    """SEC-1: after five failures for one e-mail even the right password waits; others are not affected."""
    for _ in range(5):
        assert _ask(alice.email, "guess").status_code == 400
    answer = _ask(alice.email, CAST_PASSWORD)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "300"
    assert problem(answer)["type"] == "urn:ensemble:problem:too-many-requests"
    assert AuthToken.objects.count() == 0
    assert _ask(bob.email, CAST_PASSWORD).status_code == 200


def test_guessing_at_the_page_counts_here_too(alice: User) -> None:
    """SEC-1: page and API share the count, so neither helps to guess at the other."""
    for _ in range(5):
        Client().post("/accounts/login/", {"login": alice.email, "password": "guess"})
    assert _ask(alice.email, CAST_PASSWORD).status_code == 429


def test_success_does_not_count_as_a_failure(alice: User) -> None:
    """API-1: a program that signs in again and again is not locked out."""
    assert {_ask(alice.email, CAST_PASSWORD).status_code for _ in range(8)} == {200}


def test_a_forwarded_address_from_outside_does_not_reset_the_count(alice: User) -> None:
    """SEC-1: ten failures a minute per address, whatever X-Forwarded-For claims."""
    statuses = [
        Client(headers={"X-Forwarded-For": f"10.0.0.{number}"})
        .post(TOKEN, {"email": f"{number}@example.com", "password": "x"}, content_type="application/json")
        .status_code
        for number in range(11)
    ]
    assert statuses == [400] * 10 + [429]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"email": ["This field is required."], "password": ["This field is required."]}),
        ({"email": "x", "password": "y"}, {"email": ["Enter a valid email address."]}),
        ({"email": "a@b.com", "password": ""}, {"password": ["This field may not be blank."]}),
        ({"email": "a@b.com", "password": None}, {"password": ["This field may not be null."]}),
        ({"email": "a@b.com", "password": "y", "otp": "1"}, {"otp": ["There is no such field."]}),
        ({"email": "a@b.com", "password": "y\x00"}, {"password": ["Null characters are not allowed."]}),
    ],
)
def test_malformed_requests_name_the_field(db: None, body: Any, errors: Any) -> None:
    """API-1: each field at fault is named with a sentence."""
    answer = Client().post(TOKEN, body, content_type="application/json")
    assert answer.status_code == 400
    assert problem(answer)["errors"] == errors


def test_signing_out_ends_this_token_alone(portfolio: Portfolio) -> None:
    """API-1: a second program of the same person keeps working."""
    one, two = (_ask("alice@example.com", CAST_PASSWORD).json()["token"] for _ in range(2))
    assert _with(one).post(LOGOUT).status_code == 204
    assert _with(one).get(LIST).status_code == 401
    assert _with(one).post(LOGOUT).status_code == 401
    assert _with(two).get(LIST).status_code == 200


def test_an_expired_token_is_refused_and_deleted(alice: User, api: Client) -> None:
    """SEC-1: what has expired is gone."""
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    answer = api.get(LIST)
    assert answer.status_code == 401
    assert problem(answer)["detail"] == "This API token is not known or has expired. Ask for a new one."
    assert AuthToken.objects.count() == 0


def test_the_eleventh_token_replaces_the_oldest(alice: User) -> None:
    """API-1: at most ten tokens a person; a lost one does not lock anybody out."""
    tokens = [_ask(alice.email, CAST_PASSWORD).json()["token"] for _ in range(11)]
    assert AuthToken.objects.filter(user=alice).count() == 10
    assert [_with(token).get(LIST).status_code for token in tokens] == [401] + [200] * 10


def test_a_changed_password_ends_every_token(
    alice: User, api: Client, client_of: Callable[[User], Client]
) -> None:
    """SEC-1: whoever has a token made with the old password is out."""
    form = {"oldpassword": CAST_PASSWORD, "password1": "quite another one", "password2": "quite another one"}
    assert client_of(alice).post("/accounts/password/change/", form).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("quite another one")
    assert api.get(LIST).status_code == 401


@pytest.mark.parametrize(
    "token", ["x", "a" * 64, "a" * 5000, "é" * 64, "\x7f" * 64, b"\xff\xfe" * 32, "a" * 15 + "%00"]
)
def test_nonsense_in_the_header_is_a_plain_401(db: None, token: str | bytes) -> None:
    """SEC-1: whatever stands in the header, the answer is 401 and never a fault of ours."""
    answer = _with(token).get(LIST)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert problem(answer)["type"] == "urn:ensemble:problem:not-signed-in"


def test_the_real_hasher_is_argon2() -> None:
    """ISSUE "Seeing": passwords are kept with argon2 outside of tests."""
    from portfolio_site import settings as real

    assert real.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.Argon2PasswordHasher"
    assert settings.AUTH_USER_MODEL == "accounts.User"
