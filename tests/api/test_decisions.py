"""BEY-3 over the API: decisions with their reasons, in pages, filtered."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.test import Client

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from engine.models import Decision
from tests.api.conftest import problem, url_of
from tests.api.making import decision_make, follow_make, trader_make


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
    results = api.get(url_of(portfolio, "decisions/")).json()["results"]
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
    page = api.get(url_of(portfolio, "decisions/?limit=4")).json()
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
        answer = api.get(url_of(portfolio, f"decisions/?{query}"))
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
    answer = api.get(url_of(portfolio, f"decisions/?{query}"))
    assert answer.status_code == 400, answer.content
    assert field in problem(answer)["errors"]


def test_a_bad_cursor_is_told(api: Client, portfolio: Portfolio) -> None:
    """API-1: a cursor somebody made up is refused."""
    answer = api.get(url_of(portfolio, "decisions/?cursor=nonsense"))
    assert answer.status_code == 404
    assert problem(answer)["detail"] == "Invalid cursor"
