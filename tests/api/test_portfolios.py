"""API-1: portfolios, follows and decisions, for their owner alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import OperationalError
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import Portfolio, User
from allocation.models import Follow
from api import views
from core.clock import utc_now
from core.errors import RetryLater
from engine.models import CycleState, Decision
from engine.selectors import portfolio_view
from tests.api.conftest import problem
from tests.api.making import decision_make, everything_make, follow_make, portfolio_make, trader_make

LIST = "/api/v1/portfolios/"


def _url(portfolio: Portfolio | int, rest: str = "") -> str:
    return f"{LIST}{portfolio if isinstance(portfolio, int) else portfolio.pk}/{rest}"


def _post(client: Client, url: str, body: Any) -> Any:
    return client.post(url, body, content_type="application/json")


def _patch(client: Client, url: str, body: Any) -> Any:
    return client.patch(url, body, content_type="application/json")


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
    answer = api.get(_url(full))
    assert answer.status_code == 200
    body, expected = answer.json(), portfolio_view(portfolio=full)
    assert set(body) == {
        "portfolio", "kpis", "capital", "curve", "health",
        "traders", "positions", "conflicts", "orders", "activity",
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
        foreign = call(_url(portfolio, path), content_type="application/json")
        missing = call(_url(987654321, path), content_type="application/json")
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
    answer = getattr(root, method)(_url(portfolio, path), content_type="application/json")
    assert answer.status_code == 404


@pytest.mark.parametrize(("method", "rest"), [("get", None), *ENDPOINTS])
def test_nobody_unknown_gets_in(portfolio: Portfolio, method: str, rest: str | None) -> None:
    """SEC-1: without token or session every address answers 401."""
    url = LIST if rest is None else _url(portfolio, rest.format(follow=Follow.objects.get().pk))
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
        client.get(_url(bobs, f"follows/{follow.pk}/")),
        _patch(client, _url(bobs, f"follows/{follow.pk}/"), {"status": "paused"}),
        client.delete(_url(bobs, f"follows/{follow.pk}/")),
    ):
        assert answer.status_code == 404
        assert problem(answer)["detail"] == f"This portfolio has no follow with the number {follow.pk}."
    decisions = client.get(_url(bobs, f"decisions/?follow={follow.pk}")).json()
    assert decisions["results"] == []
    follow.refresh_from_db()
    assert follow.status == "active"


def test_a_session_works_but_changes_need_its_csrf_token(portfolio: Portfolio, alice: User) -> None:
    """SEC-1: another site's form cannot act with the visitor's session."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(_url(portfolio)).status_code == 200
    url = _url(portfolio, f"follows/{Follow.objects.get().pk}/")
    refused = _patch(client, url, {"status": "paused"})
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


# ---------------------------------------------------------------- follows
def test_follows_are_listed_in_their_order(api: Client, portfolio: Portfolio) -> None:
    """FOL-1: what is followed, with the share of capital; what was removed is not listed."""
    gone = follow_make(portfolio=portfolio, trader=trader_make(key="gone"), place=2, weight=0)
    Follow.objects.filter(pk=gone.pk).update(status="removed")
    body = api.get(_url(portfolio, "follows/")).json()
    assert body["count"] == 1
    (entry,) = body["results"]
    assert entry["trader"]["name"] == "Deepseek"
    assert entry["trader"]["key"] == "deepseek"
    assert (entry["status"], entry["place"], entry["hue"], entry["weight"]) == ("active", 1, 1, "1.0000")
    assert api.get(_url(portfolio, f"follows/{entry['id']}/")).json() == entry


