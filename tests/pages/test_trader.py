"""BEY-3, BEY-5: a trader's own page with each change and its decision, and how alike the traders are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Portfolio, User
from allocation.models import Follow, FollowLeg
from core.clock import utc_now
from dashboard.trader_page import curve_line
from engine.models import AnsweredChange, Decision
from markets.models import World
from tests.api.making import WORLD_START, decision_make, follow_make, portfolio_make, trader_make
from traders.models import Trader, TraderSnapshot

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    """Alice's, following Deepseek and Qwen, half each."""
    made = portfolio_make(owner=alice, name="Arena")
    for place, key in enumerate(("deepseek", "qwen"), start=1):
        follow_make(portfolio=made, trader=trader_make(key=key), place=place, weight=D("0.5"))
    made.refresh_from_db()
    return made


@pytest.fixture
def follow(portfolio: Portfolio) -> Follow:
    """The follow of Deepseek."""
    return Follow.objects.get(portfolio=portfolio, place=1)


def answered(follow: Follow, number: int, change: str = "opened", **fields: Any) -> AnsweredChange:
    """Store a change with a decision of its own."""
    at = utc_now() - timedelta(minutes=60 - number)
    values: dict[str, Any] = {
        "kind": "copied",
        "text": f"Copied {number}",
        "reason": f"Because of {number}",
        "at": at,
    }
    decision = decision_make(portfolio=follow.portfolio, follow=follow, **(values | fields))
    return AnsweredChange.objects.create(
        follow=follow, decision=decision, snapshot_id=number, underlying="BTC", change=change,
        before=D(number), after=D(number + 1), world_at=WORLD_START, seen_at=at - timedelta(seconds=3),
        decided_at=at,
    )  # fmt: skip


def shown(client: Client, follow: Follow, **query: str) -> str:
    """Return the trader's page as text."""
    answer = client.get(reverse("dashboard:trader", args=[follow.portfolio_id, follow.pk]), query)
    assert answer.status_code == 200
    return answer.content.decode().split('id="portfolio-view"')[0]  # what is drawn, without the view's data


