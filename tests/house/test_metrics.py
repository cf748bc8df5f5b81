"""CAP-4: the seven series at `/metrics`: exact, bounded in number, and for those who may see them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from allocation import metrics as counted
from allocation.models import Reservation
from allocation.pruning import reservations_prune
from allocation.reservations import (
    capital_commit,
    capital_release,
    capital_request,
    reservations_expire,
)
from engine.exits.stats import KEY as EXITS_KEY
from markets.budget import BudgetExhausted, BudgetNow
from markets.domain.allowance import BudgetPriority
from markets.feed_state import feed_state_write
from tests.feeding import feed_state_make
from tests.integration.money.desk import Desk, desk_open

TOKEN = "a token of more than twenty characters"
AFAR = {"REMOTE_ADDR": "192.0.2.7"}
SERIES = {
    "portfolio_total_capital": {"portfolio"},
    "portfolio_allocated_capital": {"portfolio"},
    "portfolio_available_capital": {"portfolio"},
    "portfolio_capital_requests_total": {"strategy", "priority"},
    "portfolio_capital_allocations_total": {"strategy"},
    "portfolio_capital_releases_total": {"strategy"},
    "portfolio_reservation_timeouts_total": {"strategy"},
}

DECISIONS = {"ensemble_decision_coverage": set[str]()}
EXITS_UNCOUNTED = {  # what needs no Redis
    "ensemble_exit_shards_unwatched": set[str](),
    "ensemble_exit_unprotected_seconds": {"quantile"},
}
EXITS = EXITS_UNCOUNTED | {
    "ensemble_exit_ticks_total": set[str](),
    "ensemble_exit_tick_to_order_seconds_bucket": {"le"},
    "ensemble_exit_tick_to_order_seconds_count": set[str](),
    "ensemble_exit_tick_to_order_seconds_sum": set[str](),
}


def ask(desk: Desk, amount: str, *, source: str = "momentum", priority: int = 2) -> Reservation:
    return capital_request(
        portfolio_id=desk.pk,
        amount=D(amount),
        source=source,
        instrument_code="BTC",
        now=desk.later(),
        timeout_s=30,
        priority=priority,
    )


def scrape(client: Client) -> dict[tuple[str, ...], float]:
    """Return what a scraper reads: (series, label values…) → value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.django_db
def test_the_seven_series_have_their_names_and_labels(client: Client) -> None:
    """CAP-4: exactly these, each explained."""
    ask(desk_open(), "100")
    answer = client.get("/metrics")
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer["Cache-Control"]
    families = list(text_string_to_metric_families(answer.content.decode()))
    labels: dict[str, set[str]] = {}
    for family in families:
        assert family.documentation
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    assert labels == SERIES | EXITS | DECISIONS


@pytest.mark.django_db
def test_what_the_exit_watches_counted(client: Client, redis_client: Any) -> None:
    """EXT-3: three orders took 4 ms, one 60 ms; no shard is watched in this test."""
    counted = {"ticks": 1234, "le:0.005": 3, "le:0.1": 1, "seconds": 0.072}
    redis_client.hset(EXITS_KEY, mapping=counted)
    seen = scrape(client)
    assert seen["ensemble_exit_shards_unwatched",] == 8
    assert seen["ensemble_exit_ticks_total",] == 1234
    assert seen["ensemble_exit_tick_to_order_seconds_sum",] == 0.072
    bucket = "ensemble_exit_tick_to_order_seconds_bucket"
    assert [seen[bucket, le] for le in ("0.005", "0.05", "0.1", "+Inf")] == [3, 3, 4, 4]


@pytest.mark.django_db
def test_a_running_feed_is_told_beside_them(client: Client, redis_client: Any) -> None:
    """MKT-1: how the socket does, and what became of what was heard."""
    feed_state_write(client=redis_client, state=feed_state_make(waiting=7))
    told = {name[0]: value for name, value in scrape(client).items() if name[0].startswith("ensemble_feed_")}
    assert told == {
        "ensemble_feed_socket_up": 1,
        "ensemble_feed_tape_entries": 900,
        "ensemble_feed_ticks_waiting": 7,
        "ensemble_feed_ticks_total": 1000,
        "ensemble_feed_ticks_thinned_total": 0,
        "ensemble_feed_quotes_refused_total": 3,
        "ensemble_feed_quotes_doubted_total": 1,
        "ensemble_feed_socket_lost_total": 2,
        "ensemble_feed_socket_garbage_total": 0,
    }


@pytest.mark.django_db
def test_budgets_tell_how_they_are_used(client: Client) -> None:
    """SYN-3: the bucket's use, and who waited or was refused; a venue's accounts are not listed."""
    budget = BudgetNow(venue="tested", weight_per_minute=1200, redis_url=settings.REDIS_URL)
    mine = BudgetNow(venue="tested", weight_per_minute=1200, redis_url=settings.REDIS_URL, account="7")
    budget.take(50, max_wait_s=0, priority=BudgetPriority.EXIT)
    mine.take(50, max_wait_s=0, priority=BudgetPriority.EXIT)
    with pytest.raises(BudgetExhausted):
        budget.take(50, max_wait_s=0, priority=BudgetPriority.PREVIEW)
    budget.take(51, max_wait_s=5, priority=BudgetPriority.EXIT)
    budget.pause(for_s=10)
    budget.close()
    mine.close()
    told = {name: value for name, value in scrape(client).items() if name[0].startswith("ensemble_budget_")}
    used = told.pop(("ensemble_budget_used_ratio", settings.EGRESS_NAME, "tested"))
    assert used == 1.0
    assert told == {
        ("ensemble_budget_waits_total", "exit", "tested"): 1,
        ("ensemble_budget_refusals_total", "preview", "tested"): 1,
        ("ensemble_budget_pauses_total", "tested"): 1,
    }


