"""API-1: portfolios for their owner alone, and errors in one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import Portfolio, User
from allocation.models import Follow
from api import views
from core.errors import RetryLater
from engine.selectors import portfolio_view
from tests.api.conftest import LIST, patch_json, post_json, problem, url_of
from tests.api.making import everything_make, portfolio_make


# ---------------------------------------------------------------- portfolios
def test_the_list_holds_ones_own(api: Client, portfolio: Portfolio, bobs: Portfolio) -> None:
    """API-1: the caller's portfolios with their worth; nobody else's."""
    body = api.get(LIST).json()
    assert (body["count"], body["next"], body["previous"]) == (1, None, None)
    (entry,) = body["results"]
    assert entry.pop("created_at").endswith("Z")
    assert entry == {
        "id": portfolio.pk,
        "name": "Four models",
        "mode": "paper",
        "policy": "perp",
        "risk_profile": "balanced",
        "conflict_rule": "combine",
        "auto_rebalance": False,
        "world": "replay:still",
        "status": "active",
        "status_reason": "",
        "equity": "10000",
    }


def test_the_list_is_paged(api: Client, alice: User) -> None:
    """API-1: limit and offset, at most 200; world is null before the first follow."""
    made = [portfolio_make(owner=alice, name=f"Number {number}") for number in range(3)]
    first = api.get(f"{LIST}?limit=2").json()
    assert [entry["id"] for entry in first["results"]] == [made[0].pk, made[1].pk]
    assert first["results"][0]["world"] is None
    second = api.get(first["next"]).json()
    assert [entry["id"] for entry in second["results"]] == [made[2].pk]
    assert api.get(f"{LIST}?limit=100000").status_code == 200


def test_one_portfolio_is_the_view_of_page_and_socket(api: Client, alice: User) -> None:
    """VIEW-1: one document for page, API and socket."""
    full = everything_make(owner=alice)
    answer = api.get(url_of(full))
    assert answer.status_code == 200
    body, expected = answer.json(), portfolio_view(portfolio=full)
    assert set(body) == {
        "portfolio", "kpis", "capital", "breakers", "curve", "health",
        "traders", "positions", "conflicts", "orders", "commands", "activity",
    }  # fmt: skip
    assert body == expected
    assert body["portfolio"]["name"] == "Four models"
    assert len(body["positions"]) == len(body["conflicts"]) == len(body["traders"]) == 1


# ---------------------------------------------------------------- who may
ENDPOINTS = [
    ("get", ""),
    ("get", "follows/"),
    ("post", "follows/"),
    ("get", "follows/{follow}/"),
    ("patch", "follows/{follow}/"),
    ("delete", "follows/{follow}/"),
    ("get", "decisions/"),
]


@pytest.mark.parametrize(("method", "rest"), ENDPOINTS)
def test_outsiders_find_nothing(
    portfolio: Portfolio,
    bobs: Portfolio,
    charlie: User,
    bob: User,
    api_of: Callable[[User], Client],
    method: str,
    rest: str,
) -> None:
    """SEC-1: Charlie and Bob get the same 404 as for a portfolio that does not exist; nothing changes."""
    follow = Follow.objects.get()
    path = rest.format(follow=follow.pk)
    for user in (charlie, bob):
        client = api_of(user)
        call = getattr(client, method)
        foreign = call(url_of(portfolio, path), content_type="application/json")
        missing = call(url_of(987654321, path), content_type="application/json")
        assert foreign.status_code == missing.status_code == 404
        assert problem(foreign)["detail"] == f"You have no portfolio with the number {portfolio.pk}."
        assert problem(missing)["detail"] == "You have no portfolio with the number 987654321."
    follow.refresh_from_db()
    assert follow.status == "active"
    assert Follow.objects.count() == 1


@pytest.mark.parametrize(("method", "rest"), ENDPOINTS)
def test_superusers_have_no_key_to_others_money(
    portfolio: Portfolio, api_of: Callable[[User], Client], method: str, rest: str
) -> None:
    """SEC-1: roles widen the admin, never the API."""
    root = api_of(User.objects.create_superuser("root@example.com", "a long enough password"))
    path = rest.format(follow=Follow.objects.get().pk)
    answer = getattr(root, method)(url_of(portfolio, path), content_type="application/json")
    assert answer.status_code == 404


@pytest.mark.parametrize(("method", "rest"), [("get", None), *ENDPOINTS])
def test_nobody_unknown_gets_in(portfolio: Portfolio, method: str, rest: str | None) -> None:
    """SEC-1: without token or session every address answers 401."""
    url = LIST if rest is None else url_of(portfolio, rest.format(follow=Follow.objects.get().pk))
    answer = getattr(Client(), method)(url, content_type="application/json")
    assert answer.status_code == 401
    assert problem(answer)["title"] == "Sign in first"
    assert answer.headers["WWW-Authenticate"] == "Token"


def test_somebody_elses_follow_is_not_reached_through_ones_own_portfolio(
    portfolio: Portfolio, bobs: Portfolio, bob: User, api_of: Callable[[User], Client]
) -> None:
    """SEC-1: a follow is looked for inside the portfolio of the address."""
    follow = Follow.objects.get()
    client = api_of(bob)
    for answer in (
        client.get(url_of(bobs, f"follows/{follow.pk}/")),
        patch_json(client, url_of(bobs, f"follows/{follow.pk}/"), {"status": "paused"}),
        client.delete(url_of(bobs, f"follows/{follow.pk}/")),
    ):
        assert answer.status_code == 404
        assert problem(answer)["detail"] == f"This portfolio has no follow with the number {follow.pk}."
    decisions = client.get(url_of(bobs, f"decisions/?follow={follow.pk}")).json()
    assert decisions["results"] == []
    follow.refresh_from_db()
    assert follow.status == "active"


def test_a_session_works_but_changes_need_its_csrf_token(portfolio: Portfolio, alice: User) -> None:
    """SEC-1: another site's form cannot act with the visitor's session."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(url_of(portfolio)).status_code == 200
    url = url_of(portfolio, f"follows/{Follow.objects.get().pk}/")
    refused = patch_json(client, url, {"status": "paused"})
    assert refused.status_code == 403
    assert problem(refused)["detail"].startswith("CSRF Failed")
    assert Follow.objects.get().status == "active"

    client.get("/accounts/login/?next=/")  # any page with a form sets the cookie
    page = client.get("/accounts/password/change/")
    token = client.cookies["csrftoken"].value if "csrftoken" in client.cookies else page.context["csrf_token"]
    allowed = client.patch(
        url, {"status": "paused"}, content_type="application/json", headers={"X-CSRFToken": str(token)}
    )
    assert allowed.status_code == 200
    assert Follow.objects.get().status == "paused"