def test_each_change_stands_beside_its_decision(
    follow: Follow, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """BEY-3: what it did, what was decided, why, and what followed from a delay; newest first."""
    answered(follow, 1, kind="delayed", reason="No capital is free")
    later = decision_make(
        portfolio=follow.portfolio,
        follow=follow,
        reason="Capital came free",
        at=utc_now() - timedelta(minutes=58),
    )
    answered(follow, 5, change="closed", kind="refused", reason="It has no market here")
    text = shown(client_of(alice), follow)
    for words in (
        "Opened BTC",
        "Delayed",
        "No capital is free",
        "Closed BTC",
        "Refused",
        "It has no market here",
    ):
        assert words in text
    assert text.index("Closed BTC") < text.index("Opened BTC")
    assert text.count(later.reason) == 1
    assert text.index("then 1 more decision") < text.index(later.reason)
    assert "decided after 3 s" in text


def test_one_kind_of_decision_can_be_chosen(
    follow: Follow, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """BEY-3: refused alone; a kind that there is not shows all."""
    answered(follow, 1)
    answered(follow, 2, kind="refused")
    client = client_of(alice)
    refused = shown(client, follow, kind="refused")
    assert ("Because of 2" in refused, "Because of 1" in refused) == (True, False)
    assert "Because of 1" in shown(client, follow, kind="nonsense")


def test_what_it_holds_and_what_is_not_copied(
    follow: Follow, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """BEY-3: the trader's position, and the part of it that is left to it."""
    FollowLeg.objects.create(follow=follow, underlying="BTC", ignored_quantity=D("0.1"))
    text = shown(client_of(alice), follow)
    assert "106,500.0" in text
    assert "was open before" in text
    assert "no copied fill measured yet" in text


def test_a_removed_trader_keeps_its_page(
    follow: Follow, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """BEY-3: its decisions stay two clicks away."""
    answered(follow, 1)
    Follow.objects.filter(pk=follow.pk).update(status="removed", removed_at=utc_now(), weight=0)
    text = shown(client_of(alice), follow)
    assert "You do not follow this trader any more" in text
    assert "Because of 1" in text


def test_the_page_costs_the_same_however_many_changes(
    follow: Follow, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """BEY-3: ten more changes are not ten more queries."""
    client = client_of(alice)
    answered(follow, 1)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(client, follow)
        return len(queries)

    cost()
    before = cost()
    for number in range(2, 12):
        answered(follow, number)
    assert cost() == before


def test_a_follow_of_another_portfolio_is_not_found(
    follow: Follow, bob: User, client_of: Callable[[Any], Client]
) -> None:
    """SEC-1: the number of a follow opens nothing in a portfolio it does not belong to."""
    other = portfolio_make(owner=bob, name="Bob's")
    client = client_of(bob)
    assert client.get(reverse("dashboard:trader", args=[other.pk, follow.pk])).status_code == 404
    for rest in (f"follows/{follow.pk}/changes/", "independence/"):
        assert client.get(f"/api/v1/portfolios/{follow.portfolio_id}/{rest}").status_code == 404
    assert client.get(f"/api/v1/portfolios/{other.pk}/follows/{follow.pk}/changes/").status_code == 404


def test_changes_over_the_api(follow: Follow, alice: User, client_of: Callable[[Any], Client]) -> None:
    """API-1: the same as on the page."""
    answered(follow, 1, kind="capped")
    address = f"/api/v1/portfolios/{follow.portfolio_id}/follows/{follow.pk}/changes/"
    (entry,) = client_of(alice).get(address).json()["results"]
    assert (entry["underlying"], entry["change"], entry["before"], entry["after"]) == (
        "BTC",
        "opened",
        "1",
        "2",
    )
    assert (entry["decision"]["kind"], entry["decision"]["follow_ids"]) == ("capped", [follow.pk])


# ---------------------------------------------------------------- how alike they are
def holds(trader: Trader, code: str, quantity: str) -> None:
    """Let a trader hold one thing."""
    TraderSnapshot.objects.filter(pk=trader.latest_snapshot_id).update(
        positions=[
            {"code": code, "quantity": quantity, "entry_price": "100", "mark_price": "100", "opened_at": None}
        ]
    )


def test_two_copies_are_one(portfolio: Portfolio, alice: User, client_of: Callable[[Any], Client]) -> None:
    """BEY-5: both are long BTC; then one holds ETH."""
    client = client_of(alice)
    pages = [reverse(f"dashboard:{name}", args=[portfolio.pk]) for name in ("portfolio", "traders")]
    assert all("2 traders, effectively 1.0" in client.get(page).content.decode() for page in pages)
    holds(Trader.objects.get(key="qwen"), "ETH", "5")
    assert all("2 traders, effectively 2.0" in client.get(page).content.decode() for page in pages)
    told = client.get(f"/api/v1/portfolios/{portfolio.pk}/independence/").json()
    assert (told["count"], told["effective"]) == (2, 2.0)
    assert [(pair["overlap"], pair["correlation"]) for pair in told["pairs"]] == [(0.0, None)]


def test_too_little_is_said(portfolio: Portfolio, alice: User, client_of: Callable[[Any], Client]) -> None:
    """BEY-5: two traders that hold nothing and were read once."""
    TraderSnapshot.objects.update(positions=[])
    text = client_of(alice).get(reverse("dashboard:traders", args=[portfolio.pk])).content.decode()
    assert "too little is known yet" in text


def test_equity_that_moves_alike_counts(
    portfolio: Portfolio, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """BEY-5: other instruments, the same hourly returns; a deposit in one hour is no return."""
    world = World.objects.get(pk=portfolio.world)
    newest = world.clock().at(utc_now()).replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)
    for trader, start in (
        (Trader.objects.get(key="deepseek"), 1000),
        (Trader.objects.get(key="qwen"), 50_000),
    ):
        equity = D(start)
        for back in range(40, 0, -1):
            equity *= D("1.01") if back % 3 else D("0.985")
            if back == 20 and start == 1000:
                equity *= 3
            TraderSnapshot.objects.create(
                trader=trader, world_at=newest - timedelta(hours=back), equity=equity.quantize(D("0.01"))
            )
    holds(Trader.objects.get(key="qwen"), "ETH", "5")
    told = client_of(alice).get(f"/api/v1/portfolios/{portfolio.pk}/independence/").json()
    (pair,) = told["pairs"]
    assert pair["overlap"] == 0
    assert pair["correlation"] == pytest.approx(1, abs=1e-3)
    assert told["effective"] == pytest.approx(1, abs=1e-3)


def test_a_curve_as_points() -> None:
    """VIEW-4: the lowest at the bottom, the highest at the top, from left to right; one read is no curve."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    points = [(at, D(100)), (at + timedelta(hours=1), D(50)), (at + timedelta(hours=4), D(150))]
    assert curve_line(points=points) == "0.0,60.0 150.0,120.0 600.0,0.0"
    assert curve_line(points=points[:1]) == ""
    assert Decision.objects.count() == 0