@pytest.mark.django_db
def test_without_redis_the_other_series_are_still_there(client: Client, settings: Any) -> None:
    """OPS-1: a scrape says what it can."""
    ask(desk_open(), "100")
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    assert {name[0] for name in scrape(client)} == set(SERIES | EXITS_UNCOUNTED | DECISIONS)


@pytest.mark.django_db
def test_gauges_say_what_the_account_says(client: Client) -> None:
    """CAP-4, SPEC Capital: allocated = total − free."""
    desk, other = desk_open(), desk_open(cash="50.25", name="Other")
    ask(desk, "1000.5")
    seen = scrape(client)
    me = str(desk.pk)
    assert seen["portfolio_total_capital", me] == 10000
    assert seen["portfolio_allocated_capital", me] == 1000.5
    assert seen["portfolio_available_capital", me] == 8999.5
    assert seen["portfolio_total_capital", str(other.pk)] == 50.25


@pytest.mark.django_db
def test_counters_follow_every_request_and_survive_pruning(client: Client) -> None:
    """CAP-4: requests by priority; granted = let go + ran out + standing; pruning changes no number."""
    desk = desk_open()
    capital_release(reservation_id=ask(desk, "1").pk, now=desk.now)
    capital_commit(reservation_id=ask(desk, "2", priority=0).pk, portfolio_id=desk.pk, now=desk.now)
    ask(desk, "3")
    ask(desk, "99999", priority=3)
    reservations_expire(now=desk.later(40))
    ask(desk, "4", source="copy cycle", priority=1)
    ask(desk, "5")
    expected = {
        ("portfolio_capital_requests_total", "critical", "momentum"): 1,
        ("portfolio_capital_requests_total", "high", "momentum"): 0,
        ("portfolio_capital_requests_total", "medium", "momentum"): 3,
        ("portfolio_capital_requests_total", "low", "momentum"): 1,
        ("portfolio_capital_allocations_total", "momentum"): 4,
        ("portfolio_capital_releases_total", "momentum"): 2,
        ("portfolio_reservation_timeouts_total", "momentum"): 1,
        ("portfolio_capital_requests_total", "high", "copy cycle"): 1,
        ("portfolio_capital_allocations_total", "copy cycle"): 1,
        ("portfolio_capital_releases_total", "copy cycle"): 0,
        ("portfolio_reservation_timeouts_total", "copy cycle"): 0,
    }
    before = scrape(client)
    assert expected.items() <= before.items()
    assert reservations_prune(before=desk.now - timedelta(seconds=20), limit=100) == 4
    assert scrape(client) == before
    ask(desk, "6")
    assert scrape(client)["portfolio_capital_requests_total", "medium", "momentum"] == 4


@pytest.mark.django_db
def test_the_number_of_series_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """CAP-4: the first strategies and portfolios keep their names, also once pruned; the rest is one sum."""
    monkeypatch.setattr(counted, "STRATEGIES_MAX", 2)
    monkeypatch.setattr(counted, "PORTFOLIOS_MAX", 1)
    desk, *_ = desk_open(cash="100"), desk_open(cash="20", name="B"), desk_open(cash="3", name="C")
    for source in ("zeta", "alpha", "beta", "gamma", "beta"):
        capital_release(reservation_id=ask(desk, "1", source=source).pk, now=desk.now)
    before = scrape(client)
    named = {key[1] for key in before if key[0] == "portfolio_capital_allocations_total"}
    assert named == {"zeta", "alpha", "other"}
    assert before["portfolio_capital_allocations_total", "other"] == 3
    assert before["portfolio_total_capital", "other"] == 23
    reservations_prune(before=desk.later(), limit=100)
    assert scrape(client) == before


@pytest.mark.django_db
def test_openmetrics_is_spoken_to_who_asks_for_it(client: Client) -> None:
    """CAP-4."""
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.content.endswith(b"# EOF\n")


@pytest.mark.django_db
def test_only_this_machine_may_scrape_by_default(client: Client) -> None:
    """SEC-1: to others there is nothing here; a proxy on this machine does not make them one of it."""
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    assert client.get("/metrics", **AFAR).status_code == 404
    assert client.get("/metrics", headers={"x-forwarded-for": "192.0.2.7"}).status_code == 404
    assert client.get("/metrics", headers={"authorization": "Bearer "}, **AFAR).status_code == 404
    assert client.post("/metrics").status_code == 405


@pytest.mark.django_db
def test_a_token_opens_it_from_afar(client: Client, settings: Any) -> None:
    """SEC-1: METRICS_TOKEN as a bearer token; a wrong one is 401."""
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}, **AFAR).status_code == 200
    for wrong in ("", "Bearer wrong", f"Token {TOKEN}", "Bearer ä"):
        refused = client.get("/metrics", headers={"authorization": wrong}, **AFAR)
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
        assert refused.content == b""


@pytest.mark.django_db
def test_behind_https_only_the_token_counts(client: Client, settings: Any) -> None:
    """SEC-1: there every request comes from the proxy, which may sit on this machine."""
    settings.HTTPS = True
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