# ---------------------------------------------------------------- any request
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/v1/", 404),
        ("post", "/api/v1/portfolios/1/nothing/", 404),
        ("get", "/api/v1/portfolios/-1/", 404),
        ("get", "/api/v1/portfolios/0/", 404),
        ("get", f"/api/v1/portfolios/{10**30}/", 404),
        ("get", f"/api/v1/portfolios/{10**30}/follows/{10**30}/", 404),
        ("delete", "/api/v1/portfolios/", 405),
        ("get", "/api/v1/auth/token/", 405),
    ],
)
def test_wrong_addresses_and_methods_are_problems_too(
    api: Client, method: str, path: str, status: int
) -> None:
    """API-1: one shape of error everywhere under /api/v1/."""
    answer = getattr(api, method)(path)
    assert answer.status_code == status
    problem(answer)


def test_bodies_are_checked_before_they_are_read_whole(api: Client, portfolio: Portfolio) -> None:
    """API-1: not JSON, not an object, not of that type, or too long: each has its status."""
    url = url_of(portfolio, "follows/")
    assert problem(post_json(api, url, "{"))["status"] == 400
    assert problem(post_json(api, url, "[]"))["status"] == 400
    assert problem(post_json(api, url, '"text"'))["status"] == 400
    assert problem(post_json(api, url, b'{"kind": "\xff"}'))["status"] == 400
    assert problem(post_json(api, url, b"[" * 20_000))["status"] == 400
    assert problem(post_json(api, url, {"kind": "replay", "key": "x" * 70_000}))["status"] == 413
    form = api.post(url, {"kind": "replay"})
    assert problem(form)["status"] == 415
    html = api.get(url, headers={"Accept": "text/html"})
    assert problem(html)["status"] == 406


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (OperationalError('connection to server at "10.1.2.3" failed'), 503, "5"),
        (RedisConnectionError("Error 111 connecting to 10.1.2.3:6379"), 503, "5"),
        (RetryLater("DeepSeek cannot be read right now.", retry_after_s=60), 503, "60"),
        (KeyError("secret of 10.1.2.3"), 500, None),
    ],
)
def test_faults_are_told_without_their_insides(
    api: Client,
    portfolio: Portfolio,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    wait: str | None,
) -> None:
    """OPS-1: what can be tried again says when; a fault of ours says nothing about itself."""

    def failing(**_: Any) -> None:
        raise error

    monkeypatch.setattr(views, "portfolio_view", failing)
    answer = api.get(url_of(portfolio))
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == wait
    assert "10.1.2.3" not in answer.content.decode()
    problem(answer)