def test_following_recorded_traders_splits_the_capital(api: Client, alice: User) -> None:
    """FOL-1, ALL-1: each new trader is added at the end and the shares are split anew, summing to 1."""
    from traders.services import catalogue

    fresh = portfolio_make(owner=alice, name="Fresh")
    keys = [trader.key for trader in catalogue() if trader.world == "replay:alpha_arena"][:3]
    for place, key in enumerate(keys, start=1):
        answer = _post(api, _url(fresh, "follows/"), {"kind": "replay", "key": key})
        assert answer.status_code == 201, answer.content
        assert answer.json()["place"] == place
        assert answer.json()["join_mode"] == "new_only"
    weights = [entry["weight"] for entry in api.get(_url(fresh, "follows/")).json()["results"]]
    assert weights == ["0.3333", "0.3333", "0.3334"]
    assert api.get(_url(fresh)).json()["portfolio"]["world"] == "replay:alpha_arena"
    assert CycleState.objects.get(portfolio=fresh).wanted_at is not None
    assert Decision.objects.filter(portfolio=fresh, kind="follow").count() == 3


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "kind", "This field is required."),
        ({"kind": "oracle", "key": "x"}, "kind", '"oracle" is not a valid choice.'),
        ({"kind": "replay", "key": ""}, "key", "This field may not be blank."),
        ({"kind": "replay", "key": "x" * 121}, "key", "Ensure this field has no more than 120 characters."),
        ({"kind": "replay", "key": "k", "join_mode": "all"}, "join_mode", '"all" is not a valid choice.'),
        ({"kind": "replay", "key": "k", "weight": 1}, "weight", "There is no such field."),
    ],
)
def test_a_malformed_follow_names_its_field(
    api: Client, portfolio: Portfolio, body: Any, field: str, sentence: str
) -> None:
    """FOL-1: what is wrong is said at the field; nothing is followed."""
    answer = _post(api, _url(portfolio, "follows/"), body)
    assert answer.status_code == 400
    assert problem(answer)["errors"][field] == [sentence]
    assert Follow.objects.count() == 1


def test_the_services_own_refusals_reach_the_caller(api: Client, portfolio: Portfolio) -> None:
    """FOL-1: a bad address, an unknown recorded trader, another world: each has its sentence."""
    url = _url(portfolio, "follows/")
    address = problem(_post(api, url, {"kind": "hyperliquid", "key": "0x12"}))
    assert "is not a wallet address" in address["errors"]["key"][0]
    unknown = _post(api, url, {"kind": "replay", "key": "nobody"})
    assert unknown.status_code in (400, 404)
    assert problem(unknown)["detail"]
    world = problem(_post(api, url, {"kind": "hyperliquid", "key": "0x" + "a1" * 20}))
    assert world["status"] == 400
    assert "replay:still" in world["errors"]["key"][0]
    assert Follow.objects.count() == 1


def test_an_eleventh_trader_is_refused(api: Client, alice: User) -> None:
    """FOL-1: ten is the most, and the sentence says what to do."""
    full = portfolio_make(owner=alice, name="Full")
    for place in range(1, 11):
        trader = trader_make(key=f"trader{place}")
        trader.world = "live"
        trader.save()
        follow_make(portfolio=full, trader=trader, place=place, weight=0)
    answer = _post(api, _url(full, "follows/"), {"kind": "hyperliquid", "key": "0x" + "a1" * 20})
    assert answer.status_code == 400
    assert problem(answer)["detail"] == (
        "key: You follow 10 traders already, which is the most a portfolio can hold. "
        "Remove one first, or follow this one in another portfolio."
    )
    assert Follow.objects.filter(portfolio=full).count() == 10


