"""`/metrics`: what Prometheus collects, read from the database at each scrape (CAP-4), and of live prices.

This machine may scrape, and whoever shows METRICS_TOKEN. A request that came through a proxy is not from
this machine, whatever address it shows; with HTTPS on there is a proxy, so only the token counts.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from typing import Final

import redis
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from allocation.metrics import capital_metrics
from core.clock import utc_now
from engine.changes import change_coverage
from engine.exits.leases import shards_unwatched
from engine.exits.protection import unprotected_quantiles
from engine.exits.stats import stats_read
from engine.exits.triggers import triggers_count
from markets.budget_figures import budget_counts_read, budgets_read
from markets.feed_state import VenueState, feed_state_read
from portfolio_site.probe import redis_probe

LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Via")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer in the exposition format that the scraper asks for.

    :raises Http404: the caller is not of this machine and the server has no METRICS_TOKEN
    """
    if not _may_scrape(request):
        if not settings.METRICS_TOKEN:
            raise Http404
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CapitalCollector())
    registry.register(FeedCollector())
    registry.register(ExitCollector())
    registry.register(BudgetCollector())
    registry.register(DecisionCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _may_scrape(request: HttpRequest) -> bool:
    forwarded = settings.HTTPS or any(header in request.headers for header in FORWARDED)
    if not forwarded and request.META.get("REMOTE_ADDR") in LOOPBACK:
        return True
    shown = request.headers.get("Authorization", "").encode()
    wanted = f"Bearer {settings.METRICS_TOKEN}".encode()
    return bool(settings.METRICS_TOKEN) and hmac.compare_digest(shown, wanted)


class CapitalCollector(Collector):
    """The seven series of CAP-4."""

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the database once, and return the series."""
        now = capital_metrics()
        total = _gauge("portfolio_total_capital", "Cash and spot holdings at cost, in quote currency.")
        allocated = _gauge("portfolio_allocated_capital", "Reserved, committed or deployed capital.")
        available = _gauge("portfolio_available_capital", "Free capital.")
        for portfolio, capital in now.portfolios.items():
            total.add_metric([portfolio], float(capital.total))
            allocated.add_metric([portfolio], float(capital.allocated))
            available.add_metric([portfolio], float(capital.free))
        yield from (total, allocated, available)
        requests = CounterMetricFamily(
            "portfolio_capital_requests", "Requests for capital.", labels=["strategy", "priority"]
        )
        granted = _counter("portfolio_capital_allocations", "Requests that were granted.")
        released = _counter("portfolio_capital_releases", "Grants given back or handed to an order.")
        timeouts = _counter("portfolio_reservation_timeouts", "Grants that ran out unused.")
        for strategy, counts in now.strategies.items():
            for priority, asked in counts.requests.items():
                requests.add_metric([strategy, priority], asked)
            granted.add_metric([strategy], counts.allocations)
            released.add_metric([strategy], counts.releases)
            timeouts.add_metric([strategy], counts.timeouts)
        yield from (requests, granted, released, timeouts)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["portfolio"])


def _counter(name: str, text: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=["strategy"])


class ExitCollector(Collector):
    """What the exit watches did (EXT-3), and what nobody watches now (BEY-6)."""

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the triggers from the database, and what the watches counted from Redis."""
        triggers = CounterMetricFamily(
            "ensemble_exit_triggers", "Positions closed by a rule, or in part.", labels=["kind", "found_by"]
        )
        for kind, found_by, count in triggers_count():
            triggers.add_metric([kind, found_by], count)
        unwatched = GaugeMetricFamily("ensemble_exit_shards_unwatched", "Shards that nobody watches now.")
        unwatched.add_metric([], len(shards_unwatched()))
        unprotected = GaugeMetricFamily(
            "ensemble_exit_unprotected_seconds",
            "Seconds without a watch of the positions that are open now.",
            labels=["quantile"],
        )
        for share, seconds in unprotected_quantiles(now=utc_now()).items():
            unprotected.add_metric([f"{share:g}"], seconds)
        yield from (triggers, unwatched, unprotected)
        try:
            with redis_probe() as client:
                counted = stats_read(client=client)
        except redis.RedisError:
            return
        ticks = CounterMetricFamily("ensemble_exit_ticks", "Prices held against the levels.")
        ticks.add_metric([], counted.ticks)
        took = HistogramMetricFamily(
            "ensemble_exit_tick_to_order_seconds", "From a price's arrival to its order's commit."
        )
        took.add_metric([], buckets=counted.buckets, sum_value=counted.seconds)
        yield from (ticks, took)


class DecisionCollector(Collector):
    """Whether every change of a followed trader has its decision (BEY-3)."""

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Count the last day's changes and those without a decision."""
        coverage = GaugeMetricFamily(
            "ensemble_decision_coverage",
            "Part of the last day's changes of followed traders that have a decision; 1 is all.",
        )
        coverage.add_metric([], float(change_coverage(now=utc_now()).fraction))
        yield coverage


class BudgetCollector(Collector):
    """How the request budgets do (SYN-3), of every address that shares this Redis; nothing without it."""

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the buckets and what was counted."""
        try:
            with redis_probe() as client:
                figures, counts = budgets_read(client=client), budget_counts_read(client=client)
        except redis.RedisError:
            return
        used = GaugeMetricFamily(
            "ensemble_budget_used_ratio",
            "Part of a venue's request budget that is used: above 1 requests have to wait.",
            labels=["venue", "egress"],
        )
        for figure in figures:
            used.add_metric([figure.venue, figure.egress], figure.used_ratio)
        waits = CounterMetricFamily(
            "ensemble_budget_waits", "Requests that waited for room.", labels=["venue", "priority"]
        )
        refusals = CounterMetricFamily(
            "ensemble_budget_refusals", "Requests that found no room in time.", labels=["venue", "priority"]
        )
        pauses = CounterMetricFamily(
            "ensemble_budget_pauses", "Pauses that a venue asked for.", labels=["venue"]
        )
        for counter, rows in ((waits, counts.waits), (refusals, counts.refusals)):
            for labels, count in rows.items():
                counter.add_metric(labels, count)
        for venue, count in counts.pauses.items():
            pauses.add_metric([venue], count)
        yield from (used, waits, refusals, pauses)


class FeedCollector(Collector):
    """How live prices do (MKT-1), counted since the feed began; nothing while none runs or Redis is away."""

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield what the feed told last."""
        try:
            with redis_probe() as client:
                state = feed_state_read(client=client)
        except redis.RedisError:
            return
        if state is None:
            return
        connected = int(state.socket_since is not None)
        for name, text, level in (
            ("socket_up", "1 while the live socket is connected.", connected),
            ("tape_entries", "Flushes of prices that are on the tape.", state.tape_entries),
            ("ticks_waiting", "Prices that wait for Redis.", state.waiting),
        ):
            yield GaugeMetricFamily(f"ensemble_feed_{name}", text, value=level)
        for name, text, count in (
            ("ticks", "Live prices told to the tape.", state.told),
            ("ticks_thinned", "Prices given up while Redis was away.", state.thinned),
            ("quotes_refused", "Quotes that were no price.", state.refused),
            ("quotes_doubted", "Jumps that waited for a second quote.", state.doubted),
            ("socket_lost", "Live sockets lost or refused.", state.socket_lost),
            ("socket_garbage", "Socket messages that could not be read.", state.garbage),
        ):
            yield CounterMetricFamily(f"ensemble_feed_{name}", text, value=count)
        yield from _of_venues(state.venues)


def _of_venues(venues: Sequence[VenueState]) -> Iterator[Metric]:
    """Yield how the prices of other venues do, each under its name."""
    up = GaugeMetricFamily("ensemble_feed_venue_up", "1 while its socket is connected.", labels=["venue"])
    wanted = GaugeMetricFamily(
        "ensemble_feed_venue_wanted", "Instruments whose prices are wanted there.", labels=["venue"]
    )
    lost = CounterMetricFamily("ensemble_feed_venue_lost", "Its sockets lost or refused.", labels=["venue"])
    garbage = CounterMetricFamily(
        "ensemble_feed_venue_garbage", "Its messages that could not be read.", labels=["venue"]
    )
    refused = CounterMetricFamily(
        "ensemble_feed_venue_refused", "Its tickers that held no price.", labels=["venue"]
    )
    for venue in venues:
        name = [venue.venue]
        up.add_metric(name, int(venue.socket_since is not None))
        wanted.add_metric(name, venue.wanted)
        lost.add_metric(name, venue.socket_lost)
        garbage.add_metric(name, venue.garbage)
        refused.add_metric(name, venue.refused)
    yield from (up, wanted, lost, garbage, refused)