def test_pause_resume_and_move(api: Client, portfolio: Portfolio) -> None:
    """FOL-1, ALL-1: a paused trader's share goes to the others; places follow the order asked for."""
    first = Follow.objects.get()
    second = follow_make(portfolio=portfolio, trader=trader_make(key="qwen"), place=2, weight=0)
    third = follow_make(portfolio=portfolio, trader=trader_make(key="grok"), place=3, weight=0)

    paused = _patch(api, _url(portfolio, f"follows/{first.pk}/"), {"status": "paused"})
    assert (paused.status_code, paused.json()["status"], paused.json()["weight"]) == (200, "paused", "0.0000")
    assert [f.weight for f in (second, third) if f.refresh_from_db() is None] == [0.5, 0.5]
    again = _patch(api, _url(portfolio, f"follows/{first.pk}/"), {"status": "paused"})
    assert (again.status_code, again.json()["status"]) == (200, "paused")

    resumed = _patch(api, _url(portfolio, f"follows/{first.pk}/"), {"status": "active", "place": 3})
    assert (resumed.json()["status"], resumed.json()["place"]) == ("active", 3)
    order = [entry["id"] for entry in api.get(_url(portfolio, "follows/")).json()["results"]]
    assert order == [second.pk, third.pk, first.pk]
    assert _patch(api, _url(portfolio, f"follows/{third.pk}/"), {"place": 10}).json()["place"] == 3


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"status": "leaving"}, {"status": ['"leaving" is not a valid choice.']}),
        ({"place": 0}, {"place": ["Ensure this value is greater than or equal to 1."]}),
        ({"place": 11}, {"place": ["Ensure this value is less than or equal to 10."]}),
        ({"place": "first"}, {"place": ["A valid integer is required."]}),
        ({"weight": "0.5"}, {"weight": ["There is no such field."]}),
    ],
)
def test_a_malformed_change_changes_nothing(
    api: Client, portfolio: Portfolio, body: Any, errors: Any
) -> None:
    """FOL-1: refused with the field, and the follow is as it was."""
    follow = Follow.objects.get()
    answer = _patch(api, _url(portfolio, f"follows/{follow.pk}/"), body)
    assert answer.status_code == 400
    assert problem(answer)["errors"] == errors
    empty = _patch(api, _url(portfolio, f"follows/{follow.pk}/"), {})
    assert problem(empty)["detail"] == "Name what to change: status or place."
    after = Follow.objects.get()
    assert (after.status, after.place, after.weight) == (follow.status, follow.place, follow.weight)


@pytest.mark.parametrize("positions", ["close", "keep"])
def test_leaving_a_trader(api: Client, portfolio: Portfolio, positions: str) -> None:
    """FOL-1: its positions are closed, or handed over; asking twice is harmless."""
    follow = Follow.objects.get()
    url = _url(portfolio, f"follows/{follow.pk}/?positions={positions}")
    answer = api.delete(url)
    assert answer.status_code == 202
    assert answer.json()["status"] in ("leaving", "removed")
    assert answer.json()["weight"] == "0.0000"
    assert api.delete(url).status_code in (202, 404)
    refused = _patch(api, _url(portfolio, f"follows/{follow.pk}/"), {"status": "active"})
    assert refused.status_code in (400, 404)
    follow.refresh_from_db()
    assert follow.status in ("leaving", "removed")


def test_leaving_with_a_misspelt_wish_does_nothing(api: Client, portfolio: Portfolio) -> None:
    """FOL-1: it is not guessed what should become of the positions."""
    follow = Follow.objects.get()
    for query, field in (("positions=sell", "positions"), ("position=keep", "position")):
        answer = api.delete(_url(portfolio, f"follows/{follow.pk}/?{query}"))
        assert answer.status_code == 400
        assert field in problem(answer)["errors"]
    assert Follow.objects.get().status == "active"


# ---------------------------------------------------------------- decisions
def test_decisions_come_newest_first_with_their_reasons(api: Client, portfolio: Portfolio) -> None:
    """BEY-3: what was decided, why, on what numbers, for whom."""
    follow = Follow.objects.get()
    made = decision_make(
        portfolio=portfolio,
        follow=follow,
        kind="capped",
        text="Capped BTC",
        reason="At 25 % of equity",
        data={"before": "0.1", "after": "0.05"},
    )
    results = api.get(_url(portfolio, "decisions/")).json()["results"]
    assert [entry["kind"] for entry in results] == ["capped", "copied"]
    assert results[0]["id"] == made.pk
    assert results[0]["reason"] == "At 25 % of equity"
    assert results[0]["data"] == {"before": "0.1", "after": "0.05"}
    assert results[0]["follow_ids"] == [follow.pk]
    assert results[0]["order_id"] is None
    assert results[0]["at"].endswith("Z")


def test_pages_of_decisions_hold_still_while_new_ones_arrive(api: Client, portfolio: Portfolio) -> None:
    """BEY-3: paging with a cursor shows each decision once, whatever is added meanwhile."""
    old = [decision_make(portfolio=portfolio, text=f"{n}").pk for n in range(6)]
    page = api.get(_url(portfolio, "decisions/?limit=4")).json()
    seen = [entry["id"] for entry in page["results"]]
    decision_make(portfolio=portfolio, text="later")
    while page["next"]:
        page = api.get(page["next"]).json()
        seen += [entry["id"] for entry in page["results"]]
    assert seen == sorted(seen, reverse=True)
    assert set(old) <= set(seen)
    assert len(seen) == len(set(seen)) == 7


def test_decisions_are_filtered(api: Client, portfolio: Portfolio) -> None:
    """BEY-3: by kind, underlying, trader and time."""
    follow = Follow.objects.get()
    other = follow_make(portfolio=portfolio, trader=trader_make(key="qwen"), place=2, weight=0)
    Decision.objects.all().delete()
    now = utc_now()
    a = decision_make(portfolio=portfolio, follow=follow, kind="copied", underlying="BTC", at=now)
    b = decision_make(portfolio=portfolio, follow=other, kind="capped", underlying="ETH", at=now)
    c = decision_make(portfolio=portfolio, kind="refused", underlying="BTC", at=now - timedelta(days=2))

    def found(query: str) -> set[int]:
        answer = api.get(_url(portfolio, f"decisions/?{query}"))
        assert answer.status_code == 200, answer.content
        return {entry["id"] for entry in answer.json()["results"]}

    assert found("kind=capped") == {b.pk}
    assert found("kind=capped,refused") == {b.pk, c.pk}
    assert found("underlying=BTC") == {a.pk, c.pk}
    assert found(f"follow={other.pk}") == {b.pk}
    assert found(f"since={quote((now - timedelta(days=1)).isoformat())}") == {a.pk, b.pk}
    assert found("underlying=BTC&kind=copied") == {a.pk}
    assert found("kind=nothing") == set()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("follow=abc", "follow"),
        ("follow=99999999999999999999", "follow"),
        ("underlying=" + "x" * 49, "underlying"),
        ("underlying=%00", "underlying"),
        ("kind=%00", "kind"),
    ],
)
def test_a_bad_filter_is_named(api: Client, portfolio: Portfolio, query: str, field: str) -> None:
    """API-1: a filter that makes no sense is an error, never silently everything."""
    answer = api.get(_url(portfolio, f"decisions/?{query}"))
    assert answer.status_code == 400, answer.content
    assert field in problem(answer)["errors"]


def test_a_bad_cursor_is_told(api: Client, portfolio: Portfolio) -> None:
    """API-1: a cursor somebody made up is refused."""
    answer = api.get(_url(portfolio, "decisions/?cursor=nonsense"))
    assert answer.status_code == 404
    assert problem(answer)["detail"] == "Invalid cursor"


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
    url = _url(portfolio, "follows/")
    assert problem(_post(api, url, "{"))["status"] == 400
    assert problem(_post(api, url, "[]"))["status"] == 400
    assert problem(_post(api, url, '"text"'))["status"] == 400
    assert problem(_post(api, url, b'{"kind": "\xff"}'))["status"] == 400
    assert problem(_post(api, url, b"[" * 20_000))["status"] == 400
    assert problem(_post(api, url, {"kind": "replay", "key": "x" * 70_000}))["status"] == 413
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
    answer = api.get(_url(portfolio))
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == wait
    assert "10.1.2.3" not in answer.content.decode()
    problem(answer)
